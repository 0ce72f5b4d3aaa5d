//! Lists of requirements: hashes, files that are included, index options, extras, and which line is at fault.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use super::{
    engine::{Image, dockerize, unique},
    failures::fails,
    folder,
};
use crate::support::environment::{run, rwsgi, venv};

/// Wheels of two small packages in a folder, and the requirement with the hash of the first.
fn wheels(folder: &Path) -> String {
    let pip = |arguments: &[&str]| {
        let mut command = Command::new(venv().join("bin/python"));
        command.args(["-m", "pip"]).args(arguments).current_dir(folder);
        command
    };
    run(&mut pip(&[
        "download",
        "-q",
        "--no-deps",
        "--only-binary",
        ":all:",
        "-d",
        "wheels",
        "itsdangerous==2.2.0",
        "six==1.17.0",
    ]));
    let name = "wheels/itsdangerous-2.2.0-py3-none-any.whl";
    let output = pip(&["hash", name]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("itsdangerous==2.2.0 \\\n    {}\n", text.lines().last().unwrap())
}

/// An app whose list includes another and is held to a third, and lines that require one more by its hash.
fn lists() -> (tempfile::TempDir, String) {
    let folder = folder::with(&[
        ("app.py", "import itsdangerous\napp = print\n"),
        ("requirements.txt", "--no-index\n--find-links wheels\n-r more/list.txt\n-c pins.txt\n"),
        ("more/list.txt", "six\n"),
        ("pins.txt", "six==1.17.0\nitsdangerous==1\n"),
    ]);
    let hashed = wheels(folder.path());
    (folder, hashed)
}

#[test]
fn lists_may_include_others_and_name_an_index_and_hashes() {
    let (folder, hashed) = lists();
    let write = |name: &str, text: &str| folder::write(folder.path(), name, text);
    let image = Image::of(folder.path(), &[]);
    let version = "import importlib.metadata as m; print(m.version('six'))";
    assert_eq!(image.python(version), "1.17.0");

    write("requirements.txt", &format!("--no-index\n--find-links wheels\n{hashed}"));
    let image = Image::of(folder.path(), &[]);
    assert_eq!(image.python("import app; print(app.itsdangerous.__name__)"), "itsdangerous");
    let cached = Image::of(folder.path(), &[]);
    assert_eq!(cached.result["layers"][1]["cached"], true);

    let wrong = "0".repeat(64);
    write("requirements.txt", &format!("--no-index\n--find-links wheels\nitsdangerous==2.2.0 --hash=sha256:{wrong}\n"));
    let failure = fails(folder.path(), &[], |_| {});
    let start = "Line 3 of requirements.txt asks for itsdangerous==2.2.0 with a hash that is not the hash of what";
    assert!(failure.message.starts_with(start), "{}", failure.message);
    write("requirements.txt", &format!("--no-index\n--find-links wheels\n{hashed}six\n"));
    let failure = fails(folder.path(), &[], |_| {});
    let start = "Line 5 of requirements.txt asks for six without a hash, but another line has one, and so all must.";
    assert!(failure.message.starts_with(start), "{}", failure.message);
}

#[test]
fn versions_are_those_of_a_projects_lock() {
    let project = |needs: &str| {
        format!(
            "[project]\nname = \"shop\"\nversion = \"1\"\ndependencies = [{needs}]\n\
             [project.optional-dependencies]\nmore = [\"six\"]\n"
        )
    };
    let needs = "\"itsdangerous>=2.1\"";
    let folder = folder::with(&[("app.py", "app = print\n"), ("pyproject.toml", &project(needs))]);
    let tools = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(venv().join("bin/uv"), tools.path().join("uv")).unwrap();
    let uv = |arguments: &[&str]| {
        run(Command::new(venv().join("bin/uv")).args(arguments).arg("--quiet").current_dir(folder.path()));
    };
    uv(&["lock", "--upgrade-package", "itsdangerous==2.1.2"]);
    let made = |path: &Path| {
        let name = unique("image");
        let mut command = dockerize(folder.path(), &name, &["--json", "--extra", "more"]);
        let output = command.env("PATH", path).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        Image { name, result: serde_json::from_slice(&output.stdout).unwrap(), stderr }
    };
    let code = "import importlib.metadata as m, six; print(m.version('itsdangerous'))";
    let image = made(tools.path());
    assert_eq!(image.python(code), "2.1.2");
    assert!(image.stderr.contains("Installing the dependencies in uv.lock"), "{}", image.stderr);
    let nothing = tempfile::tempdir().unwrap();
    let image = made(nothing.path());
    assert_ne!(image.python(code), "2.1.2");
    assert!(image.stderr.contains("Versions are not those of uv.lock, since no uv is there"), "{}", image.stderr);

    folder::write(folder.path(), "pyproject.toml", &project(&format!("{needs}, \"six\"")));
    let with_uv = |command: &mut Command| {
        command.env("PATH", tools.path());
    };
    let failure = fails(folder.path(), &[], with_uv);
    let told = "uv.lock is not of the project as it is now. Bring it up to date: uv lock";
    assert_eq!((failure.code, failure.message.trim()), (Some(1), told));
    folder::write(folder.path(), "uv.lock", "version = 99\n");
    let failure = fails(folder.path(), &[], with_uv);
    assert!(failure.message.starts_with("uv cannot read uv.lock: "), "{}", failure.message);
    // A folder has no digest.
    let wares = folder::with(&[("wares.py", ""), ("pyproject.toml", "[project]\nname = \"wares\"\nversion = \"7\"\n")]);
    let url = format!("\"wares @ file://{}\"", wares.path().display());
    folder::write(folder.path(), "pyproject.toml", &project(&format!("{needs}, {url}")));
    std::fs::remove_file(folder.path().join("uv.lock")).unwrap();
    uv(&["lock", "--upgrade-package", "itsdangerous==2.1.2"]);
    let image = made(tools.path());
    assert_eq!(image.python(code), "2.1.2");
    assert_eq!(image.python("import importlib.metadata as m; print(m.version('wares'))"), "7");

    // The lock settles what only uv follows, and an editable package is one like others.
    let built = "[project]\nname = \"wares\"\nversion = \"7\"\n[build-system]\nrequires = [\"setuptools\"]\n\
                 build-backend = \"setuptools.build_meta\"\n";
    folder::write(wares.path(), "pyproject.toml", built);
    let source = format!("{{ path = \"{}\", editable = true }}", wares.path().display());
    let project = project("\"wares\"") + &format!("[tool.uv.sources]\nwares = {source}\n");
    folder::write(folder.path(), "pyproject.toml", &project);
    uv(&["lock"]);
    let image = made(tools.path());
    assert_eq!(image.python("import importlib.metadata as m; print(m.version('wares'))"), "7");
    let without_uv = |command: &mut Command| {
        command.env("PATH", nothing.path());
    };
    let failure = fails(folder.path(), &[], without_uv);
    assert!(
        failure.message.contains("tool.uv.sources.wares says where that package comes from"),
        "{}",
        failure.message
    );
}

#[test]
fn uv_installs_where_there_is_no_pip() {
    let place = tempfile::tempdir().unwrap();
    let environment = place.path().join("environment");
    run(Command::new(rwsgi()).args(["python", "-m", "venv", "--without-pip"]).arg(&environment));
    let tools = place.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    std::os::unix::fs::symlink(venv().join("bin/uv"), tools.join("uv")).unwrap();
    let with_uv = |command: &mut Command| {
        command.args(["--python-from", environment.to_str().unwrap()]).env_remove("VIRTUAL_ENV").env("PATH", &tools);
    };
    let (folder, hashed) = lists();
    let write = |name: &str, text: &str| folder::write(folder.path(), name, text);
    let made = || {
        let name = unique("image");
        let mut command = dockerize(folder.path(), &name, &["--json"]);
        with_uv(&mut command);
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        Image { name, result: serde_json::from_slice(&output.stdout).unwrap(), stderr }
    };
    let code = "import importlib.metadata as m, os, sysconfig; six = m.distribution('six')\n\
                print(six.version, six.read_text('INSTALLER'), '.lock' in os.listdir(sysconfig.get_path('purelib')))";
    assert_eq!(made().python(code), "1.17.0 uv False");
    write("requirements.txt", &format!("--no-index\n--find-links wheels\n{hashed}"));
    assert_eq!(made().python("import app; print(app.itsdangerous.__name__)"), "itsdangerous");

    let wrong = "0".repeat(64);
    write("requirements.txt", &format!("--no-index\n--find-links wheels\nitsdangerous==2.2.0 --hash=sha256:{wrong}\n"));
    let failure = fails(folder.path(), &[], with_uv);
    let start = "Line 3 of requirements.txt asks for itsdangerous==2.2.0 with a hash that is not the hash of what";
    assert!(failure.message.starts_with(start), "{}", failure.message);
    write("requirements.txt", &format!("--no-index\n--find-links wheels\n{hashed}six==1.17.0\n"));
    let failure = fails(folder.path(), &[], with_uv);
    let start =
        "Line 5 of requirements.txt asks for six==1.17.0 without a hash, but another line has one, and so all must.";
    assert!(failure.message.starts_with(start), "{}", failure.message);
    write("requirements.txt", "six\nrwsgi_no_such.package>=1 # at all\n");
    let failure = fails(folder.path(), &[], with_uv);
    let start =
        "Line 2 of requirements.txt asks for rwsgi-no-such-package>=1, but the package index has nothing of that name";
    assert!(failure.message.starts_with(start), "{}", failure.message);
}

#[test]
fn git_calls_ssh_as_its_user_wants() {
    let folder = folder::with(&[
        ("app.py", "app = print\n"),
        ("requirements.txt", "shop @ git+ssh://git@example.invalid/shop.git\n"),
    ]);
    let place = tempfile::tempdir().unwrap();
    let (script, settings, called) =
        (place.path().join("ssh"), place.path().join("gitconfig"), place.path().join("called"));
    std::fs::write(&script, format!("#!/bin/sh\necho called >> {}\nexit 1\n", called.display())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let times = || std::fs::read_to_string(&called).unwrap_or_default().lines().count();
    let build = |variable: &str, value: &Path| {
        let before = times();
        fails(folder.path(), &[], |command| {
            command.env("GIT_CONFIG_GLOBAL", "/dev/null").env(variable, value);
        });
        assert!(times() > before, "{variable}");
    };
    std::fs::write(&settings, format!("[core]\n\tsshCommand = {}\n", script.display())).unwrap();
    build("GIT_CONFIG_GLOBAL", &settings);
    build("GIT_SSH", &script);
    build("GIT_SSH_COMMAND", &script);
}

#[test]
fn the_line_at_fault_is_told_whichever_file_it_is_in() {
    let folder = folder::with(&[
        ("app.py", "app = print\n"),
        ("requirements.txt", "six\n-r more/list.txt\n"),
        ("more/list.txt", "# ours\n\nrwsgi_no_such.package>=1 # at all\n"),
    ]);
    let failure = fails(folder.path(), &[], |_| {});
    let start =
        "Line 3 of more/list.txt asks for rwsgi_no_such.package>=1, but the package index has nothing of that name";
    assert!(failure.message.starts_with(start), "{}", failure.message);
    folder::write(folder.path(), "more/list.txt", "\nsix>=1.17\n");
    folder::write(folder.path(), "requirements.txt", "six<1.17\n-r more/list.txt\n");
    let failure = fails(folder.path(), &[], |_| {});
    assert!(failure.message.contains("requirements.txt") && failure.message.contains("six"), "{}", failure.message);
    assert_eq!(failure.message.lines().count(), 1, "{}", failure.message);
    std::fs::remove_file(folder.path().join("requirements.txt")).unwrap();
    let project =
        "[project]\nname = \"shop\"\nversion = \"1\"\ndependencies = [\n  \"six\",\n  \"rwsgi-no-such-package\",\n]\n";
    folder::write(folder.path(), "pyproject.toml", project);
    let failure = fails(folder.path(), &[], |_| {});
    let start = "Line 6 of pyproject.toml asks for rwsgi-no-such-package, but ";
    assert!(failure.message.starts_with(start), "{}", failure.message);
}

#[test]
fn extras_are_installed_when_they_are_asked_for() {
    let project = "[project]\nname = \"shop\"\nversion = \"1\"\ndependencies = [\"six\"]\n\
                   [project.optional-dependencies]\nsigned = [\"itsdangerous\"]\n";
    let folder = folder::with(&[("app.py", "app = print\n"), ("pyproject.toml", project)]);
    let there = "import importlib.util as u; print(bool(u.find_spec('six')), bool(u.find_spec('itsdangerous')))";
    assert_eq!(Image::of(folder.path(), &[]).python(there), "True False");
    assert_eq!(Image::of(folder.path(), &["--extra", "signed"]).python(there), "True True");
}
