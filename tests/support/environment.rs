//! The virtual environment that the tests' apps see. Made once a run, kept under `target/`, and brought up to date.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

/// The program under test: the one that Cargo built with the tests, or the one that `RWSGI_UNDER_TEST` names.
pub fn rwsgi() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var("RWSGI_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_rwsgi").to_owned()))
}

/// Variables that a test's surroundings may have, and that mean something to a server or to its app.
const SURROUNDINGS: [&str; 12] = [
    "PORT",
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    "SENDFILE",
    "GUNICORN_CMD_ARGS",
    "RWSGI_CMD_ARGS",
    "RWSGI_UNDER_TEST",
    "SCRIPT_NAME",
    "FLASK_APP",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "LD_LIBRARY_PATH",
];

/// A command that has the environment of the tests, and nothing of their surroundings.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in SURROUNDINGS {
        command.env_remove(name);
    }
    command.env("VIRTUAL_ENV", venv());
    command
}

/// The folder of the environment, with everything in `tests/requirements.txt` installed.
pub fn venv() -> &'static Path {
    static VENV: OnceLock<PathBuf> = OnceLock::new();
    VENV.get_or_init(|| {
        let version = python_version();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("venv-{version}"));
        let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requirements.txt");
        let installed = directory.join("installed.txt");
        let wanted = std::fs::read_to_string(requirements).expect("the list of requirements is there");
        if std::fs::read_to_string(&installed).ok().as_ref() == Some(&wanted) {
            return directory;
        }
        run(Command::new(rwsgi()).env_remove("VIRTUAL_ENV").args(["python", "-m", "venv", "--clear"]).arg(&directory));
        run(Command::new(directory.join("bin/python")).args(["-m", "pip", "install", "--quiet", "-r", requirements]));
        std::fs::write(&installed, wanted).expect("the environment can be written to");
        directory
    })
}

/// `major.minor` of the embedded Python.
pub fn python_version() -> String {
    let output = Command::new(rwsgi()).arg("--version").output().expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("its version is text");
    let version = text.split("CPython ").nth(1).expect("it names the version of Python").trim().trim_end_matches(')');
    version.rsplitn(2, '.').last().expect("a version has parts").to_owned()
}

/// Installs one of Debian's packages where its `program` is missing.
pub fn install(package: &str, program: &str) {
    // Two at a time would be one too many for the package manager.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if Command::new(program).arg("--help").output().is_err() {
        run(Command::new("apt-get").args(["install", "-y", "--no-install-recommends", package]));
    }
}

/// Runs a command that must succeed.
#[track_caller]
pub fn run(command: &mut Command) {
    let output = command.output().expect("the command starts");
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
