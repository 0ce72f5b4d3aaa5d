//! Files from elsewhere: where they go, what they may replace, and what they may not.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::{engine::Image, failures::fails, folder};

#[test]
fn files_and_folders_arrive_with_sane_owners_and_modes() {
    let app = "import placed\nfrom lib import below\n\n\ndef app():\n    import absent\n";
    let folder = folder::with(&[("app.py", app), ("conf.py", "kind = 'development'\n")]);
    let other =
        folder::with(&[("prod.py", "kind = 'production'\n"), ("tree/a/b.txt", "b"), ("tree/run", "x"), ("s.txt", "s")]);
    let place = |name: &str| other.path().join(name);
    std::fs::set_permissions(place("tree/run"), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::set_permissions(place("s.txt"), std::fs::Permissions::from_mode(0o6600)).unwrap();
    std::fs::create_dir(place("tree/empty")).unwrap();
    symlink("run", place("tree/link")).unwrap();
    symlink(place("s.txt"), place("tree/out")).unwrap();
    symlink(place("s.txt"), place("linked.txt")).unwrap();
    let copies = [
        ("prod.py", "conf.py"),
        ("prod.py", "placed.py"),
        ("prod.py", "lib/below.py"),
        ("tree", "/data/tree"),
        ("s.txt", "/tmp/"),
        ("linked.txt", "/etc/shop.txt"),
    ];
    let arguments: Vec<String> =
        copies.iter().flat_map(|(from, to)| ["--copy".to_owned(), format!("{}:{to}", place(from).display())]).collect();
    let image = Image::of(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(image.result["layers"].as_array().unwrap().last().unwrap()["name"], "files");
    let lost = format!("Links lead to what is not in the image: /data/tree/out ({}). Bring", place("s.txt").display());
    assert!(image.stderr.contains(&lost), "{}", image.stderr);
    // What is copied counts as there, and only that.
    let warnings: Vec<_> = image.stderr.lines().filter(|line| line.contains(" imports ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("app.py, line 6, imports absent"), "{}", image.stderr);
    let code = "import os, conf, app\n\
        print(conf.kind, conf.__cached__ and os.path.exists(conf.__cached__))\n\
        for path in ['/app/conf.py', '/data/tree/a/b.txt', '/data/tree/run', '/data/tree/empty', '/etc/shop.txt', '/tmp', '/etc']:\n\
        \x20   found = os.lstat(path)\n\
        \x20   print(path, oct(found.st_mode), found.st_uid, found.st_gid)\n\
        print(os.readlink('/data/tree/link'))";
    // Without the --tmpfs that would hide what is in /tmp.
    let shown = super::engine::docker(&["run", "--rm", &image.name, "python", "-c", code]);
    let expected = "production True\n/app/conf.py 0o100644 0 0\n/data/tree/a/b.txt 0o100644 0 0\n/data/tree/run 0o100755 0 0\n\
                    /data/tree/empty 0o40755 0 0\n/etc/shop.txt 0o100644 0 0\n/tmp 0o41777 0 0\n/etc 0o40755 0 0\nrun";
    assert_eq!(shown, expected);
}

#[test]
fn nothing_that_others_need_is_replaced() {
    let folder = folder::with(&[("app.py", "app = print\n"), ("requirements.txt", "itsdangerous\n")]);
    let other = folder::with(&[("file", "x"), ("folder/x", "x")]);
    let packages = folder::hello().python("import flask, os; print(os.path.dirname(os.path.dirname(flask.__file__)))");
    let module = format!("{packages}/itsdangerous/__init__.py");
    let library = folder::hello().python("import sysconfig; print(sysconfig.get_path('stdlib'))");
    let file = "A copy would take /usr/local/bin/rwsgi, the place of a file of the interpreter's, or of rwsgi's.";
    for (source, place, start) in [
        ("file", "/usr/local/bin/rwsgi", file),
        (
            "file",
            "/usr/local/bin/python",
            "A copy would take /usr/local/bin/python, the place of a file of the interpreter's",
        ),
        ("file", "/etc/passwd", "A copy would take /etc/passwd, the place of a file of the interpreter's"),
        ("file", &module, &format!("A copy would take {module}, the place of a file of the app's dependencies.")),
        (
            "file",
            "/etc",
            "A copy would take /etc, the place of a folder; to copy into it, let the destination end in /.",
        ),
        (
            "folder",
            "/etc/passwd",
            "A copy would take /etc/passwd, the place of a file or a link by which others are found.",
        ),
        (
            "file",
            &format!("{library}/json/__init__.py"),
            &format!("A copy would take {library}/json/__init__.py, the place of a module of the interpreter's."),
        ),
        ("missing", "/x", "The copy "),
    ] {
        let copy = format!("{}:{place}", other.path().join(source).display());
        let failure = fails(folder.path(), &["--copy", &copy], |_| {});
        assert!(failure.message.starts_with(start), "{}", failure.message);
        let names = source != "missing"
            || failure.message.contains(&format!("there is no {}", other.path().join("missing").display()));
        assert!(names, "{}", failure.message);
    }
    let (tree, one) =
        (other.path().join("folder").display().to_string(), other.path().join("file").display().to_string());
    let copies = [format!("{tree}:/opt/x"), format!("{one}:/opt/x")];
    let failure = fails(folder.path(), &["--copy", &copies[0], "--copy", &copies[1]], |_| {});
    let said = "Two copies do not go together: /opt/x would be a file, and a folder with /opt/x/x in it.";
    assert!(failure.message.starts_with(said), "{}", failure.message);
}
