//! Where an app may write in its container, and that what it wrote stays in a volume.

use super::{
    engine::{HARDENED, Image, docker, try_docker, unique},
    folder,
};

/// Adds a row and prints how many there are.
const COUNT: &str = "import sqlite3; c = sqlite3.connect('/app/instance/x.db'); c.execute('create table if not exists t (a)'); \
                     c.execute('insert into t values (1)'); c.commit(); print(c.execute('select count(*) from t').fetchone()[0])";

#[test]
fn a_writable_folder_takes_files_and_volumes() {
    let app = folder::with(&[("app.py", "app = print\n"), ("instance/config/a.txt", "a")]);
    let image = Image::of(app.path(), &["--writable", "instance", "--writable", "/app/var/new"]);
    let run = |options: &[&str], code: &str| {
        let output = try_docker(&[&["run", "--rm"], options, &[&image.name, "python", "-c", code]].concat());
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    assert_eq!(run(&[], COUNT), "1");
    let write = |path: &str| run(&[], &format!("print(open('/app/{path}', 'w').write('b'))"));
    assert_eq!((write("instance/config/a.txt"), write("var/new/x")), ("1".to_owned(), "1".to_owned()));
    for refused in ["x", "app.py", "var/x"] {
        assert!(write(refused).contains("PermissionError"), "{refused}");
    }

    let volume = unique("volume");
    let mount = format!("{volume}:/app/instance");
    let mounted = [&HARDENED[..], &["-v", &mount]].concat();
    let rows = [run(&mounted, COUNT), run(&mounted, COUNT)];
    docker(&["volume", "rm", &volume]);
    assert_eq!(rows, ["1", "2"], "what was written stays");

    let line = image.result["run"].as_str().unwrap();
    assert!(line.contains(&format!("-v {}-instance:/app/instance ", image.name)), "{line}");
}
