//! Settings: that they are gunicorn's, from all of gunicorn's places, and what is said of those that are not accepted.

mod files;
mod parity;
mod refusals;

use std::{collections::BTreeMap, path::Path, process::Command};

use tempfile::TempDir;

use crate::support::environment;

const APP: &str = "def app(environ, start_response):
    start_response('200 OK', [])
    return [b'hello']
";

/// A folder with an app and these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in files.iter().chain(&[("app.py", APP)]) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder can be made");
        std::fs::write(path, text).expect("the file can be written");
    }
    folder
}

fn in_folder(program: &Path, folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = environment::command(program);
    command.env("PYTHONDONTWRITEBYTECODE", "1").envs(variables.iter().copied()).current_dir(folder).args(args);
    command
}

fn rwsgi(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Command {
    in_folder(Path::new(environment::rwsgi()), folder, variables, args)
}

fn gunicorn(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Command {
    in_folder(&environment::venv().join("bin/gunicorn"), folder, variables, args)
}

/// What `--print-config` prints.
#[track_caller]
fn printed(command: &mut Command) -> BTreeMap<String, String> {
    let output = command.arg("--print-config").output().expect("the command starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    let text = String::from_utf8(output.stdout).expect("it is text");
    let lines = text.lines().map(|line| line.split_once(" = ").expect("it is NAME = VALUE"));
    lines.map(|(name, value)| (name.trim_end().to_owned(), value.to_owned())).collect()
}

/// What both programs print is the same, but for what only one has. Returns what rwsgi prints.
#[track_caller]
fn same(folder: &TempDir, variables: &[(&str, &str)], args: &[&str]) -> BTreeMap<String, String> {
    let folder = folder.path().canonicalize().expect("it is there");
    let theirs = printed(&mut gunicorn(&folder, variables, args));
    let ours = printed(&mut rwsgi(&folder, variables, args));
    let mut compared = 0;
    for (name, value) in &theirs {
        // The first two are gunicorn's alone, and follow from the home directory and the app; and hooks that nobody has
        // set are functions of gunicorn's own, which it prints with the class that they stand in.
        if name == "control_socket" || name == "default_proc_name" || value.contains(&format!(".{name}()>")) {
            continue;
        }
        compared += 1;
        let ours = ours.get(name).unwrap_or_else(|| panic!("{name} is not printed"));
        if value.starts_with('{') {
            assert_eq!(pairs(ours), pairs(value), "{name}, with {args:?} and {variables:?}");
        } else {
            assert_eq!(ours, value, "{name}, with {args:?} and {variables:?}");
        }
    }
    assert!(compared > 80, "{compared}");
    ours
}

/// The pairs of a dict, whose order means nothing.
fn pairs(dict: &str) -> Vec<&str> {
    let mut pairs: Vec<_> = dict.trim_matches(['{', '}']).split(", ").collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn what_cannot_be_printed_is_an_error_and_a_reader_that_leaves_is_none() {
    let folder = folder(&[]);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("the system has it");
    let output = rwsgi(folder.path(), &[], &["app:app", "--print-config"]).stdout(full).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("Error: Standard output cannot be written to: No space left on device"), "{said}");
    let (reader, writer) = std::io::pipe().expect("the system has one to give");
    drop(reader);
    let output = rwsgi(folder.path(), &[], &["app:app", "--print-config"]).stdout(writer).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
