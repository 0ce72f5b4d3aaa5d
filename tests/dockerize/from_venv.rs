//! `--from-venv`: real environments, made with pip, and with uv.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    engine::{Image, docker, dockerize},
    failures::fails,
    folder,
    project_files::{DATA, MAKE},
};
use crate::support::environment::{python_version, run, rwsgi};

/// An environment in `place`, with these packages.
fn made(place: &Path, packages: &[&str]) -> PathBuf {
    let venv = place.join("venv");
    run(Command::new(rwsgi()).env_remove("VIRTUAL_ENV").args(["python", "-m", "venv"]).arg(&venv));
    install(&venv, packages);
    venv
}

fn install(venv: &Path, packages: &[&str]) {
    run(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "-q"]).args(packages));
}

fn build(app: &Path, venv: &Path) -> Image {
    Image::of(app, &[&format!("--from-venv={}", venv.display())])
}

fn cached(image: &Image, name: &str) -> bool {
    let layers = image.result["layers"].as_array().unwrap();
    layers.iter().any(|layer| layer["name"] == name && layer["cached"] == true)
}

#[test]
fn an_environment_is_packaged_as_it_is() {
    let folder = folder::with(&[("app.py", folder::HELLO), ("requirements.txt", "nonesuch-of-all\n")]);
    let place = tempfile::tempdir().unwrap();
    let venv = made(place.path(), &["flask", "numpy", "wheel"]);
    let image = build(folder.path(), &venv);
    assert!(image.stderr.contains("Copying the packages of "), "{}", image.stderr);
    assert_eq!(image.serve().get("/"), "Hello");
    assert!(docker(&["run", "--rm", &image.name, "flask", "--version"]).contains("Flask 3"));
    let code = "import importlib.metadata as m, importlib.util as u, numpy, sys\n\
        wrong = [str(f) for d in m.distributions() for f in d.files or [] if not f.locate().exists()\n\
        \x20   or f.size is not None and f.size != f.locate().stat().st_size]\n\
        names = sorted(d.metadata['Name'].lower() for d in m.distributions())\n\
        print(wrong, [n for n in ('pip', 'setuptools', 'wheel') if n in names or u.find_spec(n)], 'numpy' in names)\n\
        print(numpy.linalg.inv(numpy.eye(2)).sum())";
    assert_eq!(image.python(code), "[] [] True\n2.0");
    assert!(cached(&build(folder.path(), &venv), "dependencies"));
    install(&venv, &["six"]);
    let image = build(folder.path(), &venv);
    assert!(!cached(&image, "dependencies"));
    assert_eq!(image.python("import six; print(six.__name__)"), "six");

    let from = format!("--from-venv={}", venv.display());
    let failure = fails(folder.path(), &[&from, "--extra", "redis"], |_| {});
    let said = "The extra redis is one of pyproject.toml, but the dependencies are what ";
    assert!(failure.message.starts_with(said), "{}", failure.message);
    folder::write(folder.path(), "app.py", "import numpy.fft.tests\napp = print\n");
    let failure = fails(folder.path(), &[&from], |_| {});
    assert_eq!(
        failure.message,
        "app.py, line 1, imports numpy.fft.tests, which is left out of images as other tests of packages are, so it will fail \
         at its start. Keep it: --keep 'numpy/fft/tests'."
    );
    let image = Image::of(folder.path(), &[&from, "--keep", "numpy/fft/tests"]);
    assert_eq!(image.python("import app; print(app.numpy.fft.tests.__name__)"), "numpy.fft.tests");
}

