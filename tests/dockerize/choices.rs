//! What is chosen for an image, on the command line and in the project's table, and what follows from project and repository.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    engine::{Image, dockerize, unique},
    failures::fails,
    folder,
};
use crate::support::environment::run;

const APP: &str = "import os\n\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    \
                   return [os.environ['GREETING'].encode()]\n";

/// Runs git in a folder, as nobody in particular and at a time that does not change.
fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(arguments);
    let time = "2026-02-03T04:05:06Z";
    run(command.env("GIT_AUTHOR_DATE", time).env("GIT_COMMITTER_DATE", time).env("GIT_CONFIG_GLOBAL", "/dev/null"));
}

fn labels(image: &Image) -> Value {
    image.inspect()["Config"]["Labels"].clone()
}

#[test]
fn options_are_in_the_config_and_in_force() {
    let folder = folder::with(&[("app.py", APP)]);
    let arguments = ["--env", "GREETING=Good = day", "--env", "LANG=C", "--label", "team=web", "--workers", "2"];
    let image =
        Image::of(folder.path(), &[&arguments[..], &["--threads", "3", "--healthcheck", "/health?a=b"]].concat());
    let config = &image.inspect()["Config"];
    let words = ["rwsgi", "app:app", "--bind", "0.0.0.0:5000", "--workers", "2", "--threads", "3"];
    assert_eq!(config["Cmd"], json!(words));
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "rwsgi", "healthcheck", "--path", "/health?a=b"]));
    let environment = config["Env"].as_array().unwrap();
    assert!(environment.contains(&json!("GREETING=Good = day")) && environment.contains(&json!("LANG=C")));
    assert_eq!(environment.len(), 5);
    assert_eq!(config["Labels"]["team"], "web");
    assert_eq!(image.serve().get("/"), "Good = day");
}

#[test]
fn no_health_check_is_none_at_all() {
    let folder = folder::with(&[("app.py", APP)]);
    let image = Image::of(folder.path(), &["--no-healthcheck", "--env", "GREETING=x"]);
    let container = image.serve();
    container.get("/");
    let state = super::engine::docker(&["inspect", "-f", "{{json .State}}", &container.name]);
    assert!(serde_json::from_str::<Value>(&state).unwrap().get("Health").is_none(), "{state}");
}

#[test]
fn a_table_chooses_too_and_the_command_line_counts_more() {
    let name = unique("image");
    let table = format!(
        "[tool.rwsgi.image]\ntag = \"{name}\"\napp = \"web:app\"\nport = 8080\nworkers = \"auto\"\nthreads = 2\n\
         env = {{ GREETING = \"a\", OTHER = \"b\" }}\nlabel = {{ team = \"web\" }}\ncopy = [\"../{name}.txt:/data/\"]\n\
         healthcheck = false\n"
    );
    let outer =
        folder::with(&[("app/web.py", APP), ("app/pyproject.toml", &table), (&format!("{name}.txt"), "copied")]);
    let mut command = dockerize(&outer.path().join("app"), "x", &[]);
    command = {
        // Without the name that all others give.
        let mut bare = Command::new(command.get_program());
        bare.arg("dockerize").arg(outer.path().join("app")).args(["--port", "8081", "--env", "OTHER=c", "--json"]);
        bare.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        bare
    };
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let image = Image { name: name.clone(), result: serde_json::from_slice(&output.stdout).unwrap(), stderr };
    assert_eq!(image.result["name"], format!("{name}:latest"));
    let config = &image.inspect()["Config"];
    let words = ["rwsgi", "web:app", "--bind", "0.0.0.0:8081", "--workers", "auto", "--threads", "2"];
    assert_eq!(config["Cmd"], json!(words));
    assert_eq!((&config["ExposedPorts"], &config["Labels"]["team"]), (&json!({ "8081/tcp": {} }), &json!("web")));
    assert_eq!(config["Healthcheck"]["Test"], json!(["NONE"]));
    let code =
        format!("import os; print(os.environ['GREETING'], os.environ['OTHER'], open('/data/{name}.txt').read())");
    assert_eq!(image.python(&code), "a c copied");
}

