//! The image itself: what it says, how large it is, how it runs and ends, and that it is the same every time.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    engine::{Image, docker, dockerize},
    folder,
};
use crate::smoke::NAMED;
use crate::support::{
    Server,
    environment::{install, run, rwsgi},
    httpbin,
};

#[test]
fn an_app_answers_in_a_hardened_container_and_ends_at_once() {
    let container = folder::hello().serve();
    assert_eq!(container.get("/"), "Hello");
    docker(&["stop", &container.name]);
    // A process that does not listen is killed after ten seconds, with another exit code.
    assert_eq!(docker(&["inspect", "-f", "{{.State.ExitCode}}", &container.name]), "0", "{}", container.log());
}

#[test]
fn smoke_an_image_answers_with_the_python_that_it_was_made_with() {
    let image = folder::hello();
    assert_eq!(image.serve().get("/"), "Hello");
    // Either it has the library that the program loads, or the program has Python's code in it.
    let code = "import os; print('libpython' in open('/proc/self/maps').read(), \
                any(name.startswith('libpython') for _, _, names in os.walk('/usr') for name in names))";
    let told = image.python(code);
    assert!(["True True", "False False"].contains(&told.as_str()), "{told}");
}

#[test]
fn a_package_that_asks_for_libpython_gets_it() {
    let setup = "from setuptools import Extension, setup\nfrom sysconfig import get_config_var as get\n\
                 named = Extension('named', ['named.c'], libraries=['python' + get('LDVERSION')],\n\
                                   library_dirs=[get('LIBDIR')], runtime_library_dirs=[get('LIBDIR')],\n\
                                   extra_link_args=['-Wl,--no-as-needed'])\n\
                 setup(name='named', version='1', ext_modules=[named])\n";
    let files = [
        ("app.py", "app = print\n"),
        ("requirements.txt", "./named\n"),
        ("named/setup.py", setup),
        ("named/named.c", NAMED),
    ];
    let image = Image::of(folder::with(&files).path(), &[]);
    let code = "import named; print(named.started(), 'libpython' in open('/proc/self/maps').read())";
    assert_eq!(image.python(code), "True True");
    let other = Image::of(folder::with(&files).path(), &[]);
    assert_eq!(other.digests(), image.digests(), "wherever it is compiled");
}

#[test]
fn httpbin_answers_from_an_image_as_it_does_natively() {
    // Made first: the port must not be free for as long as that takes.
    let image = folder::packages();
    // One after the other at the same address, which is in many of the bodies, and where no other test listens.
    let mut native = Server::of("").without_bind().args(["httpbin:app", "--bind", "127.0.0.3:0"]).start();
    let expected = httpbin::transcript(&native.url(""));
    native.stop();
    let address = native.address();
    let container = image.serve_at(address, &["rwsgi", "httpbin:app", "--bind", address]);
    let transcript = httpbin::transcript(&container.url(""));
    let differs: Vec<_> = transcript.lines().zip(expected.lines()).filter(|(here, there)| here != there).collect();
    assert!(differs.is_empty(), "{differs:#?}");
    assert_eq!(transcript.lines().count(), expected.lines().count());
}

#[test]
fn the_config_says_what_a_container_runs() {
    let image = folder::hello().inspect();
    let config = &image["Config"];
    assert_eq!(config["Cmd"], json!(["rwsgi", "app:app", "--bind", "0.0.0.0:5000"]));
    assert_eq!(config["ExposedPorts"], json!({ "5000/tcp": {} }));
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["WorkingDir"], "/app");
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert!(config["Env"].as_array().unwrap().contains(&json!("PYTHONUNBUFFERED=1")));
    assert!(config["Env"].as_array().unwrap().iter().any(|variable| variable.as_str().unwrap().starts_with("PATH=")));
    assert_eq!(image["Os"], "linux");
    assert!(!image["Created"].as_str().unwrap().starts_with("0001"));
    assert_eq!(image["Id"], folder::hello().result["id"]);
}

#[test]
fn another_app_and_port_are_in_the_config() {
    let files = [("web/site.py", "def pages(environ, start_response): ...\n"), ("web/__init__.py", "")];
    let folder = folder::with(&files);
    let image = Image::of(folder.path(), &["--app", "web.site:pages", "--port", "8080"]);
    let config = &image.inspect()["Config"];
    assert_eq!(config["Cmd"], json!(["rwsgi", "web.site:pages", "--bind", "0.0.0.0:8080"]));
    assert_eq!(config["ExposedPorts"], json!({ "8080/tcp": {} }));
    assert!(image.result["run"].as_str().unwrap().contains("-p 8080:8080"), "{}", image.result);
    assert_eq!(image.digests().len(), 2, "no dependencies, no layer for them");
    assert!(image.stderr.contains("none are installed"), "{}", image.stderr);
}

