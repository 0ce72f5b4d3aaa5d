//! Whether an engine sees how its containers are.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    engine::{Container, HARDENED, Image, docker, try_docker, unique},
    folder,
};
use crate::support::{process, server::LIMIT};

const APP: &str = "import threading\n\n\ndef app(environ, start_response):\n    \
                   if environ['PATH_INFO'] == '/hangs':\n        threading.Event().wait()\n    \
                   if environ['PATH_INFO'] == '/raises':\n        raise ValueError\n    \
                   start_response('200 OK', [])\n    return [b'Hello']\n";

impl Container {
    /// Waits for the engine to think this of it, and returns what the last check said. It may think otherwise at first: a
    /// check may come before anything listens.
    #[track_caller]
    fn health_is(&self, wanted: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = docker(&["inspect", "-f", "{{json .State.Health}}", &self.name]);
            let health: Value = serde_json::from_str(&text).unwrap();
            if health["Status"] == wanted {
                return health["Log"].as_array().unwrap().last().unwrap()["Output"].as_str().unwrap().to_owned();
            }
            assert!(Instant::now() < deadline, "not {wanted}: {health:#}; its log: {}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Starts it with checks that follow each other more quickly than they need to otherwise.
fn run(image: &str, options: &[&str], command: &[&str]) -> Container {
    let name = unique("health");
    let quick = ["--health-interval", "1s", "--health-retries", "1", "--health-start-period", "0s"];
    let run = ["run", "-d", "--name", &name];
    docker(&[&run, &HARDENED[..], &quick, options, &[image], command].concat());
    Container { name, address: String::new() }
}

#[test]
fn an_engine_sees_that_an_app_is_well() {
    let image = folder::hello();
    let log = run(&image.name, &[], &[]).health_is("healthy");
    assert!(log.starts_with("Healthy: 127.0.0.1:5000 answers GET / with 200 OK after "), "{log}");
}

#[test]
fn the_check_follows_whatever_place_the_server_has() {
    let image = folder::hello();
    for (options, command, address) in [
        (&[][..], &["rwsgi", "app:app", "--bind", "[::1]:8080", "--workers", "2"][..], "[::1]:8080"),
        (&["--env", "PORT=9000"], &["rwsgi", "app:app"], "127.0.0.1:9000"),
        (&["--env", "SCRIPT_NAME=/shop"], &["rwsgi", "app:app"], " answers GET /shop/ with "),
        (&["--env", "GUNICORN_CMD_ARGS=--bind unix:/tmp/app.sock"], &["rwsgi", "app:app"], "unix:/tmp/app.sock"),
        (&["--init", "--tmpfs", "/run"], &["rwsgi", "app:app", "-b", "unix:../run/a b.sock"], "/cwd/../run/a b.sock"),
    ] {
        let options = [options, &["--sysctl", "net.ipv6.conf.lo.disable_ipv6=0"]].concat();
        let log = run(&image.name, &options, command).health_is("healthy");
        assert!(log.contains(address), "{log}");
    }
}

#[test]
fn an_engine_sees_that_an_app_is_not_well() {
    let folder = folder::with(&[("app.py", APP)]);
    let image = Image::of(folder.path(), &[]);
    run(&image.name, &[], &[]).health_is("healthy");
    for (path, why) in [
        ("/raises", "Error: Unhealthy: 127.0.0.1:5000 answers GET /raises with 500 Internal Server Error."),
        ("/hangs", "Error: Unhealthy: 127.0.0.1:5000 did not answer GET /hangs within 5 s."),
    ] {
        let container = run(&image.name, &["--health-cmd", &format!("rwsgi healthcheck --path {path}")], &[]);
        // The engine runs such a command by a shell, which the image does not have; so it is asked for in its place.
        let ask = |args: &[&str]| try_docker(&[&["exec", &container.name, "rwsgi", "healthcheck"], args].concat());
        assert!(process::holds(|| ask(&[]).status.success()), "it is well otherwise: {}", container.log());
        let output = ask(&["--path", path]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && text.starts_with(why), "{text}");
    }
}

#[test]
fn an_engine_sees_that_a_worker_hangs_and_that_it_is_replaced() {
    let folder = folder::with(&[("app.py", APP)]);
    let image = Image::of(folder.path(), &[]);
    let container = run(&image.name, &[], &["rwsgi", "app:app", "--bind", "127.0.0.1:5000", "--timeout", "15"]);
    container.health_is("healthy");
    // Its only thread never comes back from this.
    try_docker(&["exec", &container.name, "rwsgi", "healthcheck", "--path", "/hangs", "--timeout", "1"]);
    let log = container.health_is("unhealthy");
    assert!(log.contains("127.0.0.1:5000 did not answer GET / within 5 s."), "{log}");
    container.health_is("healthy");
}

#[test]
fn a_container_in_which_nothing_listens_is_not_well() {
    let container = run(&folder::hello().name, &[], &["python", "-c", "import time; time.sleep(600)"]);
    let log = container.health_is("unhealthy");
    assert!(log.starts_with("Error: Unhealthy: no rwsgi listens here"), "{log}");
}
