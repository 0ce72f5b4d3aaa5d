//! The tar of a layer, read back.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Read as _,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::PathBuf,
};

use super::{Contents, Layer, Times};
use crate::image::{
    job::progress::{Cancel, Silent},
    layer::digest,
};

fn write(contents: &Contents) -> (tempfile::TempDir, Layer) {
    let directory = tempfile::tempdir().unwrap();
    let layer = contents.write("test", directory.path(), &Silent, &Cancel::default()).unwrap();
    (directory, layer)
}

#[test]
fn the_same_contents_give_the_same_tar_whatever_the_order_and_the_files_own_marks() {
    let files = tempfile::tempdir().unwrap();
    let (one, other) = (files.path().join("one"), files.path().join("other"));
    std::fs::write(&one, "text").unwrap();
    std::fs::write(&other, "text").unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut first = Contents::default();
    first.file("a/b", &one, false);
    first.directory("empty");
    let mut second = Contents::default();
    second.directory("empty");
    second.file("a/b", &other, false);
    let (first, second) = (write(&first), write(&second));
    assert_eq!(first.1.digest, second.1.digest);
    assert_eq!(first.1.digest, digest::of(&std::fs::read(&first.1.path).unwrap()));
    assert_eq!(first.1.size, std::fs::metadata(&first.1.path).unwrap().len());
}

#[test]
fn names_links_modes_and_owners_survive() {
    let odd = PathBuf::from(OsStr::from_bytes(b"odd/\xff\xfe name"));
    let long = PathBuf::from(format!("long/{}/{}", "d".repeat(120), "f".repeat(200)));
    let mut contents = Contents::default();
    contents.bytes(&odd, "1", false);
    contents.bytes(&long, "22", true);
    contents.symlink("absolute", "/etc/../elsewhere");
    contents.symlink("far", "x/".repeat(90));
    contents.directory_with_mode("tmp", 0o1777);
    let (_directory, layer) = write(&contents);
    assert_eq!(layer.unpacked, 3);
    let mut archive = tar::Archive::new(std::fs::File::open(&layer.path).unwrap());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, super::entry::TIME));
        assert_eq!(header.username().unwrap(), Some(""));
        let link = entry.link_name().unwrap().map(std::borrow::Cow::into_owned);
        found.insert(entry.path().unwrap().into_owned(), (header.mode().unwrap(), content, link));
    }
    assert_eq!(found[&odd], (0o644, "1".to_owned(), None));
    assert_eq!(found[&long], (0o755, "22".to_owned(), None));
    assert_eq!(found[&PathBuf::from("absolute")].2, Some("/etc/../elsewhere".into()));
    assert_eq!(found[&PathBuf::from("far")].2, Some("x/".repeat(90).into()));
    assert_eq!(found[&PathBuf::from("tmp/")].0, 0o1777);
    assert!(found.contains_key(&PathBuf::from("odd")), "parents are there");
    let names: Vec<_> = found.keys().collect();
    assert!(names.is_sorted());
}

#[test]
fn what_may_be_written_to_is_the_users() {
    let key = |contents: &Contents| contents.key();
    let mut contents = Contents::default();
    contents.bytes("app/instance/deep/x.db", "1", false);
    contents.bytes("app/instances", "1", false);
    let before = key(&contents);
    contents.let_write("app/instance");
    assert_ne!(key(&contents), before);
    let (_directory, layer) = write(&contents);
    let mut archive = tar::Archive::new(std::fs::File::open(&layer.path).unwrap());
    let owned = archive.entries().unwrap().map(Result::unwrap).filter_map(|entry| {
        let owners = (entry.header().uid().unwrap(), entry.header().gid().unwrap());
        assert!(owners == (0, 0) || owners == (65532, 65532));
        (owners.0 > 0).then(|| entry.path().unwrap().display().to_string())
    });
    assert_eq!(owned.collect::<Vec<_>>(), ["app/instance/", "app/instance/deep/", "app/instance/deep/x.db"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_cache_is_not_blamed() {
    let folder = tempfile::tempdir().unwrap();
    // Of a folder, a file can be opened, but not read.
    for (file, from) in [("a", folder.path().join("gone")), ("b", folder.path().to_owned())] {
        let mut contents = Contents::new(Times::ByContent);
        contents.file(file, &from, false);
        let error = contents.write("app", folder.path(), &Silent, &Cancel::default()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("Cannot read {}: ", from.display())), "{error}");
        assert_eq!(error.matches(&from.display().to_string()).count(), 1, "{error}");
        assert!(error.contains(".dockerignore") && !error.contains("CACHE"), "{error}");
    }
}

#[test]
fn a_time_is_known_or_follows_the_content_and_nothing_else() {
    let time_of = |content: &str, time: Option<u64>| {
        let mut contents = Contents::new(Times::ByContent);
        contents.bytes("a", content, false);
        if let Some(time) = time {
            let before = contents.key();
            contents.set_time("a".as_ref(), time);
            contents.set_time("b".as_ref(), time);
            assert_ne!(contents.key(), before);
        }
        let (_directory, layer) = write(&contents);
        let mut archive = tar::Archive::new(std::fs::File::open(&layer.path).unwrap());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        entry.header().mtime().unwrap()
    };
    let time = |content: &str| time_of(content, None);
    assert_eq!(time("one"), time("one"));
    assert_ne!(time("one"), time("two"));
    assert_eq!(time_of("one", Some(1_770_091_506)), 1_770_091_506);
}
