//! Whether an engine sees how its containers are.

use std::time::Instant;

use super::{
    engine::{Container, HARDENED, Image, PATIENCE, docker, try_docker, unique},
    folder,
};

const APP: &str = "import threading\n\n\ndef app(environ, start_response):\n    \
                   if environ['PATH_INFO'] == '/hangs':\n        threading.Event().wait()\n    \
                   if environ['PATH_INFO'] == '/raises':\n        raise ValueError\n    \
                   start_response('200 OK', [])\n    return [b'Hello']\n";

impl Container {
    /// Waits for the engine to have made up its mind, and returns what it thinks, and what the last check said.
    fn health(&self) -> (String, String) {
        self.health_after("starting")
    }

    /// The same, once it thinks something else than this.
    fn health_after(&self, before: &str) -> (String, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = docker(&["inspect", "-f", "{{.State.Health.Status}}", &self.name]);
            if status != before {
                let log = docker(&["inspect", "-f", "{{range .State.Health.Log}}{{.Output}}{{end}}", &self.name]);
                return (status, log);
            }
            assert!(Instant::now() < deadline, "its log: {}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(100));
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
    let (status, log) = run(&image.name, &[], &[]).health();
    assert_eq!(status, "healthy", "{log}");
    assert!(log.starts_with("Healthy: 127.0.0.1:5000 answers GET / with 200 OK after "), "{log}");
}

#[test]
fn the_check_follows_whatever_address_the_server_has() {
    let image = folder::hello();
    for (options, command, address) in [
        (&[][..], &["rwsgi", "app:app", "--bind", "[::1]:8080", "--workers", "2"][..], "[::1]:8080"),
        (&["--env", "PORT=9000"], &["rwsgi", "app:app"], "127.0.0.1:9000"),
        (&["--env", "GUNICORN_CMD_ARGS=--bind unix:/tmp/app.sock"], &["rwsgi", "app:app"], "unix:/tmp/app.sock"),
        (&["--init", "--tmpfs", "/run"], &["rwsgi", "app:app", "-b", "unix:../run/a b.sock"], "/cwd/../run/a b.sock"),
    ] {
        let options = [options, &["--sysctl", "net.ipv6.conf.lo.disable_ipv6=0"]].concat();
        let (status, log) = run(&image.name, &options, command).health();
        assert_eq!(status, "healthy", "{log}");
        assert!(log.contains(address), "{log}");
    }
}

#[test]
fn an_engine_sees_that_an_app_is_not_well() {
    let folder = folder::with(&[("app.py", APP)]);
    let image = Image::of(folder.path(), &[]);
    assert_eq!(run(&image.name, &[], &[]).health().0, "healthy");
    for (path, why) in [
        ("/raises", "Error: Unhealthy: 127.0.0.1:5000 answers GET /raises with 500 Internal Server Error."),
        ("/hangs", "Error: Unhealthy: 127.0.0.1:5000 did not answer GET /hangs within 5 s."),
    ] {
        let container = run(&image.name, &["--health-cmd", &format!("rwsgi healthcheck --path {path}")], &[]);
        // The engine runs such a command by a shell, which the image does not have; so it is asked for in its place.
        let output = try_docker(&["exec", &container.name, "rwsgi", "healthcheck", "--path", path]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && text.starts_with(why), "{text}");
    }
}

#[test]
fn an_engine_sees_that_a_worker_hangs_and_that_it_is_replaced() {
    let folder = folder::with(&[("app.py", APP)]);
    let image = Image::of(folder.path(), &[]);
    let container = run(&image.name, &[], &["rwsgi", "app:app", "--bind", "127.0.0.1:5000", "--timeout", "15"]);
    assert_eq!(container.health().0, "healthy");
    // Its only thread never comes back from this.
    try_docker(&["exec", &container.name, "rwsgi", "healthcheck", "--path", "/hangs", "--timeout", "0.1"]);
    let (status, log) = container.health_after("healthy");
    assert_eq!(status, "unhealthy", "{log}");
    assert!(log.contains("127.0.0.1:5000 did not answer GET / within 5 s."), "{log}");
    assert_eq!(container.health_after("unhealthy").0, "healthy");
}

#[test]
fn a_container_in_which_nothing_listens_is_not_well() {
    let (status, log) = run(&folder::hello().name, &[], &["python", "-c", "import time; time.sleep(60)"]).health();
    assert_eq!(status, "unhealthy", "{log}");
    assert!(log.starts_with("Error: Unhealthy: no rwsgi listens here"), "{log}");
}
