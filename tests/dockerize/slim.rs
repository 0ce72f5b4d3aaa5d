//! Images without the sources of packages, and without what makes images.

use std::{fs, process::Command};

use super::{
    engine::{Image, docker, dockerize, try_docker},
    folder,
};
use crate::support::environment::rwsgi;

const APP: &str = r#"from flask import Flask, render_template

app = Flask(__name__)


@app.get("/")
def index():
    return render_template("index.html", name="Ada")


@app.get("/broken")
def broken():
    raise LookupError("nothing there")
"#;

#[test]
fn a_slim_image_has_packages_without_their_sources_and_an_app_with_its_own() {
    let files = [("app.py", APP), ("templates/index.html", "Hello {{ name|upper }}"), ("requirements.txt", "flask\n")];
    let image = Image::of(folder::with(&files).path(), &["--slim", "--keep", "click/**"]);
    let container = image.serve();
    assert_eq!(container.get("/"), "Hello ADA");
    let answer = Command::new("curl").args(["-sSi", &container.url("/broken")]).output().unwrap();
    assert!(answer.stdout.starts_with(b"HTTP/1.1 500 "), "{answer:?}");
    let traceback = container.log();
    let after = |end: &str| {
        let mut lines = traceback.lines().skip_while(|line| !line.trim().ends_with(end));
        lines.next().unwrap_or_else(|| panic!("{end} is not in {traceback}"));
        lines.next().unwrap().trim().to_owned()
    };
    assert_eq!(after("in broken"), "raise LookupError(\"nothing there\")");
    // The next line of the traceback, and not the text of this one.
    assert!(traceback.contains("/site-packages/flask/app.py\", line "), "{traceback}");
    assert!(after("in dispatch_request").starts_with("File \""), "{traceback}");

    let code = "import click, flask.app, importlib.metadata as m, inspect\n\
                print(flask.app.__file__.endswith('app.pyc'), len(flask.Flask.__doc__) > 100, inspect.getsource(click.Command)[:5],\n\
                [str(f) for f in m.files('flask') if not f.locate().exists()], 'flask/app.py' in map(str, m.files('flask')))";
    assert_eq!(image.python(code), "True True class [] False");
}

#[test]
fn a_slim_image_is_small_and_shares_its_base_with_others() {
    let folder = folder::with(&[("app.py", folder::HELLO), ("requirements.txt", "flask\n")]);
    let plain = Image::of(folder.path(), &[]);
    let layout = folder.path().join("layout");
    let output = format!("oci:{}", layout.display());
    let slim = Image::of(folder.path(), &["--slim", "--output", &output]);
    assert_eq!(slim.result["layers"][0]["cached"], true, "{}", slim.stderr);
    assert_eq!(slim.digests()[0], plain.digests()[0]);
    let sum = |name: &str| -> f64 {
        slim.result["layers"].as_array().unwrap().iter().map(|layer| layer[name].as_f64().unwrap()).sum()
    };
    // What it is to stay below, in MB; a Python whose library is larger has a tenth more.
    assert!(sum("unpacked") < 38.5e6 && sum("compressed") < 15.4e6, "{}", slim.result);
}

#[test]
fn a_container_has_only_what_serves() {
    let image = &folder::hello().name;
    let output = try_docker(&["run", "--rm", image, "rwsgi", "dockerize", "-t", "x"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "Error: There is no /usr/local/bin/rwsgi-dockerize, which makes images. A container has only what serves; elsewhere, \
         install rwsgi again.\n"
    );
    assert!(docker(&["run", "--rm", image, "rwsgi", "--help"]).contains("\n  dockerize "));
}

#[test]
fn what_makes_images_says_when_what_they_are_to_hold_is_missing() {
    let folder = folder::with(&[("app.py", folder::HELLO)]);
    let alone = folder.path().join("rwsgi-dockerize");
    fs::copy(format!("{}-dockerize", rwsgi()), &alone).unwrap();
    let output = Command::new(&alone).arg(folder.path()).args(["-t", "x", "--output", "-"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "Error: There is no {}, which an image is to hold. Install rwsgi again.\n",
        folder.path().join("rwsgi").display()
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

#[test]
fn an_image_to_look_into_is_not_slim() {
    let folder = folder::with(&[("app.py", folder::HELLO)]);
    let output = dockerize(folder.path(), "x", &["--slim", "--debug"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("'--slim' cannot be used with '--debug'"), "{message}");
}

#[test]
fn both_programs_have_the_same_help() {
    let help = |command: &mut Command| String::from_utf8(command.arg("--help").output().unwrap().stdout).unwrap();
    let through = help(Command::new(rwsgi()).arg("dockerize"));
    assert!(through.contains("Usage: rwsgi dockerize [OPTIONS] [DIR]") && through.contains("--slim"), "{through}");
    assert_eq!(through, help(&mut Command::new(format!("{}-dockerize", rwsgi()))));
}
