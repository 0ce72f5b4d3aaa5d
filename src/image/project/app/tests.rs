//! Apps told by what their files hold. The script that looks into files has tests of its own, through the whole program.

use std::path::PathBuf;

use super::{
    Target,
    candidates::{Choice, Sources},
    flask_app, text,
};

fn sources(files: &[(&str, &[(&str, &str)])]) -> Sources {
    let files: serde_json::Map<_, _> = files
        .iter()
        .map(|(file, names)| {
            let names: Vec<_> =
                names.iter().map(|(name, kind)| serde_json::json!({ "name": name, "kind": kind })).collect();
            ((*file).to_owned(), serde_json::json!({ "names": names }))
        })
        .collect();
    Sources::from_json(&serde_json::Value::from(files).to_string()).unwrap()
}

fn spec(files: &[(&str, &[(&str, &str)])]) -> Result<String, usize> {
    match sources(files).choose() {
        Choice::One { spec, .. } => Ok(spec),
        Choice::Several(found) => Err(found.len()),
        Choice::None => Err(0),
    }
}

#[test]
fn the_best_of_a_folders_apps_is_taken() {
    let app = &[("app", "flask")][..];
    let factory = &[("create_app", "factory")][..];
    assert_eq!(spec(&[("app.py", app)]), Ok("app:app".into()));
    assert_eq!(spec(&[("hello.py", app)]), Ok("hello:app".into()));
    assert_eq!(spec(&[("hello.py", &[("server", "flask")])]), Ok("hello:server".into()));
    assert_eq!(spec(&[("app.py", app), ("wsgi.py", &[("application", "import")])]), Ok("wsgi:application".into()));
    assert_eq!(spec(&[("app.py", app), ("main.py", &[("app", "import")])]), Ok("app:app".into()));
    assert_eq!(spec(&[("app.py", app), ("hello.py", app)]), Ok("app:app".into()));
    assert_eq!(spec(&[("shop/__init__.py", factory)]), Ok("shop:create_app()".into()));
    assert_eq!(spec(&[("app.py", &[("app", "value"), ("create_app", "factory")])]), Ok("app:app".into()));
    assert_eq!(spec(&[("app.py", factory), ("shop/__init__.py", factory)]), Ok("app:create_app()".into()));
}

#[test]
fn in_doubt_all_are_listed() {
    let app = &[("app", "flask")][..];
    assert_eq!(spec(&[("app.py", app), ("main.py", app)]), Err(2));
    assert_eq!(spec(&[("a/__init__.py", app), ("b/__init__.py", app), ("c.py", app)]), Err(3));
    assert_eq!(spec(&[("app.py", &[("one", "flask"), ("two", "flask")])]), Err(2));
    assert_eq!(spec(&[("app.py", &[("create_app", "closed-factory"), ("f", "function")])]), Err(0));
    assert_eq!(spec(&[]), Err(0));
}

#[test]
fn flask_app_means_what_it_means_to_flask() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().canonicalize().unwrap();
    for (path, ()) in [
        ("app.py", ()),
        ("shop/__init__.py", ()),
        ("src/hello.py", ()),
        ("src/pkg/__init__.py", ()),
        ("src/pkg/web.py", ()),
        ("src/store.py", ()),
    ] {
        std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
        std::fs::write(folder.join(path), "").unwrap();
    }
    let sources = sources(&[
        ("app.py", &[("server", "flask")]),
        ("shop/__init__.py", &[("create_app", "factory"), ("make", "function")]),
    ]);
    for (value, spec, below) in [
        ("app", "app:server", None),
        ("app.py", "app:server", None),
        ("app.py:other", "app:other", None),
        ("shop", "shop:create_app()", None),
        ("shop:create_app", "shop:create_app()", None),
        ("shop:make", "shop:make()", None),
        ("shop:create_app('x')", "shop:create_app('x')", None),
        ("src/hello.py", "hello", Some("src")),
        ("src/pkg/web.py:app", "pkg.web:app", Some("src")),
        ("store:app", "store:app", Some("src")),
        ("pkg.web:app", "pkg.web:app", Some("src")),
        ("installed.package:app", "installed.package:app", None),
    ] {
        let expected = Some((spec.to_owned(), below.map(PathBuf::from)));
        let target = Target::of(value, &folder).map(|target| (target.spec(&sources), target.below));
        assert_eq!(target, expected, "{value}");
    }
    assert!(Target::of("missing.py", &folder).is_none());
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    nix::unistd::mkfifo(&path(".env"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    nix::unistd::mkfifo(&path("Procfile"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(path(".flaskenv")).unwrap();
    // Run beside this thread: what waits here waits for ever.
    let (done, wait) = std::sync::mpsc::channel();
    let inner = folder.path().to_owned();
    std::thread::spawn(move || done.send((flask_app(&inner).is_none(), text(&inner.join("Procfile")))));
    let found = wait.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    assert_eq!(found, (true, None));
}
