//! How making an image fails: one sentence, a code that is not zero, and nothing left behind.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use super::{
    engine::{dockerize, image_exists, unique},
    folder,
};
use crate::support::process;

/// What a failed run left.
pub struct Failure {
    pub code: Option<i32>,
    pub message: String,
}

/// Runs it with a folder for temporary files of its own, which must be empty afterwards, as the engine must be of the image.
pub fn fails(folder: &Path, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Failure {
    let (name, temporary) = (unique("image"), tempfile::tempdir().unwrap());
    let mut command = dockerize(folder, &name, arguments);
    command.env("TMPDIR", temporary.path());
    prepare(&mut command);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "{stderr}");
    assert_eq!(String::from_utf8(stdout).unwrap(), "");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "temporary files are left");
    assert!(!image_exists(&name), "an image is left");
    let message =
        stderr.split_once("Error: ").map_or_else(|| panic!("{stderr}"), |(_, message)| message.trim().to_owned());
    Failure { code: status.code(), message }
}

pub fn hello(requirements: &str) -> tempfile::TempDir {
    folder::with(&[("app.py", folder::HELLO), ("requirements.txt", requirements)])
}

#[test]
fn a_name_that_is_none_is_refused_before_anything_else() {
    let folder = folder::with(&[]);
    for name in ["My-App", "a b", "app:", "app@sha256:00", "-x/app"] {
        let output = Command::new(crate::support::environment::rwsgi())
            .arg("dockerize")
            .arg(folder.path())
            .arg(format!("--tag={name}"))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
        assert!(stderr.starts_with(&format!("Error: {name:?} is not a name for an image: ")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn a_folder_for_temporary_files_that_is_not_there() {
    let folder = hello("flask\n");
    let failure = fails(folder.path(), &[], |command| {
        command.env("TMPDIR", "/nonexistent");
    });
    assert!(failure.message.starts_with("Cannot make a folder for the build: "), "{}", failure.message);
    assert!(failure.message.ends_with("TMPDIR must be a folder that is there and can be written to, with some room."));
}

#[test]
fn no_engine() {
    let folder = hello("flask\n");
    let failure = fails(folder.path(), &[], |command| {
        command.env("DOCKER_HOST", "unix:///nonexistent");
    });
    assert_eq!(failure.code, Some(1));
    assert!(failure.message.starts_with("No Docker Engine answers at unix:///nonexistent: "), "{}", failure.message);
    assert!(failure.message.ends_with("or write the image to a file with --output."), "{}", failure.message);
    assert_eq!(failure.message.lines().count(), 1);
}

#[test]
fn an_engine_whose_address_is_none() {
    let folder = hello("flask\n");
    let failure = fails(folder.path(), &[], |command| {
        command.env("DOCKER_HOST", "nonsense");
    });
    assert!(
        failure.message.starts_with("DOCKER_HOST names the engine nonsense, which is no address"),
        "{}",
        failure.message
    );
}

#[test]
fn no_folder() {
    let failure = fails(Path::new("/nonexistent/folder"), &[], |_| {});
    assert_eq!(failure.message, "There is no folder /nonexistent/folder. Name the app's.");
}

#[test]
fn a_requirement_that_does_not_exist() {
    let folder = hello("flask\nrwsgi-no-such-package-anywhere\n");
    let failure = fails(folder.path(), &[], |_| {});
    assert_eq!(failure.code, Some(1));
    let start = "Line 2 of requirements.txt asks for rwsgi-no-such-package-anywhere, but the package index has nothing of that name for Python ";
    assert!(failure.message.starts_with(start), "{}", failure.message);
    assert!(failure.message.ends_with(". Correct it."), "{}", failure.message);
}

#[test]
fn a_version_that_does_not_exist() {
    let folder = hello("flask==99.99\n");
    let failure = fails(folder.path(), &[], |_| {});
    assert!(
        failure.message.starts_with("Line 1 of requirements.txt asks for flask==99.99, but "),
        "{}",
        failure.message
    );
    assert_eq!(failure.message.lines().count(), 1);
}

#[test]
fn a_requirement_that_cannot_be_read() {
    let folder = hello("flask\nnot a requirement\n");
    let failure = fails(folder.path(), &[], |_| {});
    assert!(failure.message.starts_with("Line 2 of requirements.txt is not a requirement: "), "{}", failure.message);
    assert_eq!(failure.message.lines().count(), 1, "{}", failure.message);
}

#[test]
fn an_editable_requirement() {
    let setup = "[project]\nname = \"shop\"\nversion = \"1\"\n";
    let folder =
        folder::with(&[("app.py", folder::HELLO), ("requirements.txt", "-e ./shop\n"), ("shop/pyproject.toml", setup)]);
    let failure = fails(folder.path(), &[], |_| {});
    assert!(
        failure.message.starts_with("Line 1 of requirements.txt asks for a package in editable mode"),
        "{}",
        failure.message
    );
    folder::write(folder.path(), "requirements.txt", "-e git+https://me:hunter2@example.org/shop.git\n");
    let failure = fails(folder.path(), &[], |_| {});
    assert!(failure.message.contains("(-e git+https://example.org/shop.git), whose files"), "{}", failure.message);
}

#[test]
fn a_password_in_a_requirement_is_not_shown() {
    let folder = hello("shop of us @ https://me:hunter2@example.invalid/shop.whl\n");
    let failure = fails(folder.path(), &[], |_| {});
    assert!(failure.message.contains("example.invalid") && !failure.message.contains("hunter2"), "{}", failure.message);
}

#[test]
fn what_git_cannot_get_and_what_does_not_build_is_told_with_its_line_and_reason() {
    let folder = hello("flask\nshop @ git+https://me:hunter2@127.0.0.1:9/shop.git@main\n");
    let failure = fails(folder.path(), &[], |_| {});
    let said =
        "Line 2 of requirements.txt is to come from https://127.0.0.1:9/shop.git, and git cannot get it: fatal: unable";
    assert!(failure.message.starts_with(said) && !failure.message.contains("hunter2"), "{}", failure.message);
    let setup =
        "from setuptools import Extension, setup\nsetup(name='cext', ext_modules=[Extension('cext', ['cext.c'])])\n";
    folder::write(folder.path(), "libs/cext/setup.py", setup);
    folder::write(folder.path(), "libs/cext/cext.c", "#include <nosuch.h>\n");
    folder::write(folder.path(), "requirements.txt", "flask\n./libs/cext\n");
    let failure = fails(folder.path(), &[], |_| {});
    let said =
        "Line 2 of requirements.txt asks for ./libs/cext, and building it failed (cext.c:1:10: fatal error: nosuch.h: ";
    assert!(failure.message.starts_with(said), "{}", failure.message);
    assert!(
        failure.message.contains("-m pip install ./libs/cext in the app's folder to see why."),
        "{}",
        failure.message
    );
}

#[test]
fn an_index_that_cannot_be_reached() {
    let folder = hello("rwsgi-no-such-package-anywhere\n");
    let failure = fails(folder.path(), &[], |command| {
        command.env("PIP_INDEX_URL", "http://127.0.0.1:9/simple").env("PIP_RETRIES", "1").env_remove("PIP_FIND_LINKS");
    });
    assert!(failure.message.starts_with("The package index cannot be reached."), "{}", failure.message);
}

#[test]
fn an_ignore_file_that_docker_would_not_read() {
    let folder = folder::with(&[("app.py", folder::HELLO), (".dockerignore", "*.md\n[a\n")]);
    let failure = fails(folder.path(), &[], |_| {});
    assert!(failure.message.contains("line 2 of .dockerignore, \"[a\","), "{}", failure.message);
}

#[test]
fn a_full_disk_at_any_step() {
    let folder = hello("flask\nnumpy\n");
    for size in ["64k", "4m", "30m", "70m", "100m", "150m"] {
        let disk = Disk::of(size);
        let name = unique("image");
        let output =
            dockerize(folder.path(), &name, &["--no-cache"]).env("TMPDIR", disk.folder.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{size}: {stderr}");
        let message = stderr.lines().last().unwrap();
        assert!(message.starts_with("Error: Cannot "), "{size}: {stderr}");
        assert!(
            message.contains(&format!("the disk under {} is full.", disk.folder.path().display())),
            "{size}: {stderr}"
        );
        assert_eq!(std::fs::read_dir(disk.folder.path()).unwrap().count(), 0, "{size}: temporary files are left");
        assert!(!image_exists(&name), "{size}: an image is left");
    }
}

/// A small disk of its own.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn of(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", &options, "rwsgi-test"]).arg(folder.path()).status().unwrap();
        assert!(status.success(), "a small disk can be mounted");
        Self { folder }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let folder = hello("flask\n");
    for step in ["Gathering Python", "Installing the dependencies", "Adding the app", "Loading the image"] {
        let (name, temporary) = (unique("image"), tempfile::tempdir().unwrap());
        // An image of its own: an engine that has the same one from another test is not sent it again.
        std::fs::write(folder.path().join("unlike.txt"), &name).unwrap();
        let mut child = dockerize(folder.path(), &name, &["--no-cache"])
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with(step)), "{step} begins");
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let last = lines.last();
        let status = child.wait().unwrap();
        // An engine that has everything when the signal comes keeps it, and then all is well.
        if status.success() && ["Adding the app", "Loading the image"].contains(&step) {
            assert!(image_exists(&name), "{step}");
            continue;
        }
        assert_eq!(status.code(), Some(130), "{step}: {last:?}");
        assert_eq!(last.as_deref(), Some("Error: Interrupted; nothing was left behind."), "{step}");
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "{step}: temporary files are left");
        assert!(!image_exists(&name), "{step}");
        assert_eq!(process::started_with("TMPDIR", temporary.path()), [0; 0], "{step}");
    }
}

#[test]
fn a_full_disk_under_the_cache_or_the_output() {
    let folder = hello("flask\n");
    for size in ["64k", "30m"] {
        let disk = Disk::of(size);
        let place = disk.folder.path().display();
        let arguments = ["--output", &format!("{place}/image.tar")];
        for arguments in [&[][..], &arguments] {
            let name = unique("image");
            let mut command = dockerize(folder.path(), &name, arguments);
            if arguments.is_empty() {
                command.env("RWSGI_CACHE_DIR", disk.folder.path());
            }
            let output = command.output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{size}: {stderr}");
            let message = stderr.lines().last().unwrap();
            assert!(message.starts_with("Error: Cannot "), "{size}: {stderr}");
            assert!(message.contains(&place.to_string()) && message.contains(" is full. "), "{size}: {stderr}");
            assert!(!image_exists(&name), "{size}: an image is left");
            let kept = ["records", "blobs", "tmp", "lock", "CACHEDIR.TAG"];
            let left = names(disk.folder.path());
            assert!(left.iter().all(|name| kept.contains(&name.as_str())), "{size}: {left:?}");
            assert!(left.is_empty() || names(&disk.folder.path().join("tmp")).is_empty(), "{size}");
            for name in left {
                let path = disk.folder.path().join(name);
                let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
            }
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_interrupt_leaves_no_half_file_and_no_half_cache() {
    let folder = hello("flask\n");
    for step in ["Gathering Python", "Adding the app", "Writing the image"] {
        let place = tempfile::tempdir().unwrap();
        let output = format!("oci:{}", place.path().join("layout").display());
        let mut child = dockerize(folder.path(), "unused", &["--output", &output])
            .env("RWSGI_CACHE_DIR", place.path().join("cache"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with(step)), "{step} begins");
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let last = lines.last();
        let status = child.wait().unwrap();
        // A signal that comes after the last byte finds a file that is whole, and then all is well.
        if status.success() && ["Adding the app", "Writing the image"].contains(&step) {
            assert!(place.path().join("layout/index.json").exists(), "{step}");
            assert_eq!(names(place.path()).len(), 2, "{step}");
        } else {
            assert_eq!(status.code(), Some(130), "{step}: {last:?}");
            assert_eq!(names(place.path()), ["cache"], "{step}");
        }
        assert!(names(&place.path().join("cache/tmp")).is_empty(), "{step}");
        for blob in names(&place.path().join("cache/blobs")) {
            let path = place.path().join("cache/blobs").join(&blob);
            assert_eq!(rwsgi::image::layer::digest::of(&std::fs::read(path).unwrap()), blob, "{step}");
        }
    }
}

#[test]
fn what_is_to_go_in_beyond_the_usual_is_refused_where_there_is_none() {
    let folder = hello("");
    let (empty, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let failure = fails(folder.path(), &["--keep", "a["], |_| {});
    assert_eq!(failure.code, Some(2));
    assert!(failure.message.starts_with("--keep \"a[\" cannot be used: it is not a pattern"), "{}", failure.message);
    let place = empty.path().to_str().unwrap();
    let failure = fails(folder.path(), &["--python-from", place], |_| {});
    assert_eq!(failure.code, Some(2));
    let expected = format!("The Python in {place} cannot be taken: there is no {place}/bin/python3. Name the folder");
    assert!(failure.message.starts_with(&expected), "{}", failure.message);
    std::os::unix::fs::symlink("/bin/sh", other.path().join("sh")).unwrap();
    let failure = fails(folder.path(), &["--debug"], |command| {
        // Another test may have had it put into a layer that is kept.
        command.env("PATH", other.path()).env("RWSGI_CACHE_DIR", empty.path());
    });
    assert!(
        failure.message.starts_with("--debug puts BusyBox into the image, and this machine has none."),
        "{}",
        failure.message
    );
}

/// The command as somebody who may read everything, this program say, but write to nothing of root's.
fn as_nobody(folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]);
    command.arg(crate::support::environment::rwsgi()).arg("dockerize").arg(folder).args(["-t", "x"]);
    command
}

#[test]
fn a_place_that_cannot_be_written_to_is_refused_before_anything_is_built() {
    let (folder, place) = (folder::with(&[]), tempfile::tempdir().unwrap());
    let layout = place.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    let (tar, parent) = (place.path().join("image.tar").display().to_string(), place.path().to_owned());
    for (output, closed) in [(format!("oci:{}", layout.display()), layout), (tar, parent)] {
        let output = as_nobody(folder.path()).args(["--output", &output]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let said = format!(": {} cannot be written to (Permission denied). Name another place", closed.display());
        assert!(stderr.starts_with("Error: The image cannot be written to ") && stderr.contains(&said), "{stderr}");
    }
}

#[test]
fn an_engine_that_this_user_may_not_use_is_told_from_none() {
    let folder = hello("flask\n");
    let mut command = as_nobody(folder.path());
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(": Permission denied (os error 13), which members of the group docker"), "{stderr}");
    assert!(!stderr.contains("hyper"), "{stderr}");
}
