//! `benches/compare`, but for what it measures.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn compare(arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare");
    Command::new(program).args(arguments).output().expect("python3 is there")
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results").join(name)
}

#[test]
fn it_refuses_what_it_does_not_know() {
    for (arguments, words) in [
        (["--rows", "tirvial"], "there is no 'tirvial', but trivial, flask-hello"),
        (["--servers", "rwsgi,nginx"], "there is no 'nginx', but rwsgi, gunicorn-sync"),
        (["--rounds", "0"], "'0' is no whole number from 1 to 3600"),
        (["--seconds", "1.5"], "'1.5' is no whole number from 1 to 3600"),
        (["--rwsgi", "/nowhere"], "there is no program /nowhere"),
        (["--from", "/dev/null"], "/dev/null is no compare.json"),
    ] {
        let output = compare(&arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn the_kept_page_and_picture_are_those_of_the_kept_figures() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let figures = kept("compare.json");
    let output = compare(&["--from", &figures.to_string_lossy(), "--output", &directory.path().to_string_lossy()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["compare.json", "compare.md", "compare.svg"] {
        let drawn = fs_err::read_to_string(directory.path().join(name)).expect("it is written");
        let kept = fs_err::read_to_string(kept(name)).expect("it is kept");
        assert!(
            drawn == kept,
            "{name} differs: benches/compare --from benches/results/compare.json --output benches/results"
        );
    }
}
