//! Images as files: whole or not at all, and readable by the programs that they are for. No engine is asked.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{
    engine::{Image, docker, dockerize, unique},
    folder,
};
use crate::support::environment::{install, run};

const NOWHERE: (&str, &str) = ("DOCKER_HOST", "unix:///nonexistent");

/// Builds into `output`, out of reach of any engine.
fn build(app: &Path, name: &str, output: &str) -> Value {
    let mut command = dockerize(app, name, &["--output", output, "--json"]);
    let output = command.env(NOWHERE.0, NOWHERE.1).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn skopeo(arguments: &[&str]) -> String {
    install("skopeo", "skopeo");
    let output = Command::new("skopeo").args(arguments).output().expect("skopeo is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn hello() -> tempfile::TempDir {
    folder::with(&[("app.py", folder::HELLO), ("requirements.txt", "flask\n")])
}

#[test]
fn a_tar_is_loaded_by_the_engine_and_read_by_skopeo() {
    let (app, place, name) = (hello(), tempfile::tempdir().unwrap(), unique("tar"));
    let tar = place.path().join("image.tar");
    let result = build(app.path(), &name, tar.to_str().unwrap());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
    assert_eq!(docker(&["load", "-q", "-i", tar.to_str().unwrap()]), format!("Loaded image: {name}:latest"));
    assert_eq!(docker(&["image", "inspect", "-f", "{{.Id}}", &name]), result["id"].as_str().unwrap());
    let history = docker(&["history", "--format", "{{.CreatedBy}}", &name]);
    assert_eq!(history.lines().count(), 3, "{history}");
    let image = Image { name: name.clone(), result, stderr: String::new() };
    assert_eq!(image.serve().get("/"), "Hello");
    let seen: Value =
        serde_json::from_str(&skopeo(&["inspect", &format!("docker-archive:{}", tar.display())])).unwrap();
    assert_eq!(seen["Layers"].as_array().unwrap().len(), 3, "{seen}");

    let standard = dockerize(app.path(), &name, &["--output", "-"]).env(NOWHERE.0, NOWHERE.1).output().unwrap();
    assert!(standard.stdout == fs::read(&tar).unwrap(), "the same on standard output");
}

#[test]
fn a_layout_keeps_its_other_images() {
    let (app, place, name) = (hello(), tempfile::tempdir().unwrap(), unique("two"));
    let layout = format!("oci:{}", place.path().join("layout").display());
    let blobs = || fs::read_dir(place.path().join("layout/blobs/sha256")).unwrap().count();
    let labelled =
        |tag: &str| skopeo(&["inspect", "--config", "--format", "{{.Config.Env}}", &format!("{layout}:{tag}")]);
    build(app.path(), &format!("{name}:1"), &layout);
    let alone = blobs();
    fs::write(app.path().join("app.py"), format!("{}\n", folder::HELLO)).unwrap();
    build(app.path(), &format!("{name}:2"), &layout);
    assert!(labelled("1").contains("PATH=") && labelled("2").contains("PATH="));
    // Both have all layers but one.
    let both = blobs();
    assert_eq!(both, alone + 3);
    fs::write(app.path().join("app.py"), format!("{}\n\n", folder::HELLO)).unwrap();
    build(app.path(), &format!("{name}:2"), &layout);
    assert_eq!(blobs(), both, "what was replaced is gone");
    skopeo(&["copy", "-q", &format!("{layout}:1"), &format!("dir:{}", place.path().join("copy").display())]);
}

#[test]
fn a_layout_is_read_and_copied_by_skopeo_and_is_the_same_every_time() {
    let (app, place, name) = (hello(), tempfile::tempdir().unwrap(), unique("layout"));
    let (one, other) = (place.path().join("one"), place.path().join("other"));
    let at = |path: &Path| format!("oci:{}", path.display());
    let result = build(app.path(), &name, &at(&one));
    assert!(result["layers"][0]["compressed"].as_u64().unwrap() < result["layers"][0]["unpacked"].as_u64().unwrap());
    // Over one that is there, too.
    for _ in 0..2 {
        build(app.path(), &name, &at(&other));
    }
    run(Command::new("diff").arg("-r").args([&one, &other]));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "nothing else is left");
    let source = format!("{}:latest", at(&one));
    let seen: Value = serde_json::from_str(&skopeo(&["inspect", &source])).unwrap();
    assert_eq!(seen["Layers"].as_array().unwrap().len(), 3, "{seen}");
    let copy = place.path().join("copy.tar");
    skopeo(&["copy", "--quiet", &source, &format!("docker-archive:{}:{name}:latest", copy.display())]);
    docker(&["load", "-q", "-i", copy.to_str().unwrap()]);
    assert_eq!(docker(&["image", "inspect", "-f", "{{.Id}}", &name]), result["id"].as_str().unwrap());
}

#[test]
fn what_is_in_the_way_is_refused_before_anything_is_built() {
    let (app, place) = (folder::with(&[]), tempfile::tempdir().unwrap());
    fs::create_dir_all(place.path().join("mine/x")).unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    for (arguments, why) in [
        (["--output", &path("none/image.tar")], "there is no folder"),
        (["--output", &path("mine")], "it is a folder"),
        (["--output", &format!("oci:{}", path("mine"))], "is no OCI layout"),
        (["--platform", "linux/s390x"], "cannot be made for linux/s390x: it takes along this machine's Python"),
    ] {
        let output = dockerize(app.path(), "unused", &arguments).env(NOWHERE.0, NOWHERE.1).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains(why), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(place.path().join("mine/x").exists());
}

#[test]
fn an_output_in_the_apps_folder_does_not_become_part_of_the_next() {
    let app = folder::with(&[("app.py", "app = print\n")]);
    let tar = app.path().join("image.tar");
    let first = build(app.path(), "unused", tar.to_str().unwrap());
    let second = build(app.path(), "unused", tar.to_str().unwrap());
    assert_eq!(first["id"], second["id"]);
}

#[test]
fn two_builds_at_once_into_one_layout_keep_both_images() {
    let (app, place) = (folder::with(&[("app.py", "app = print\n")]), tempfile::tempdir().unwrap());
    let layout = format!("oci:{}", place.path().join("layout").display());
    let begun: Vec<_> = ["shop:1", "shop:2", "shop:3"]
        .iter()
        .map(|name| {
            let mut command = dockerize(app.path(), name, &["--output", &layout]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in begun {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let index: Value = serde_json::from_slice(&fs::read(place.path().join("layout/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3, "{index}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_pipe_gets_the_image() {
    let (app, place) = (folder::with(&[("app.py", "app = print\n")]), tempfile::tempdir().unwrap());
    let tar = place.path().join("image.tar");
    build(app.path(), "shop", tar.to_str().unwrap());
    let piped = dockerize(app.path(), "shop", &["--output", "/dev/stdout"]).output().unwrap();
    assert!(piped.stdout == fs::read(&tar).unwrap(), "{}", String::from_utf8_lossy(&piped.stderr));
    build(app.path(), "shop", "/dev/null");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}