#[test]
fn the_hello_flask_image_is_small() {
    let size = folder::hello().inspect()["Size"].as_u64().unwrap();
    let program: u64 =
        folder::hello().python("import os; print(os.path.getsize('/usr/local/bin/rwsgi'))").parse().unwrap();
    // The program is the smaller by far where it is built to be released.
    assert!(size - program < 34_000_000, "{size} with {program}");
}

#[test]
fn a_container_is_not_root_and_owns_nothing() {
    let code = "import os\n\
        print(os.getuid(), os.getgid(), os.getcwd())\n\
        found = []\n\
        for folder, folders, files in os.walk('/', followlinks=False):\n\
        \x20   folders[:] = [name for name in folders if os.path.join(folder, name) not in ('/proc', '/sys', '/dev', '/tmp')]\n\
        \x20   for name in folders + files:\n\
        \x20       path = os.path.join(folder, name)\n\
        \x20       mode = os.lstat(path).st_mode\n\
        \x20       if os.path.islink(path): continue\n\
        \x20       if mode & 0o6000 or os.access(path, os.W_OK) or not os.access(path, os.R_OK): found.append(path)\n\
        print(found)";
    assert_eq!(folder::hello().python(code), "65532 65532 /app\n[]");
}

#[test]
fn one_executable_is_the_server_and_the_interpreter() {
    let code = "import os, sys\n\
        print(os.path.realpath(sys.executable), sys.prefix, os.path.realpath('/usr/local/bin/python3'))";
    assert_eq!(folder::hello().python(code), "/usr/local/bin/rwsgi /usr/local /usr/local/bin/rwsgi");
}

/// A package that another version of takes the place of must not leave browsers with its old files, whose size may be the same.
#[test]
fn the_times_of_packages_files_follow_their_content() {
    let code = "import flask, os; folder = os.path.dirname(flask.__file__)\n\
        print(len({os.stat(os.path.join(folder, name)).st_mtime for name in ('__init__.py', 'app.py', 'cli.py')}))";
    assert_eq!(folder::hello().python(code), "3");
}

#[test]
fn commands_of_packages_run_in_the_image() {
    let image = folder::hello();
    let version = docker(&["run", "--rm", &image.name, "flask", "--version"]);
    assert!(version.contains("Flask 3"), "{version}");
}

#[test]
fn what_is_installed_is_on_record() {
    let code = "import importlib.metadata as m\n\
        wrong = []\n\
        for d in m.distributions():\n\
        \x20   for f in d.files or []:\n\
        \x20       p = f.locate()\n\
        \x20       if not p.exists() or (f.size is not None and f.size != p.stat().st_size): wrong.append(str(f))\n\
        print(len(list(m.distributions())) > 5, wrong)";
    assert_eq!(folder::hello().python(code), "True []");
}