#[test]
fn the_environment_in_use_is_the_usual_one_and_may_be_named_in_the_table() {
    let project = "[tool.rwsgi.image]\nfrom-venv = true\n";
    let folder = folder::with(&[("app.py", "import six\napp = print\n"), ("pyproject.toml", project)]);
    // In the app's folder, where it is no part of the app.
    let venv = made(folder.path(), &["six"]);
    let name = super::engine::unique("venv");
    let output = dockerize(folder.path(), &name, &["--json"]).env("VIRTUAL_ENV", &venv).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let image = Image { name, result, stderr };
    assert_eq!(
        image.python("import app, os; print(app.six.__name__, os.listdir('/app'))").split(' ').next(),
        Some("six")
    );
    assert!(!image.python("import os; print(os.listdir('/app'))").contains("venv"));
    let failure = fails(folder.path(), &[], |command| {
        command.env_remove("VIRTUAL_ENV");
    });
    let expected = "pyproject.toml, line 2: No environment is in use: VIRTUAL_ENV is not set.";
    assert!(failure.message.starts_with(expected), "{}", failure.message);
}

#[test]
fn an_app_that_is_installed_in_editable_mode_is_the_app() {
    let project = "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n\
                   [project]\nname = \"shop\"\nversion = \"1.2\"\ndependencies = [\"six\"]\n";
    let code =
        "import six\n\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'Shop']\n";
    let folder = folder::with(&[("src/shop/__init__.py", code), ("pyproject.toml", project)]);
    let place = tempfile::tempdir().unwrap();
    let app = folder.path().to_str().unwrap();
    let venv = made(place.path(), &["-e", app]);
    let image = Image::of(folder.path(), &["--app", "shop:app", &format!("--from-venv={}", venv.display())]);
    assert_eq!(image.serve().get("/"), "Shop");
    let version = "import importlib.metadata as m, shop; print(m.version('shop'), shop.__file__)";
    assert_eq!(image.python(version), "1.2 /app/src/shop/__init__.py");
    let other = folder::with(&[("app.py", "app = print\n")]);
    let failure = fails(other.path(), &[&format!("--from-venv={}", venv.display())], |_| {});
    let expected = format!("has shop in editable mode (-e): its files are in {app}, outside of the app's folder");
    assert!(failure.message.contains(&expected), "{}", failure.message);
}

#[test]
fn data_files_are_where_the_environment_has_them() {
    let folder = folder::with(&[("app.py", "app = print\n")]);
    let place = folder::with(&[("bare.py", "n = 42\n")]);
    run(Command::new(rwsgi()).args(["python", "-c", MAKE]).current_dir(place.path()));
    let venv = made(place.path(), &[place.path().join("own-1-py3-none-any.whl").to_str().unwrap()]);
    let image = build(folder.path(), &venv);
    assert_eq!(image.python(DATA), "l s e\n[]");
}

#[test]
fn an_environment_that_uv_made_is_packaged_too() {
    let folder = folder::with(&[("app.py", folder::HELLO)]);
    let place = tempfile::tempdir().unwrap();
    let tools = made(place.path(), &["uv"]);
    let uv = tools.join("bin/uv");
    let venv = place.path().join("other");
    run(Command::new(&uv).args(["venv", "-q", "--python"]).arg(tools.join("bin/python")).arg(&venv));
    run(Command::new(&uv).args(["pip", "install", "-q", "flask", "--python"]).arg(venv.join("bin/python")));
    let image = build(folder.path(), &venv);
    assert_eq!(image.serve().get("/"), "Hello");
}

#[test]
fn what_is_no_environment_of_this_python_is_refused() {
    let folder = folder::with(&[("app.py", "app = print\n"), ("other/lib/python3.4/site-packages/x.py", "")]);
    let refused = |name: &str| {
        let argument = format!("--from-venv={}", folder.path().join(name).display());
        fails(folder.path(), &[&argument], |_| {}).message
    };
    let version = python_version();
    let message = refused("other");
    let expected =
        format!("is an environment of Python 3.4, but the image gets Python {version}, which this rwsgi embeds.");
    assert!(message.contains(&expected), "{message}");
    let message = refused("missing");
    assert!(message.contains("missing is no virtual environment: there is no "), "{message}");
    let site = format!("broken/lib/python{version}/site-packages");
    folder::write(folder.path(), &format!("{site}/old-1.0-py3.egg-info"), "");
    let message = refused("broken");
    assert!(message.contains("broken has old without a record of its files"), "{message}");
}
