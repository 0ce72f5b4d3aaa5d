use std::{fs, os::unix::fs::PermissionsExt as _, thread, time::Duration};

use super::{Cache, Inputs, Key, Store, room};

fn cache(folder: &std::path::Path) -> Cache {
    Cache { store: Some(Store::open(folder, u64::MAX).unwrap()) }
}

/// Longer than the time within which a change might not show.
fn settle() {
    thread::sleep(Duration::from_millis(30));
}

#[test]
fn what_is_remembered_is_forgotten_when_a_file_that_it_was_made_of_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("input"), Key::default().with("x"));
    fs::write(&file, "one").unwrap();
    settle();
    let cache = cache(&folder.path().join("cache"));
    let mut inputs = Inputs::default();
    inputs.add(&file);
    inputs.add(&folder.path().join("absent"));
    cache.remember("test", &key, &inputs, &42);
    assert_eq!(cache.recall("test", &key), Some(42));
    assert_eq!(cache.recall::<i32>("test", &Key::default().with("y")), None);
    assert_eq!(cache.recall::<i32>("other", &key), None);
    fs::write(&file, "two").unwrap();
    assert_eq!(cache.recall::<i32>("test", &key), None);
    inputs = Inputs::default();
    inputs.add(&folder.path().join("absent"));
    cache.remember("test", &key, &inputs, &43);
    assert_eq!(cache.recall("test", &key), Some(43));
    fs::write(folder.path().join("absent"), "").unwrap();
    assert_eq!(cache.recall::<i32>("test", &key), None);
}

#[test]
fn a_file_that_has_just_changed_may_change_again_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    let are_settled = || {
        let mut inputs = Inputs::default();
        inputs.add(&file);
        inputs.are_settled()
    };
    let write = || fs::write(&file, "one").unwrap();
    // On a busy machine the file may have settled before it is looked at.
    assert!((0..100).any(|_| {
        write();
        !are_settled()
    }));
    settle();
    assert!(are_settled());
}

#[test]
fn a_damaged_record_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path());
    let key = Key::default();
    cache.keep_bytes("test", &key, b"content");
    assert_eq!(cache.bytes("test", &key).as_deref(), Some(&b"content"[..]));
    let path = cache.store.as_ref().unwrap().record("test", &key);
    let whole = fs::read(&path).unwrap();
    for damaged in [&whole[..whole.len() - 1], b"", b"content", &[&whole[..], b"x"].concat()] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(cache.bytes("test", &key), None);
    }
}

#[test]
fn what_was_used_last_stays_when_room_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["old", "older", "new"] {
        fs::write(folder.path().join(name), [0; 10]).unwrap();
        let age = match name {
            "older" => 20,
            "old" => 10,
            _ => 0,
        };
        let file = fs::File::options().append(true).open(folder.path().join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    let there = || ["older", "old", "new"].map(|name| folder.path().join(name).exists());
    room::make(&[folder.path().to_owned()], 30);
    assert_eq!(there(), [true, true, true]);
    room::make(&[folder.path().to_owned()], 25);
    assert_eq!(there(), [false, true, true]);
    room::make(&[folder.path().to_owned()], 10);
    assert_eq!(there(), [false, false, true]);
}

#[test]
fn what_a_killed_build_left_is_swept_by_the_next_that_is_alone() {
    let folder = tempfile::tempdir().unwrap();
    let one = cache(folder.path());
    let left = folder.path().join("tmp/build-left");
    fs::create_dir(&left).unwrap();
    let other = cache(folder.path());
    assert!(left.exists(), "it may be the first one's");
    drop((one, other));
    let _third = cache(folder.path());
    assert!(!left.exists());
}

#[test]
fn what_apps_have_is_for_nobody_else_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let new = folder.path().join("new");
    drop(cache(&new));
    assert_eq!(mode(&new), 0o700);
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    drop(cache(&new));
    assert_eq!(mode(&new), 0o755, "as it was made");
}

#[test]
fn parts_of_a_key_do_not_run_together() {
    assert_ne!(Key::default().with("ab").with("c").digest(), Key::default().with("a").with("bc").digest());
}
