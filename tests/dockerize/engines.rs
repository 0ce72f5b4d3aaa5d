//! Engines that are elsewhere, go away, or lose what they had: the real one, behind a socket that does so.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::json;

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
