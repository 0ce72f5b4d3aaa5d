//! What a second build need not make again, and that it makes again what it must.

use std::{fs, path::Path, process::Stdio, thread, time::Duration};

use serde_json::Value;

use super::{
    engine::{Image, docker, dockerize, image_exists, unique},
    folder,
};
use crate::support::process;

/// A folder for a cache of a test's own.
struct Cached {
    app: tempfile::TempDir,
    cache: tempfile::TempDir,
    name: String,
}

impl Cached {
    fn new(files: &[(&str, &str)]) -> Self {
        let cached = Self { app: folder::with(files), cache: tempfile::tempdir().unwrap(), name: unique("cached") };
        settle();
        cached
    }

    fn write(&self, name: &str, content: &str) {
        folder::write(self.app.path(), name, content);
        settle();
    }

    fn build(&self) -> Value {
        self.build_with(&[])
    }

    fn build_with(&self, arguments: &[&str]) -> Value {
        let mut command = dockerize(self.app.path(), &self.name, arguments);
        let output = command.arg("--json").env("RWSGI_CACHE_DIR", self.cache.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn blobs(&self) -> Vec<std::path::PathBuf> {
        files(&self.cache.path().join("blobs"))
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A file that has just changed is not trusted to show a further change in its time, so nothing of it would be kept.
fn settle() {
    thread::sleep(Duration::from_millis(30));
}

/// The names of the layers that came from the cache.
fn from_cache(result: &Value) -> Vec<&str> {
    let layers = result["layers"].as_array().unwrap().iter();
    layers.filter(|layer| layer["cached"] == true).map(|layer| layer["name"].as_str().unwrap()).collect()
}

const APP: &str = "import itsdangerous\napp = print\n";

#[test]
fn a_layer_is_made_again_only_when_its_inputs_change() {
    let cached = Cached::new(&[("app.py", APP), ("requirements.txt", "-r more.txt\n"), ("more.txt", "itsdangerous\n")]);
    let first = cached.build();
    assert!(from_cache(&first).is_empty(), "{first}");
    let second = cached.build();
    assert_eq!(from_cache(&second), ["base", "dependencies", "app"]);
    assert_eq!(first["id"], second["id"]);

    cached.write("app.py", "import itsdangerous\napp = repr \n");
    let changed = cached.build();
    assert_eq!(from_cache(&changed), ["base", "dependencies"]);
    let code = "import app, os; print(app.app is repr, os.listdir('__pycache__')[0].startswith('app.'))";
    let image = Image { name: cached.name.clone(), result: changed, stderr: String::new() };
    assert_eq!(image.python(code), "True True");

    cached.write("more.txt", "itsdangerous\nblinker\n");
    let changed = cached.build();
    assert_eq!(from_cache(&changed), ["base"], "what a requirement file includes counts");
    assert_eq!(image.python("import blinker; print(blinker.__name__)"), "blinker");

    cached.write("app.py", APP);
    cached.write("more.txt", "itsdangerous\n");
    let back = cached.build();
    assert_eq!(back["id"], first["id"], "what was once is found again");
    assert_eq!(from_cache(&back), ["base", "dependencies"]);
    assert_eq!(docker(&["image", "inspect", "-f", "{{.Id}}", &cached.name]), first["id"].as_str().unwrap());

    let anew = cached.build_with(&["--no-cache"]);
    assert!(from_cache(&anew).is_empty());
    assert_eq!(anew["id"], first["id"], "the same bits without the cache");
}

#[test]
fn a_damaged_cache_is_noticed_and_mended() {
    let cached = Cached::new(&[("app.py", "app = print\n")]);
    let tar = cached.app.path().with_extension("tar");
    let arguments = ["--output", tar.to_str().unwrap()];
    cached.build_with(&arguments);
    let whole = fs::read(&tar).unwrap();
    let damage = |how: &dyn Fn(&Path)| {
        cached.blobs().iter().for_each(|path| how(path));
        cached.build_with(&arguments);
        assert!(fs::read(&tar).unwrap() == whole);
        assert_eq!(from_cache(&cached.build_with(&arguments)), ["base", "app"]);
    };
    damage(&|path| {
        let mut content = fs::read(path).unwrap();
        content[600] ^= 1;
        fs::write(path, content).unwrap();
    });
    damage(&|path| fs::write(path, "").unwrap());
    damage(&|path| fs::remove_file(path).unwrap());
    for record in files(&cached.cache.path().join("records")) {
        fs::write(record, "nonsense").unwrap();
    }
    cached.build_with(&arguments);
    assert!(fs::read(&tar).unwrap() == whole);
    fs::remove_file(&tar).unwrap();

    let layout = cached.cache.path().join("layout");
    let arguments = ["--output", &format!("oci:{}", layout.display())];
    let index = || fs::read_to_string(layout.join("index.json")).unwrap();
    cached.build_with(&arguments);
    let whole = index();
    for path in cached.blobs().iter().filter(|path| path.extension().is_some()) {
        fs::write(path, "nonsense").unwrap();
    }
    cached.build_with(&arguments);
    assert_eq!(index(), whole);
}

#[test]
fn a_cache_stays_within_its_size() {
    let cached = Cached::new(&[("app.py", "app = print\n")]);
    let tar = cached.app.path().with_extension("tar");
    let output = dockerize(cached.app.path(), &cached.name, &["--output", tar.to_str().unwrap()])
        .env("RWSGI_CACHE_DIR", cached.cache.path())
        .env("RWSGI_CACHE_SIZE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let held: u64 = cached.blobs().iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(held <= 1_000_000, "{held}");
    fs::remove_file(&tar).unwrap();
    let output = dockerize(cached.app.path(), &cached.name, &[]).env("RWSGI_CACHE_SIZE", "much").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("Error: RWSGI_CACHE_SIZE is \"much\", which is not a number of MB."), "{stderr}");
}

#[test]
fn two_builds_at_once_share_a_cache() {
    let cached = Cached::new(&[("app.py", "app = print\n")]);
    let start = |tag: &str| {
        dockerize(cached.app.path(), &format!("{}:{tag}", cached.name), &["--json"])
            .env("RWSGI_CACHE_DIR", cached.cache.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let ends = ["latest", "latest"].map(start).map(|child| child.wait_with_output().unwrap());
    let ids = ends.map(|output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["id"].clone()
    });
    assert_eq!(ids[0], ids[1]);
    assert_eq!(from_cache(&cached.build()), ["base", "app"]);
}

#[test]
fn a_killed_build_leaves_nothing_that_the_next_does_not_sweep() {
    let cached = Cached::new(&[("app.py", APP), ("requirements.txt", "itsdangerous\n")]);
    let temporary = tempfile::tempdir().unwrap();
    for step in ["Gathering Python", "Installing the dependencies"] {
        let name = unique("killed");
        let mut child = dockerize(cached.app.path(), &name, &[])
            .env("RWSGI_CACHE_DIR", cached.cache.path())
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        assert!(std::io::BufRead::lines(stderr).any(|line| line.unwrap().starts_with(step)), "{step} begins");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!image_exists(&name), "{step}");
    }
    assert_eq!(files(temporary.path()).len(), 1, "only what the last one was at is left");
    // What the last one had started would go on in its folder.
    assert!(process::holds(|| process::started_with("TMPDIR", temporary.path()).is_empty()));
    let output = dockerize(cached.app.path(), &cached.name, &[])
        .env("RWSGI_CACHE_DIR", cached.cache.path())
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(files(temporary.path()).is_empty());
    assert!(files(&cached.cache.path().join("tmp")).is_empty());
}

#[test]
fn an_installers_cache_in_the_apps_folder_is_no_part_of_the_app() {
    let names = ["app.py", ".cache/pip/a", ".cache/other/b", "uv/c"];
    let app = folder::with(&names.map(|name| (name, "app = print\n")));
    let name = unique("image");
    let mut command = dockerize(app.path(), &name, &["--json"]);
    // As CI systems keep it from one run to the next.
    command.env("PIP_CACHE_DIR", ".cache/pip").env("UV_CACHE_DIR", app.path().join("uv"));
    let output = command.output().unwrap();
    let image = Image { name, result: serde_json::from_slice(&output.stdout).unwrap(), stderr: String::new() };
    let code = "import os; print(sorted(n for _, _, names in os.walk('/app') for n in names if '.pyc' not in n))";
    assert_eq!(image.python(code), "['app.py', 'b']");
}

#[test]
fn a_cache_that_cannot_be_used_is_refused_if_it_was_asked_for() {
    let app = folder::with(&[("app.py", "app = print\n")]);
    let build = |variable: &str, value: &str| {
        let mut command = dockerize(app.path(), "unused", &["--output", "-"]);
        command.env_remove("RWSGI_CACHE_DIR").env_remove("XDG_CACHE_HOME").env(variable, value);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (success, stderr) = build("RWSGI_CACHE_DIR", "/dev/null/cache");
    assert!(!success);
    assert!(stderr.contains("Error: Cannot use /dev/null/cache as RWSGI_CACHE_DIR: "), "{stderr}");
    let (success, stderr) = build("XDG_CACHE_HOME", "/dev/null");
    assert!(success && stderr.contains("Nothing is cached, because /dev/null/rwsgi cannot be used"), "{stderr}");
}
