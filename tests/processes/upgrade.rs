//! A new binary beside the old one (`USR2`): what each generation leaves to the other, and who goes on.

use std::path::Path;

use super::{WAITS, answers, children, daemon, ends, read, saying, service::Notified, write};
use crate::support::{Client, Server, process};

/// Sends `USR2`, and waits until the worker of the new arbiter serves too. `before` is what the log has had of arbiters.
#[track_caller]
fn upgrade(server: &Server, before: usize) -> process::Guard {
    let booted = server.stderr().matches("Booting worker").count();
    server.signal("USR2");
    let new = listens(server, before + 1);
    server.wait_for_logs("Booting worker", booted + 1);
    new
}

/// Waits until so many arbiters have listened, and returns the last.
#[track_caller]
fn listens(server: &Server, count: usize) -> process::Guard {
    server.wait_for_logs("Listening at: ", count);
    let log = server.stderr();
    let line = log.split("Listening at: ").last().and_then(|rest| rest.lines().next()).expect("it was waited for");
    process::Guard(line.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')')?.parse().ok()).expect("an id"))
}

fn unix() -> (Server, String) {
    let builder = Server::of(&saying("alive")).without_bind();
    let path = builder.directory().join("app.sock").display().to_string();
    let server = builder.args(["app:app", "--bind", &format!("unix:{path}"), "--pid", "app.pid"]).start();
    answers(&server, "alive");
    (server, path)
}

#[test]
fn the_file_of_a_socket_goes_with_the_last_arbiter_only() {
    let (mut server, path) = unix();
    let is_answered = || Client::connect(&format!("unix:{path}")).get("/").text() == "alive";
    // The new one is ended, in order or not, and the old one goes on.
    for (number, signal) in [(1, "TERM"), (2, "KILL"), (3, "QUIT")] {
        let new = upgrade(&server, number);
        process::signal(new.0, signal);
        server.wait_for_logs("has ended. This one goes on serving.", number);
        assert!(Path::new(&path).exists() && is_answered(), "{signal}\n{}", server.stderr());
    }
    // One that does not come up takes nothing with it either.
    write(&server, "gunicorn.conf.py", "errorlog = 'no/such/folder/error.log'\n");
    server.signal("USR2");
    server.wait_for_logs("has ended. This one goes on serving.", 4);
    assert!(Path::new(&path).exists() && is_answered(), "{}", server.stderr());
    write(&server, "gunicorn.conf.py", "");
    // The old one is ended.
    let new = upgrade(&server, 4);
    server.signal("TERM");
    assert!(server.wait_status().success());
    server.wait_for_log("Master has been promoted.");
    assert!(Path::new(&path).exists() && is_answered(), "{}", server.stderr());
    process::signal(new.0, "TERM");
    ends(new.0);
    assert!(!Path::new(&path).exists(), "the last one takes it along");
    assert!(!server.directory().join("app.pid").exists() && !server.directory().join("app.pid.2").exists());
}

/// Has the old arbiter end and the new one get a signal before it can see that.
fn sends_to_the_last(server: &mut Server, new: u32, signal: &str) {
    process::signal(new, "STOP");
    server.signal("TERM");
    assert!(server.wait_status().success());
    process::signal(new, signal);
    process::signal(new, "CONT");
}

#[test]
fn an_arbiter_may_be_upgraded_before_it_sees_that_it_is_the_last() {
    let (mut server, _) = unix();
    let new = upgrade(&server, 1);
    sends_to_the_last(&mut server, new.0, "USR2");
    let newest = listens(&server, 3);
    for arbiter in [new.0, newest.0] {
        process::signal(arbiter, "TERM");
        ends(arbiter);
    }
}

#[test]
fn an_arbiter_that_is_to_end_before_it_sees_that_it_is_the_last_leaves_no_file_either() {
    let (mut server, path) = unix();
    let new = upgrade(&server, 1);
    sends_to_the_last(&mut server, new.0, "TERM");
    ends(new.0);
    assert!(!Path::new(&path).exists(), "{}", server.stderr());
    assert!(!server.directory().join("app.pid").exists() && !server.directory().join("app.pid.2").exists());
}

#[test]
fn an_old_arbiter_that_is_the_only_one_again_takes_the_file_of_its_socket_along() {
    let (mut server, path) = unix();
    let new = upgrade(&server, 1);
    process::signal(new.0, "TERM");
    server.wait_for_log("has ended. This one goes on serving.");
    server.stop();
    assert!(!Path::new(&path).exists());
}

#[test]
fn there_are_two_arbiters_at_most() {
    let (server, _) = unix();
    let new = upgrade(&server, 1);
    assert_eq!(read(&server, "app.pid.2"), format!("{}\n", new.0));
    server.signal("USR2");
    server.wait_for_log("USR2 signal ignored. Child exists");
    process::signal(new.0, "USR2");
    server.wait_for_log("USR2 signal ignored. Parent exists");
    process::signal(new.0, "HUP");
    server.wait_for_log("Hang up: Master.2");
    server.wait_for_log("The reload is done");
    process::signal(new.0, "TERM");
    server.wait_for_log("Shutting down: Master.2");
    ends(new.0);
    assert!(!server.directory().join("app.pid.2").exists());
    assert_eq!(read(&server, "app.pid"), format!("{}\n", server.pid()));
}

