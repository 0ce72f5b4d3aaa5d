//! Engines that are elsewhere, go away, or lose what they had: the real one, behind a socket that does so.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use super::{
    engine::{Image, docker, image_exists, unique},
    failures::fails,
    folder,
};

const ENGINE: &str = "/var/run/docker.sock";

/// A socket at `path` that leads to the engine. Every piece that clients send is shown to `see`, which may break off.
fn relay(path: &Path, see: impl Fn(&[u8]) -> bool + Clone + Send + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, see) = (client.unwrap(), see.clone());
            std::thread::spawn(move || forward(client, see));
        }
    });
}

fn forward(mut client: UnixStream, see: impl Fn(&[u8]) -> bool) {
    let mut engine = UnixStream::connect(ENGINE).unwrap();
    let (mut answers, mut back) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut piece = vec![0; 1 << 16];
    while let Ok(count) = client.read(&mut piece) {
        if count == 0 || !see(&piece[..count]) || engine.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = engine.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

fn is_load(piece: &[u8]) -> bool {
    piece.starts_with(b"POST /images/load")
}

/// Shares a counter with the threads of a relay.
fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

#[test]
fn an_engine_that_goes_away_while_it_loads() {
    let folder = folder::with(&[("app.py", "app = print\n")]);
    let noise: Vec<u8> = (0..8_000_000).map(|_| fastrand::u8(..)).collect();
    fs::write(folder.path().join("noise"), noise).unwrap();
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("engine.sock");
    let sent = leaked(AtomicUsize::new(0));
    relay(&socket, move |piece| sent.fetch_add(piece.len(), Ordering::Relaxed) < 2_000_000);
    let failure = fails(folder.path(), &[], |command| {
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    });
    assert_eq!(failure.code, Some(1));
    assert!(failure.message.starts_with("The Docker Engine could not load the image: "), "{}", failure.message);
    assert!(failure.message.ends_with("see to the engine and try again."), "{}", failure.message);
    assert_eq!(failure.message.lines().count(), 1);
    Image::of(folder.path(), &[]);
}

/// Images that are not the one that is looked for, and younger.
struct Others(Vec<String>);

impl Others {
    fn load(count: usize) -> Self {
        // An archive with nothing in it.
        const LAYER: [u8; 1024] = [0; 1024];
        const DIGEST: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
        let name = unique("other");
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, content).unwrap();
        };
        add("layer.tar", &LAYER);
        let mut manifest = Vec::new();
        for number in 0..count {
            let config = json!({
                "architecture": "amd64",
                "os": "linux",
                "created": "2026-01-01T00:00:00Z",
                "config": { "Labels": { "org.opencontainers.image.created": number.to_string() } },
                "rootfs": { "type": "layers", "diff_ids": [DIGEST] },
            });
            add(&format!("{number}.json"), config.to_string().as_bytes());
            let tag = format!("{name}:{number}");
            manifest.push(json!({ "Config": format!("{number}.json"), "RepoTags": [tag], "Layers": ["layer.tar"] }));
        }
        add("manifest.json", Value::from(manifest).to_string().as_bytes());
        let others = Self((0..count).map(|number| format!("{name}:{number}")).collect());
        let mut load = Command::new("docker").arg("load").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        load.stdin.take().unwrap().write_all(&archive.into_inner().unwrap()).unwrap();
        assert!(load.wait().unwrap().success());
        others
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        super::engine::try_docker(&[&["rmi".to_owned()], &self.0[..]].concat());
    }
}