#[test]
fn labels_say_what_the_project_and_its_repository_are() {
    let project = "[project]\nname = \"shop\"\nversion = \"1.2\"\ndescription = \"Sells\"\nlicense = \"MIT\"\n\
                   urls = { Homepage = \"https://example.org\" }\n";
    let folder = folder::with(&[("app.py", "app = print\n"), ("pyproject.toml", project)]);
    folder::write(folder.path(), ".gitignore", "dist\n");
    folder::write(folder.path(), "dist/app.js", "1");
    git(folder.path(), &["init", "-q"]);
    git(folder.path(), &["config", "status.showUntrackedFiles", "no"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-qm", "first"]);
    git(folder.path(), &["tag", "v1.1"]);
    git(folder.path(), &["remote", "add", "origin", "https://me:hunter2@example.org/me/shop.git"]);
    let image = Image::of(folder.path(), &[]);
    let found = labels(&image);
    let label = |name: &str| found[format!("org.opencontainers.image.{name}")].as_str().map(str::to_owned);
    let output = Command::new("git").arg("-C").arg(folder.path()).args(["rev-parse", "HEAD"]).output().unwrap();
    let head = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    for (name, expected) in [
        ("title", "shop"),
        ("version", "1.2"),
        ("description", "Sells"),
        ("licenses", "MIT"),
        ("url", "https://example.org"),
        ("source", "https://example.org/me/shop"),
        ("revision", &head),
        ("created", "2026-02-03T04:05:06Z"),
    ] {
        assert_eq!(label(name).as_deref(), Some(expected), "{name}");
    }
    let whole = image.inspect().to_string();
    assert!(!whole.contains("hunter2") && !whole.contains("me:"), "{whole}");
    assert_eq!(image.inspect()["Created"], "2026-02-03T04:05:06Z");
    assert_eq!(image.python("from importlib.metadata import version; print(version('shop'))"), "1.2");
    // Files too are of their commit: a browser may ask for what is newer than its copy.
    let time_of =
        |image: &Image, name: &str| image.python(&format!("import os; print(int(os.stat('/app/{name}').st_mtime))"));
    let time = |image: &Image| time_of(image, "app.py");
    let committed = "1770091506";
    assert_eq!(time(&image), committed);

    // Not what git ignores, which changes as it likes, nor what comes from elsewhere.
    let built = time_of(&image, "dist/app.js");
    assert_ne!(built, committed);
    folder::write(folder.path(), "dist/app.js", "2");
    let copy = format!("{}:other.py", folder.path().join("app.py").display());
    let image = Image::of(folder.path(), &["--copy", &copy]);
    assert_ne!(time_of(&image, "dist/app.js"), built);
    assert_eq!((time(&image), time_of(&image, "other.py") == committed), (committed.to_owned(), false));
    assert_eq!(labels(&image)["org.opencontainers.image.revision"], head);
    folder::write(folder.path(), "new.py", "");
    let image = Image::of(folder.path(), &[]);
    assert_eq!(labels(&image)["org.opencontainers.image.revision"], format!("{head}-dirty"));

    // By whoever git does not trust with another user's repository.
    let name = unique("image");
    let mut command = dockerize(folder.path(), &name, &[]);
    let output =
        command.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("git config --global --add safe.directory "), "{stderr}");

    // Without a version of its own, and not as it was committed.
    std::fs::write(folder.path().join("pyproject.toml"), "").unwrap();
    let image = Image::of(folder.path(), &["--label", "org.opencontainers.image.source=elsewhere"]);
    assert_ne!(time(&image), committed);
    let found = labels(&image);
    assert_eq!(found["org.opencontainers.image.revision"], format!("{head}-dirty"));
    assert_eq!(found["org.opencontainers.image.version"], "v1.1-dirty");
    assert_eq!(found["org.opencontainers.image.source"], "elsewhere");
    git(folder.path(), &["commit", "-qam", "second"]);
    let version = labels(&Image::of(folder.path(), &[]))["org.opencontainers.image.version"].clone();
    assert_eq!(version.as_str().unwrap().len(), "v1.1-1-g0123456789ab-dirty".len(), "{version}");
}

#[test]
fn clones_of_one_commit_make_the_same_image() {
    let first = folder::with(&[("one/app.py", folder::HELLO)]);
    let (one, other) = (first.path().join("one"), first.path().join("other"));
    git(&one, &["init", "-q"]);
    git(&one, &["add", "."]);
    git(&one, &["commit", "-qm", "first"]);
    git(&one, &["remote", "add", "origin", "git@example.org:me/shop.git"]);
    git(first.path(), &["clone", "-q", "one", "other"]);
    git(&other, &["remote", "set-url", "origin", "https://me:token@example.org/me/shop"]);
    let tars = ["one", "other"].map(|name| {
        let tar = first.path().join(format!("{name}.tar"));
        let output = format!("{}", tar.display());
        run(&mut dockerize(&first.path().join(name), "same", &["--output", &output]));
        std::fs::read(tar).unwrap()
    });
    assert!(tars[0] == tars[1]);
    // What the build itself puts there is not the app's.
    let (inside, cache) = (one.join("image.tar"), one.join(".rwsgi-cache"));
    for _ in 0..2 {
        run(dockerize(&one, "same", &["--output", inside.to_str().unwrap()]).env("RWSGI_CACHE_DIR", &cache));
        assert!(std::fs::read(&inside).unwrap() == tars[0]);
    }
}

#[test]
fn what_cannot_be_chosen_is_refused_with_its_place() {
    let folder = folder::with(&[("app.py", "app = print\n"), ("pyproject.toml", "[tool.rwsgi.image]\nports = 80\n")]);
    let failure = fails(folder.path(), &[], |_| {});
    let start = "pyproject.toml, line 2: tool.rwsgi.image.ports is not known; the table has tag, app, port, ";
    assert!(failure.message.starts_with(start), "{}", failure.message);
    std::fs::remove_file(folder.path().join("pyproject.toml")).unwrap();
    for arguments in [
        ["--env", "A"],
        ["--env", "PATH=/bin"],
        ["--label", "=x"],
        ["--workers", "0"],
        ["--threads", "0"],
        ["--healthcheck", "health"],
        ["--copy", "a"],
        ["--copy", "a:/proc/a"],
        ["--writable", "/data"],
        ["--writable", "../data"],
        ["--writable", "."],
    ] {
        let output = dockerize(folder.path(), "x", &arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(arguments[0]), "{arguments:?}: {stderr}");
    }
    let failure = fails(folder.path(), &["--include", "["], |_| {});
    assert!(failure.message.contains("line 1 of --include"), "{}", failure.message);
    let failure = fails(folder.path(), &["--extra", "fast"], |_| {});
    assert!(failure.message.starts_with("There is no extra fast in pyproject.toml"), "{}", failure.message);
    for (choice, error) in [
        ("copy = ['missing.ini:/etc/']", "The copy missing.ini:/etc/ cannot be made"),
        ("copy = ['app.py:/usr/local/bin/rwsgi']", "A copy would take /usr/local/bin/rwsgi"),
        ("copy = ['app.py:/data', 'app.py:/data/x']", "Two copies do not go together"),
        ("extra = ['fast']", "There is no extra fast"),
        ("writable = ['app.py']", "The app cannot write into app.py: /app/app.py is no folder"),
        ("python-from = 'nowhere'", "The Python in "),
        ("from-venv = 'nowhere'", "/nowhere "),
    ] {
        std::fs::write(folder.path().join("pyproject.toml"), format!("[tool.rwsgi.image]\n\n{choice}\n")).unwrap();
        let failure = fails(folder.path(), &[], |_| {});
        let said = failure.message.strip_prefix("pyproject.toml, line 3: ");
        assert!(said.is_some_and(|said| said.contains(error)), "{}", failure.message);
    }
}

#[test]
fn a_variable_that_sounds_like_a_secret_is_warned_of() {
    let folder = folder::with(&[("app.py", "app = print\n")]);
    let image = Image::of(folder.path(), &["--env", "DB_PASSWORD=x"]);
    assert!(image.stderr.contains("Warning: The variable DB_PASSWORD goes into the image"), "{}", image.stderr);
    let warnings = image.result["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), image.stderr.matches("Warning: ").count());
    assert!(warnings[0].as_str().unwrap().starts_with("The variable DB_PASSWORD goes into the image"), "{warnings:?}");
}