#[test]
fn an_arbiter_that_is_killed_at_once_is_taken_over_from_all_the_same() {
    let mut server = Server::of(&saying("alive")).args(["app:app", "--pid", "app.pid"]).start();
    answers(&server, "alive");
    server.signal("USR2");
    children(&server, 2);
    server.signal("KILL");
    server.wait_status();
    let pid = process::until(|| {
        read(&server, "app.pid").trim().parse().ok().filter(|pid| *pid != server.pid() && process::is_alive(*pid))
    });
    let new = process::Guard(pid.unwrap_or_else(|| panic!("nobody takes over:\n{}", server.stderr())));
    server.wait_for_log("Master has been promoted.");
    answers(&server, "alive");
    process::signal(new.0, "TERM");
    ends(new.0);
}

#[test]
fn a_daemon_goes_back_to_its_old_binary_as_gunicorns_documentation_says() {
    let (server, old, address) = daemon(&["--workers", "2"]);
    let ask = || Client::connect(&address).get("/").text();
    let second = || read(&server, "app.pid.2").trim().parse().ok();
    let log = |text: &str, times: usize| {
        let seen = || read(&server, "error.log").matches(text).count() >= times;
        assert!(process::holds(seen), "{text}\n{}", read(&server, "error.log"));
    };
    write(&server, "app.py", &saying("the new code"));
    process::signal(old.0, "USR2");
    let new = process::Guard(process::until(second).expect("it writes its id"));
    log("Booting worker", 4);
    process::signal(old.0, "WINCH");
    log("Worker exiting", 2);
    assert_eq!(ask(), "the new code");
    // The new code will not do.
    write(&server, "app.py", &saying("alive"));
    process::signal(old.0, "HUP");
    log("The reload is done", 1);
    process::signal(new.0, "QUIT");
    ends(new.0);
    log("has ended. This one goes on serving.", 1);
    assert_eq!(ask(), "alive");
    assert!(!server.directory().join("app.pid.2").exists());
    process::signal(old.0, "TERM");
    ends(old.0);
    assert!(!server.directory().join("app.pid").exists());
}

#[test]
fn the_new_binary_listens_where_its_own_settings_say() {
    let builder = Server::of(&saying("alive")).without_bind().args(["app:app"]);
    let path = builder.directory().display().to_string();
    let binds = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| format!("'unix:{path}/{name}'")).collect();
        format!("bind = [{}]\n", names.join(", "))
    };
    std::fs::write(builder.directory().join("gunicorn.conf.py"), binds(&["one", "two"])).expect("it is ours");
    let mut server = builder.start();
    write(&server, "gunicorn.conf.py", &binds(&["two", "three"]));
    let new = upgrade(&server, 1);
    let listening = format!("Listening at: unix:{path}/two,unix:{path}/three ({})", new.0);
    assert!(server.stderr().contains(&listening), "{}", server.stderr());
    server.signal("TERM");
    assert!(server.wait_status().success());
    for name in ["two", "three"] {
        assert_eq!(Client::connect(&format!("unix:{path}/{name}")).get("/").text(), "alive");
    }
    process::signal(new.0, "TERM");
    ends(new.0);
    assert!(!server.directory().join("two").exists() && !server.directory().join("three").exists());
}

#[test]
fn systemd_learns_which_process_the_service_is_now() {
    let builder = Server::of(&saying("alive")).args(["app:app"]);
    let path = builder.directory().join("notify.sock");
    let notified = Notified::at(&path);
    let mut server = builder.env("NOTIFY_SOCKET", path.to_str().expect("text")).start();
    assert_eq!(notified.next(), "READY=1\nSTATUS=The workers serve.");
    let new = upgrade(&server, 1);
    server.signal("TERM");
    assert!(server.wait_status().success());
    assert_eq!(notified.next(), format!("MAINPID={}\nSTATUS=The new binary serves.", new.0));
    assert_eq!(notified.next(), format!("MAINPID={}\nREADY=1\nSTATUS=The workers serve.", new.0));
    process::signal(new.0, "TERM");
    ends(new.0);
    let mut told = notified.next();
    if told.starts_with("READY=1") {
        // Its predecessor was gone before its worker had booted.
        told = notified.next();
    }
    assert_eq!(told, "STOPPING=1\nSTATUS=The workers finish what they are at.");
}

#[test]
fn an_app_sees_nothing_of_an_upgrade() {
    let app = "
import os
def app(environ, start_response):
    start_response('200 OK', [])
    return [repr([name for name in os.environ if name.startswith(('GUNICORN_', 'RWSGI_'))]).encode()]
";
    let mut server = Server::of(app).args(["app:app"]).start();
    let new = upgrade(&server, 1);
    server.signal("TERM");
    assert!(server.wait_status().success());
    assert_eq!(server.connect().get("/").text(), "[]");
    assert_eq!(children(&server, 0), [0; 0]);
    process::signal(new.0, "TERM");
    ends(new.0);
}

#[test]
fn a_server_that_is_about_to_end_starts_no_successor() {
    let mut server = Server::of(WAITS).args(["app:app"]).start();
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait_for_output("waiting\n");
    server.signal("TERM");
    server.wait_for_log("Handling signal: term");
    server.signal("USR2");
    server.wait_for_log("USR2 signal ignored. This server is about to end.");
    write(&server, "go", "");
    assert_eq!(client.response("GET").text(), "alive");
    let ended = server.wait();
    assert!(ended.status.success(), "{}", ended.status);
    assert_eq!(ended.stderr.matches("Listening at").count(), 1, "{}", ended.stderr);
}