#[test]
fn only_layers_that_an_engine_lacks_are_sent() {
    let requirements = ("requirements.txt", "itsdangerous\nclick\n");
    let one = Image::of(folder::with(&[("app.py", "app = print\n"), requirements]).path(), &[]);
    // No engine has it yet, whatever ran before.
    let name = unique("second");
    let other = folder::with(&[("app.py", &format!("app = repr  # {name}\n")), requirements]);
    let place = tempfile::tempdir().unwrap();
    let build = |socket: &Path, name: &str| {
        let mut command = super::engine::dockerize(other.path(), name, &[]);
        let output = command.env("DOCKER_HOST", format!("unix://{}", socket.display())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };

    let _many = Others::load(150);
    let (socket, sent, loads) =
        (place.path().join("one.sock"), leaked(AtomicUsize::new(0)), leaked(AtomicUsize::new(0)));
    relay(&socket, move |piece| {
        loads.fetch_add(usize::from(is_load(piece)), Ordering::Relaxed);
        sent.fetch_add(piece.len(), Ordering::Relaxed) < usize::MAX
    });
    build(&socket, &name);
    let sent = sent.load(Ordering::Relaxed);
    assert!((1..200_000).contains(&sent), "{sent}");
    build(&socket, &unique("third"));
    assert_eq!(loads.load(Ordering::Relaxed), 1, "the very image gets another name");

    // The engine loses them after it was asked, and before it loads.
    docker(&["rmi", "-f", &docker(&["image", "inspect", "-f", "{{.Id}}", &name])]);
    let (socket, done) = (place.path().join("other.sock"), leaked(AtomicBool::new(false)));
    let lost = one.name.clone();
    relay(&socket, move |piece| {
        if is_load(piece) && !done.swap(true, Ordering::Relaxed) {
            docker(&["rmi", "-f", &lost]);
        }
        true
    });
    let name = unique("fourth");
    build(&socket, &name);
    assert!(done.load(Ordering::Relaxed) && !image_exists(&one.name));
    let image = Image { name, result: json!(null), stderr: String::new() };
    assert_eq!(image.python("import click, app; print(app.app is repr)"), "True");
}

/// A stand-in for an engine with the containerd image store, as far as a build sees one. It has an image with the layers.
struct Containerd {
    layers: Vec<String>,
    /// What it tells of a load.
    told: &'static str,
    /// What it was asked for, in order, without the API's version.
    asked: Mutex<Vec<String>>,
    /// The archive that it was sent.
    sent: Mutex<Vec<u8>>,
}

impl Containerd {
    /// One at `path` that has `layers`, and tells `told` of a load.
    fn at(path: &Path, layers: &[&str], told: &'static str) -> &'static Self {
        let layers = layers.iter().map(|layer| (*layer).to_owned()).collect();
        let engine = leaked(Self { layers, told, asked: Mutex::default(), sent: Mutex::default() });
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                engine.serve(BufReader::new(client.unwrap()));
            }
        });
        engine
    }

    fn serve(&self, mut client: BufReader<UnixStream>) {
        let mut head = String::new();
        while client.read_line(&mut head).unwrap() > 2 {}
        let words: Vec<_> = head.split_whitespace().take(2).collect();
        let path = words[1].split('?').next().unwrap();
        let path = path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')).map_or(path, |(_, path)| path);
        let asked = format!("{} {}", words[0], path.trim_start_matches('/'));
        if asked == "POST images/load" {
            *self.sent.lock().unwrap() = chunks(&mut client);
        }
        let (status, answer) = self.answer(&asked);
        self.asked.lock().unwrap().push(asked);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nConnection: close\r\n");
        write!(client.get_mut(), "{head}Content-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    }

    fn answer(&self, asked: &str) -> (u16, Value) {
        let name = asked.strip_prefix("GET images/").and_then(|rest| rest.strip_suffix("/json"));
        match (asked, name) {
            ("GET _ping", _) => (200, json!("OK")),
            ("GET info", _) => (200, json!({ "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]] })),
            ("POST images/load", _) => (200, json!({ "stream": self.told })),
            (_, Some(name)) => match self.manifest() {
                Some((of, id)) if id == name || of == format!("docker.io/library/{name}") => (200, json!({ "Id": id })),
                None if !name.starts_with("sha256:") => {
                    (200, json!({ "Id": "sha256:00", "RootFS": { "Type": "layers", "Layers": self.layers } }))
                }
                _ => (404, json!({ "message": "No such image" })),
            },
            _ => (200, json!([])),
        }
    }

    /// What was sent: paths and contents.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let sent = self.sent.lock().unwrap().clone();
        let mut archive = tar::Archive::new(sent.as_slice());
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), content)
        });
        files.collect()
    }

    /// The name and the manifest of what was sent.
    fn manifest(&self) -> Option<(Value, Value)> {
        let (_, index) = self.files().into_iter().find(|(path, _)| path == "index.json")?;
        let manifest = serde_json::from_slice::<Value>(&index).unwrap()["manifests"][0].clone();
        Some((manifest["annotations"]["io.containerd.image.name"].clone(), manifest["digest"].clone()))
    }
}

