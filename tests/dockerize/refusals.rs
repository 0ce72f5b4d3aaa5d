//! Projects that cannot be an image which serves: refused with what is wrong with them.

use super::{
    engine::{Image, dockerize, unique},
    failures::{fails, hello},
    folder,
};

#[test]
fn an_app_that_the_standard_library_hides() {
    let folder = folder::with(&[("calendar.py", folder::HELLO), ("requirements.txt", "flask\n")]);
    for arguments in [&[][..], &["--app", "calendar:app"]] {
        let failure = fails(folder.path(), arguments, |_| {});
        let said = "calendar:app cannot be served: calendar.py is hidden by the standard library's calendar. Give it another name.";
        assert_eq!((failure.code, failure.message.as_str()), (Some(1), said));
    }
}

#[test]
fn an_app_that_is_neither_in_the_folder_nor_among_the_dependencies() {
    let folder = hello("");
    folder::write(folder.path(), "shop/__init__.py", "");
    for module in ["nosuch", "nosuch.web", "shop.nosuch"] {
        let failure = fails(folder.path(), &["--app", &format!("{module}:app")], |_| {});
        let said = format!(
            "{module}:app (from --app) cannot be served: there is no module {module} in the image, neither among"
        );
        assert!(failure.code == Some(1) && failure.message.starts_with(&said), "{}", failure.message);
    }
}

#[test]
fn an_app_in_doubt_is_asked_for() {
    let folder = folder::with(&[("app.py", folder::HELLO), ("main.py", folder::HELLO)]);
    let failure = fails(folder.path(), &[], |_| {});
    assert_eq!(failure.code, Some(1));
    assert!(
        failure.message.contains("--app 'app:app'") && failure.message.contains("--app 'main:app'"),
        "{}",
        failure.message
    );
}

#[test]
fn an_app_that_is_not_there_is_asked_for() {
    let folder = folder::with(&[("setup.py", ""), ("tool.py", "def main(): ...\n")]);
    let failure = fails(folder.path(), &[], |_| {});
    assert!(failure.message.contains("looked into tool.py. Name it with --app MODULE:NAME"), "{}", failure.message);
}

#[test]
fn settings_with_which_a_container_would_not_start() {
    let folder = hello("flask\n");
    for (text, said) in [
        (
            "worker_class = 'gevent'\n",
            "The worker class gevent of worker_class (from gunicorn.conf.py) is not supported.",
        ),
        ("daemon: bool = True\n", "daemon (from gunicorn.conf.py) has the server go on in the background"),
        ("logger_class = 'a.B'\n", "logger_class (from gunicorn.conf.py) is not supported. The logs are not"),
        ("threads = 'many'\n", "The value \"many\" of threads (from gunicorn.conf.py) is not a whole number from 0."),
        (
            "rwsgi_request_timout = 5\n",
            "rwsgi_request_timout (from gunicorn.conf.py) is no setting of rwsgi's, which are",
        ),
        (
            "bind = ':8000'\nworkers = = 2\n",
            "gunicorn.conf.py, line 2, cannot be read as Python (invalid syntax). Correct it.",
        ),
    ] {
        folder::write(folder.path(), "gunicorn.conf.py", text);
        let failure = fails(folder.path(), &[], |_| {});
        let said = format!("A container would end at its start: {said}");
        assert!(failure.code == Some(1) && failure.message.starts_with(&said), "{}", failure.message);
    }
}

#[test]
fn settings_of_which_nobody_can_tell_and_files_that_a_container_may_lack() {
    let text = "import os\nif os.environ.get('X'):\n    daemon = True\nworker_class = os.environ.get('C', 'sync')\n\
        keyfile = '/etc/tls/key.pem'\nerrorlog = '/var/log/shop.log'\naccesslog = '/dev/stdout'\npidfile = 'var/pid'\n\
        statsd_prefix = 'shop'\nuser = 'nobody-here'\nthreads = 'x'\nthreads = 2\nbind = ['0.0.0.0:80']\n\
        chdir = '/srv/shop'\n";
    let folder = folder::with(&[("app.py", "app = print\n"), ("gunicorn.conf.py", text)]);
    let image = Image::of(folder.path(), &["--writable", "var"]);
    let warned: Vec<_> = image.stderr.lines().filter(|line| line.contains("gunicorn.conf.py")).collect();
    assert_eq!(warned.len(), 4, "{warned:?}");
    assert!(warned[0].contains("chdir (from gunicorn.conf.py) is /srv/shop, which is not in the image"));
    assert!(
        warned[3].contains("user (from gunicorn.conf.py) is nobody-here, and a container runs as 65532, which cannot")
    );
    assert!(
        warned[1].contains("errorlog (from gunicorn.conf.py) is /var/log/shop.log, which a container cannot write to")
    );
    assert!(warned[2].contains("keyfile (from gunicorn.conf.py) is /etc/tls/key.pem, which is not in the image"));
}

#[test]
fn an_environment_is_no_folder_of_an_app() {
    let folder = folder::with(&[(".venv/pyvenv.cfg", "")]);
    let place = folder.path().join(".venv");
    let failure = fails(&place, &["--from-venv"], |_| {});
    let said = format!(
        "{} is a virtual environment, and no app's folder. Name that; --from-venv=DIR, with =, takes the packages of an \
         environment.",
        place.canonicalize().unwrap().display()
    );
    assert_eq!(failure.message, said);
}

#[test]
fn an_app_that_cannot_start_for_want_of_a_module_that_is_left_out() {
    let files = [("app.py", "import gui\napp = print\n"), ("gui.py", "from tkinter import ttk\n")];
    let folder = folder::with(&files);
    let failure = fails(folder.path(), &[], |_| {});
    assert_eq!(
        failure.message,
        "gui.py, line 1, imports tkinter, which is left out of images, so it will fail at its start. Do without it, or keep \
         it: --keep tkinter --keep 'lib-dynload/*tkinter*'."
    );
    let kept = Image::of(folder.path(), &["--keep", "tkinter", "--keep", "lib-dynload/*tkinter*"]);
    assert!(!kept.stderr.contains("imports tkinter"), "{}", kept.stderr);
}

#[test]
fn a_project_for_another_python_and_an_app_that_is_none_are_refused() {
    let project = "[project]\nname = 'shop'\nrequires-python = '<3.9'\ndependencies = []\n";
    let folder = folder::with(&[("app.py", folder::HELLO), ("pyproject.toml", project)]);
    let failure = fails(folder.path(), &[], |_| {});
    assert_eq!(failure.code, Some(1));
    let said = "pyproject.toml, line 3: project.requires-python is \"<3.9\", and the Python of the image is ";
    assert!(failure.message.starts_with(said), "{}", failure.message);
    for (app, why) in [("app.py", "without .py, as in app:app"), ("app:app()x", "neither a name nor a call")] {
        let output = dockerize(folder.path(), &unique("image"), &["--app", app]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        let table = format!("[tool.rwsgi.image]\napp = \"{app}\"\n");
        let folder = folder::with(&[("app.py", folder::HELLO), ("pyproject.toml", &table)]);
        let said = fails(folder.path(), &[], |_| {}).message;
        assert!(said.starts_with("pyproject.toml, line 2: ") && said.contains(why), "{said}");
    }
}
