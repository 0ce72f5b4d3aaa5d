//! What stays out of an image although nothing says so, and what is let in.

use std::fs;

use serde_json::{Value, json};

use super::{engine::Image, folder};

fn app() -> tempfile::TempDir {
    let key = format!("-----BEGIN {}\nx\n", "PRIVATE KEY-----");
    let folder = folder::with(&[
        ("app.py", "app = print\n"),
        (".env", "A=1\n"),
        (".flaskenv", "FLASK_APP=app\n"),
        ("conf/prod.env", "A=1\n"),
        ("tls/server.pem", &key),
        ("tls/authority.pem", "-----BEGIN CERTIFICATE-----\nx\n"),
        ("keys.py", &format!("KEY = '''\n{key}'''\n")),
        (".pypirc", ""),
        ("ignored/.env", ""),
        (".dockerignore", "ignored\n"),
        ("pkg/.wh.x", ""),
    ]);
    fs::File::create(folder.path().join("dump.sql")).unwrap().set_len(100_000_001).unwrap();
    folder
}

fn files(image: &Image) -> Value {
    let code = "import json, os\n\
        print(json.dumps(sorted(os.path.relpath(os.path.join(f, n), '/app') for f, _, names in os.walk('/app') for n in names\n\
        \x20   if not n.endswith('.pyc'))))";
    serde_json::from_str(&image.python(code)).unwrap()
}

#[test]
fn secrets_and_giants_are_named_and_left_out() {
    let folder = app();
    let image = Image::of(folder.path(), &[]);
    assert_eq!(files(&image), json!([".dockerignore", ".flaskenv", "app.py", "keys.py", "tls/authority.pem"]));
    let secrets = ".env (variables), .pypirc (passwords of package indexes), conf/prod.env (variables), tls/server.pem (a \
                   private key). Give it to the container instead";
    let warning = format!("Warning: Left out, since everyone who has the image could read it: {secrets}");
    assert!(image.stderr.contains(&warning), "{}", image.stderr);
    assert!(image.stderr.contains("Left out, since it has more than 100 MB: dump.sql (100 MB)."), "{}", image.stderr);
    assert!(image.stderr.contains("pkg/.wh.x stays out"), "{}", image.stderr);
    let left_out = [".env", ".pypirc", "conf/prod.env", "dump.sql", "tls/server.pem"];
    assert_eq!(image.result["left_out"], json!(left_out));
}

#[test]
fn what_is_asked_for_goes_along() {
    let folder = app();
    folder::write(folder.path(), "pyproject.toml", "[tool.rwsgi.image]\ninclude = [\"**/*.pem\"]\n");
    let image = Image::of(folder.path(), &["--include", "conf/*", "--include", "dump.sql"]);
    let found = [
        ".dockerignore",
        ".flaskenv",
        "app.py",
        "conf/prod.env",
        "dump.sql",
        "keys.py",
        "pyproject.toml",
        "tls/authority.pem",
        "tls/server.pem",
    ];
    assert_eq!(files(&image), json!(found));
    assert_eq!(image.result["left_out"], json!([".env", ".pypirc"]));
    let other = folder::with(&[("app.py", "app = print\n")]);
    let copy = format!("{}:/app/.env", folder.path().join(".env").display());
    let image = Image::of(other.path(), &["--copy", &copy]);
    assert_eq!(files(&image), json!([".env", "app.py"]), "what is copied by its name is asked for");
    let copy = format!("{}:/app/tls", folder.path().join("tls").display());
    let image = Image::of(other.path(), &["--copy", &copy]);
    assert_eq!(image.result["left_out"], json!(["server.pem"]));
}