/// The body of a request that comes in chunks.
fn chunks(client: &mut BufReader<UnixStream>) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut length = String::new();
        client.read_line(&mut length).unwrap();
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        client.read_exact(&mut chunk).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

#[test]
fn an_engine_that_keeps_blobs_is_sent_all_of_them() {
    let app = folder::with(&[("app.py", "app = print\n")]);
    let place = tempfile::tempdir().unwrap();
    let build = |arguments: &[&str], socket: &Path| -> Value {
        let mut command = super::engine::dockerize(app.path(), "shop", arguments);
        command.arg("--json").env("DOCKER_HOST", format!("unix://{}", socket.display()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let tar = place.path().join("image.tar");
    let made = build(&["--output", tar.to_str().unwrap()], Path::new("/nonexistent"));
    let layers: Vec<_> =
        made["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap()).collect();
    let socket = place.path().join("engine.sock");
    let engine = Containerd::at(&socket, &layers, "Loaded image: shop:latest\n");
    let result = build(&[], &socket);
    let files: BTreeSet<_> = engine.files().into_iter().map(|(path, _)| path).collect();
    for layer in layers {
        assert!(files.contains(&format!("blobs/{}", layer.replace(':', "/"))), "{layer} is not among {files:?}");
    }
    assert_eq!(result["id"], engine.manifest().unwrap().1);
    assert_eq!(build(&[], &socket)["id"], result["id"]);
    let loads = engine.asked.lock().unwrap().iter().filter(|asked| *asked == "POST images/load").count();
    assert_eq!(loads, 1, "the very image is there");
}

#[test]
fn an_image_that_an_engine_cannot_unpack_is_a_failure() {
    let app = folder::with(&[("app.py", "app = print\n")]);
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("engine.sock");
    let told = "Error unpacking image shop:latest: failed to extract layer sha256:00: unexpected EOF\n";
    let engine = Containerd::at(&socket, &[], told);
    let failure = fails(app.path(), &[], |command| {
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    });
    let said = "The Docker Engine could not load the image: failed to extract layer sha256:00: unexpected EOF. Nothing was kept";
    assert!(failure.message.starts_with(said), "{}", failure.message);
    assert!(engine.asked.lock().unwrap().last().unwrap().starts_with("DELETE images/"), "it has a name all the same");
}

#[test]
fn contexts_are_followed_and_refused_by_name() {
    let settings = tempfile::tempdir().unwrap();
    let docker_in = |arguments: &[&str]| {
        let output = Command::new("docker").args(arguments).env("DOCKER_CONFIG", settings.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    docker_in(&["context", "create", "gone", "--docker", "host=unix:///nonexistent/engine.sock"]);
    docker_in(&["context", "create", "far", "--docker", "host=ssh://me@far.invalid"]);
    docker_in(&["context", "use", "gone"]);
    let app = folder::with(&[("app.py", "app = print\n")]);
    let message = |context: Option<&str>| {
        let failure = fails(app.path(), &[], |command| {
            command.env_remove("DOCKER_HOST").env("DOCKER_CONFIG", settings.path());
            command.envs(context.map(|name| ("DOCKER_CONTEXT", name)));
        });
        failure.message
    };
    assert!(message(None).starts_with("No Docker Engine answers at unix:///nonexistent/engine.sock: "));
    assert!(
        message(Some("far")).starts_with("the context far names the engine ssh://me@far.invalid, which rwsgi does not")
    );
    assert!(message(Some("none")).contains("DOCKER_CONTEXT names the Docker context \"none\", but there is no "));
}