#[test]
fn what_the_app_imports_and_the_image_lacks_is_told_when_it_is_made() {
    let app = "import flask_missing\nimport shop.views\n\ntry:\n    import nonesuch_one\nexcept ImportError:\n    pass\n\
        if flask_missing:\n    import nonesuch_two\n\n\ndef draw():\n    import turtle\n\n\napp = print\n";
    let views = "from . import models\nimport blinker, legacy, colorama.ansi\n";
    let folder = folder::with(&[
        ("app.py", app),
        ("shop/__init__.py", ""),
        ("shop/views.py", views),
        ("shop/models.py", "import sqlite3, email.mime.text\nfrom redis import Redis\nimport hidden\n"),
        ("hidden.py", ""),
        (".dockerignore", "hidden.py\n"),
        ("shop/legacy.py", ""),
        ("unused.py", "import nonesuch_three\n"),
        ("requirements.txt", "blinker\ncolorama\n"),
    ]);
    let image = Image::of(folder.path(), &[]);
    let warnings: Vec<_> = image.stderr.lines().filter(|line| line.contains(" imports ")).collect();
    let expected = [
        "app.py, line 1, imports flask_missing, which is neither in the app's folder nor among its dependencies",
        "shop/models.py, line 2, imports redis, which is neither",
        "shop/models.py, line 3, imports hidden, which .dockerignore leaves out of the image, so it will fail at its start.",
        "app.py, line 13, imports turtle in a function, which is left out of images, so that function will fail.",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for expected in expected {
        assert!(warnings.iter().any(|warning| warning.contains(expected)), "{expected}: {warnings:#?}");
    }
    // Where containers look elsewhere too, nobody can tell; what is left out of images is not there either.
    let image = Image::of(folder.path(), &["--env", "PYTHONPATH=/opt/modules"]);
    let warnings: Vec<_> = image.stderr.lines().filter(|line| line.contains(" imports ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(" imports turtle "), "{warnings:#?}");
}

#[test]
fn a_configuration_file_is_a_part_of_the_app() {
    // Its own name is no module's, and it may have modules looked for elsewhere.
    let configuration = "import gunicorn\nimport nonesuch_one\nworkers = 1\n";
    let folder =
        folder::with(&[("app.py", "import gunicorn.http\napp = print\n"), ("gunicorn.conf.py", configuration)]);
    let image = Image::of(folder.path(), &[]);
    let warnings: Vec<_> = image.stderr.lines().filter(|line| line.contains(" imports ")).collect();
    assert_eq!(warnings.len(), 2, "{}", image.stderr);
    for (line, name) in [(1, "gunicorn"), (2, "nonesuch_one")] {
        let expected = format!("gunicorn.conf.py, line {line}, imports {name}, which is neither");
        assert!(warnings.iter().any(|warning| warning.contains(&expected)), "{expected}: {warnings:#?}");
    }
    let configuration = "chdir = 'backend'\nwsgi_app = 'shop.wsgi:app'\n";
    let app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'found']\n";
    let folder = folder::with(&[("gunicorn.conf.py", configuration), ("backend/shop/wsgi.py", app)]);
    let image = Image::of(folder.path(), &[]);
    assert!(!image.stderr.contains("Warning"), "{}", image.stderr);
}

#[test]
fn what_packages_import_and_the_image_lacks_is_told_too() {
    // An old package, which counts on setuptools without saying so.
    let folder =
        folder::with(&[("app.py", "import httpbin_legacy\napp = print\n"), ("requirements.txt", "./legacy\n")]);
    folder::write(folder.path(), "legacy/httpbin_legacy/__init__.py", "from .deep import x\n");
    folder::write(folder.path(), "legacy/httpbin_legacy/deep.py", "import sys\nimport pkg_resources\nx = 1\n");
    let project =
        "[project]\nname = 'httpbin-legacy'\nversion = '1'\n[tool.setuptools]\npackages = ['httpbin_legacy']\n";
    folder::write(folder.path(), "legacy/pyproject.toml", project);
    let image = Image::of(folder.path(), &[]);
    let expected = "httpbin_legacy/deep.py, line 2, imports pkg_resources (app.py, line 1, leads there), which is not in the \
        image, so it will fail at its start. Add setuptools<81 to the app's requirements.";
    assert!(image.stderr.contains(expected), "{}", image.stderr);
}

#[test]
fn byte_code_is_there_for_everything_that_is_imported() {
    let code = "import sys, flask, app\n\
        import importlib.util, os\n\
        files = [m.__file__ for m in list(sys.modules.values()) if (getattr(m, '__file__', None) or '').endswith('.py') and os.path.exists(m.__file__)]\n\
        print(len(files) > 50, [f for f in files if not os.path.exists(importlib.util.cache_from_source(f))])\n\
        # Python 3.11 has these within itself.\n\
        frozen = {'_collections_abc', '_sitebuiltins', 'abc', 'codecs', 'genericpath', 'io', 'ntpath', 'posixpath', 'site', 'stat'}\n\
        files = [getattr(m, '__file__', None) or '' for m in list(sys.modules.values())]\n\
        packed = {f.split('.zip/')[1].split('/')[0].split('.')[0] for f in files if '.zip/' in f}\n\
        print(packed - frozen)\n\
        print(flask.Flask.__init__.__code__.co_filename.startswith('/usr/local/lib/'), app.index.__code__.co_filename)";
    assert_eq!(folder::hello().python(code), "True []\n{'encodings'}\nTrue /app/app.py");
}

#[test]
fn the_standard_library_is_byte_code_that_tells_where_it_is() {
    let code = "import asyncio, json, traceback\n\
        print('.zip/asyncio/' in asyncio.__file__, json.__file__.endswith('.pyc'))\n\
        try: json.loads('{')\n\
        except ValueError: print('json/decoder.py\", line ' in traceback.format_exc())";
    assert_eq!(folder::hello().python(code), "True True\nTrue");
}

#[test]
fn what_is_left_out_can_be_kept() {
    let table = "[tool.rwsgi.image]\nkeep = ['this.py', '**/test_ast*']\n";
    let folder = folder::with(&[("app.py", "app = print\n"), ("pyproject.toml", table)]);
    let image = Image::of(folder.path(), &["--keep", "lib-dynload/_testcapi*"]);
    let code = "import inspect, os, this, _testcapi\n\
        print(bool(inspect.getsource(this)), os.path.exists(this.__cached__), os.path.exists(os.path.dirname(this.__file__) + '/test/test_ast.py'))\n\
        try: import antigravity\n\
        except ImportError as error: print(error)";
    assert!(image.python(code).ends_with("True True True\nNo module named 'antigravity'"), "{}", image.python(code));
}

#[test]
fn an_image_to_look_into_has_a_shell_and_sources() {
    install("busybox-static", "busybox");
    let table = "[tool.rwsgi.image]\ndebug = true\n";
    let folder = folder::with(&[("app.py", "app = print\n"), ("pyproject.toml", table)]);
    let image = Image::of(folder.path(), &[]);
    let shell = |line| docker(&["run", "--rm", &image.name, "sh", "-c", line]);
    assert_eq!(
        shell("ls /app && echo ${PATH} && echo x | sed s/x/y/"),
        "__pycache__\napp.py\npyproject.toml\n/usr/local/bin\ny"
    );
    let code =
        "import asyncio, inspect, os; print('def run' in inspect.getsource(asyncio.run), os.system('exit 3') >> 8)";
    assert_eq!(image.python(code), "True 3");
}

#[test]
fn the_python_of_an_environment_can_be_taken() {
    let place = tempfile::tempdir().unwrap();
    let environment = place.path().join("environment");
    run(Command::new(rwsgi()).args(["python", "-m", "venv", "--without-pip"]).arg(&environment));
    let folder = folder::with(&[("app.py", "app = print\n")]);
    let image = Image::of(folder.path(), &["--python-from", environment.to_str().unwrap()]);
    assert_eq!(
        image.python("import sys, sqlite3; print(sys.prefix, sys.executable)"),
        "/usr/local /usr/local/bin/python"
    );
    assert_eq!(image.digests()[0], super::engine::Image::of(folder.path(), &[]).digests()[0], "it is the same one");
}

#[test]
fn the_same_inputs_give_the_same_layers() {
    let files = [("app.py", folder::HELLO), ("static/style.css", "a {}\n"), ("requirements.txt", "flask\n")];
    let (one, other) = (folder::with(&files), folder::with(&files));
    std::fs::set_permissions(other.path().join("app.py"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(other.path().join("app.py")).unwrap().set_modified(old).unwrap();
    let (one, other) = (Image::of(one.path(), &[]), Image::of(other.path(), &[]));
    assert_eq!(one.digests(), other.digests());
    assert_eq!(one.digests().len(), 3);
    assert_eq!(one.digests()[..2], folder::hello().digests()[..2], "another app shares what is below it");
    assert_ne!(one.digests()[2], folder::hello().digests()[2]);
}

#[test]
fn an_apps_folder_arrives_as_it_is() {
    let folder = folder::with(&[
        ("app.py", "app = lambda environ, start_response: []\n"),
        (".dockerignore", "*.log\nsecret\n!secret/keep.txt\n"),
        ("debug.log", ""),
        ("secret/key.pem", ""),
        ("secret/keep.txt", "kept"),
        (".git/config", ""),
        ("venv/pyvenv.cfg", ""),
        ("venv/lib/x.py", ""),
        ("pkg/__pycache__/stale.cpython-39.pyc", ""),
        ("app.pyc", ""),
        ("pkg/bare.pyc", ""),
    ]);
    let root = folder.path();
    std::fs::create_dir(root.join("empty")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", root.join("absolute")).unwrap();
    std::os::unix::fs::symlink("secret/keep.txt", root.join("relative")).unwrap();
    std::fs::write(root.join(OsStr::from_bytes(b"odd\xff name")), "odd").unwrap();
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    folder::write(root, &long, "long");
    std::fs::write(root.join("tool"), "#!/usr/local/bin/python3\n").unwrap();
    std::fs::set_permissions(root.join("tool"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let socket = UnixListener::bind(root.join("socket")).unwrap();
    let image = Image::of(root, &[]);
    drop(socket);
    assert!(image.stderr.contains("socket is a socket, a pipe or a device and stays out"), "{}", image.stderr);
    let code = "import json, os\n\
        found = {}\n\
        for folder, folders, files in os.walk(b'/app'):\n\
        \x20   for name in folders + files:\n\
        \x20       path = os.path.join(folder, name)\n\
        \x20       what = os.readlink(path) if os.path.islink(path) else oct(os.stat(path).st_mode)[-4:].encode()\n\
        \x20       found[path[5:].decode('latin-1')] = what.decode()\n\
        print(json.dumps(found))";
    let found: Value = serde_json::from_str(&image.python(code)).unwrap();
    let (parent, _) = long.split_once('/').unwrap();
    let mut expected = json!({
        "app.py": "0644", "__pycache__": "0755", ".dockerignore": "0644", "secret": "0755", "secret/keep.txt": "0644",
        "pkg": "0755", "pkg/bare.pyc": "0644", "empty": "0755", "absolute": "/etc/hostname", "relative": "secret/keep.txt", "odd\u{ff} name": "0644",
        "tool": "0755",
    });
    let pyc = found.as_object().unwrap().keys().find(|path| path.starts_with("__pycache__/app.")).unwrap();
    for (path, mode) in [(parent, "0755"), (&long, "0644"), (pyc, "0644")] {
        expected[path] = json!(mode);
    }
    assert_eq!(found, expected);
}

#[test]
fn dependencies_come_from_a_project_too() {
    let project = "[project]\nname = \"shop\"\nversion = \"1\"\ndependencies = [\"itsdangerous\"]\n";
    let folder = folder::with(&[("app.py", "import itsdangerous\napp = print\n"), ("pyproject.toml", project)]);
    let image = Image::of(folder.path(), &[]);
    assert_eq!(image.python("import app; print(app.itsdangerous.__name__)"), "itsdangerous");
}

#[test]
fn the_time_of_an_image_can_be_set() {
    let folder = folder::with(&[("app.py", "app = print\n")]);
    let name = super::engine::unique("image");
    let output =
        super::engine::dockerize(folder.path(), &name, &[]).env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(docker(&["image", "inspect", "-f", "{{.Created}}", &name]), "2023-11-14T22:13:20Z");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("docker run --rm -p 5000:5000 --read-only --tmpfs /tmp"), "{stdout}");
    for layer in ["base", "app", "in all"] {
        assert!(stdout.lines().any(|line| line.trim_start().starts_with(layer) && line.contains(" MB")), "{stdout}");
    }
}

#[test]
fn the_same_sources_give_the_same_image_whoever_builds_it_where_and_when() {
    const ONE_PROCESSOR: &str =
        "umask 077; first=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//'); exec taskset -c \"$first\" \"$@\"";
    let files = [("app.py", folder::HELLO), ("static/style.css", "a {}\n"), ("requirements.txt", "flask\n")];
    let (one, other, place) = (folder::with(&files), folder::with(&files), tempfile::tempdir().unwrap());
    for epoch in [None, Some("1700000000")] {
        let tars = ["one.tar", "other.tar"].map(|name| place.path().join(name));
        let build = |folder: &tempfile::TempDir, tar: &Path| {
            let mut command = dockerize(folder.path(), "same", &["--no-cache", "--output", tar.to_str().unwrap()]);
            command.envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch)));
            command
        };
        run(&mut build(&one, &tars[0]));
        // Another user (who may read what this one can), umask, time zone, hash seed, home, folder for temporary files, number
        // of processors, and time of the files.
        let home = place.path().join(format!("home-{}", epoch.unwrap_or("none")));
        std::fs::create_dir(&home).unwrap();
        run(Command::new("chown").arg("-R").arg("65533:65533").args([&home, other.path(), place.path()]));
        run(Command::new("find").arg(other.path()).args(["-exec", "touch", "-d", "2001-02-03", "{}", "+"]));
        let inner = build(&other, &tars[1]);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65533", "--regid=65533", "--clear-groups", "--inh-caps=+dac_read_search"]);
        command.args(["--ambient-caps=+dac_read_search", "sh", "-c", ONE_PROCESSOR, "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("HOME", &home).env("TMPDIR", &home).env("TZ", "Asia/Kathmandu").env("PYTHONHASHSEED", "7");
        run(&mut command);
        assert!(std::fs::read(&tars[0]).unwrap() == std::fs::read(&tars[1]).unwrap(), "{epoch:?}");
    }
}
