//! What happens to a server while several hundred requests a second come in, and how many of them are lost.

use crate::support::{Load, Server, process};

/// Answers with its process, its arbiter and the version of its code.
const APP: &str = "
import os, time, version
def app(environ, start_response):
    time.sleep(0.002)
    body = f'{os.getpid()} {os.getppid()} {version.NUMBER}'.encode()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";

/// So many clients keep their connections, and so many do not.
const CLIENTS: (usize, usize) = (4, 4);

fn server(args: &[&str]) -> Server {
    let files = [("app.py", APP), ("version.py", "NUMBER = 0")];
    let server = Server::of_files(&files)
        .args(["app:app", "--threads", "4", "--keep-alive", "600"])
        .args(args.iter().copied())
        .start();
    assert!(says(&server).ends_with(" 0"));
    server
}

fn load(server: &Server) -> Load {
    let load = Load::start(server.address(), CLIENTS.0, CLIENTS.1);
    assert!(process::holds(|| load.answered() > 50), "{}", server.stderr());
    load
}

fn says(server: &Server) -> String {
    server.connect().get("/").text()
}

fn set_version(server: &Server, number: u32) {
    // The same size within the same second must not look like the same code.
    let text = format!("NUMBER = {number}{}", " ".repeat(number as usize));
    // In one step: a worker that boots just then must not find it empty.
    let beside = server.directory().join("version.new");
    std::fs::write(&beside, text).expect("the file can be written");
    std::fs::rename(beside, server.directory().join("version.py")).expect("the file can be replaced");
}

#[track_caller]
fn until_version(server: &Server, number: u32) {
    let end = format!(" {number}");
    assert!(process::holds(|| says(server).ends_with(&end)), "version {number} never serves:\n{}", server.stderr());
}

#[test]
fn a_reload_loses_no_request() {
    for preload in [&[][..], &["--preload"][..]] {
        let args = [&["-w", "2"], preload].concat();
        let mut server = server(&args);
        let load = load(&server);
        for number in 1..=2 {
            set_version(&server, number);
            server.signal("HUP");
            server.wait_for_logs("The reload is done", number as usize);
            until_version(&server, number);
        }
        load.finish(&format!("HUP, twice {preload:?}")).is_whole();
        server.stop();
    }
}

#[test]
fn reloads_in_a_row_lose_no_request_and_the_last_one_counts() {
    for preload in [&[][..], &["--preload"][..]] {
        let args = [&["-w", "2"], preload].concat();
        let mut server = server(&args);
        let load = load(&server);
        for number in 1..=5 {
            set_version(&server, number);
            server.signal("HUP");
            server.wait_for_logs("Hang up: Master", number as usize);
        }
        until_version(&server, 5);
        server.wait_for_logs("The reload is done", 1);
        let settles = process::holds(|| process::children(server.pid()).len() == 2 + preload.len());
        load.finish(&format!("HUP, five in a row {preload:?}")).is_whole();
        assert!(!server.stderr().contains("cut short"), "{}", server.stderr());
        assert!(settles, "{:?}", process::children(server.pid()));
        server.stop();
    }
}

#[test]
fn more_and_fewer_workers_lose_no_request() {
    let mut server = server(&["-w", "2"]);
    let load = load(&server);
    for (signal, count) in [("TTIN", 3), ("TTIN", 4), ("TTOU", 3), ("TTOU", 2), ("TTOU", 1), ("TTIN", 2)] {
        server.signal(signal);
        let seen = process::holds(|| process::children(server.pid()).len() == count);
        assert!(seen, "{signal}: {:?}\n{}", process::children(server.pid()), server.stderr());
    }
    load.finish("TTIN and TTOU, three of each").is_whole();
    assert!(!server.stderr().contains("cut short"), "{}", server.stderr());
    server.stop();
}

#[test]
fn workers_that_retire_lose_no_request() {
    let mut server = server(&["-w", "2", "--max-requests", "150", "--max-requests-jitter", "50"]);
    let load = load(&server);
    server.wait_for_logs("Autorestarting worker after current request.", 6);
    load.finish("max-requests, six workers retired").is_whole();
    server.stop();
}

#[test]
fn an_upgrade_loses_no_request() {
    for signal in ["TERM", "QUIT"] {
        let mut server = server(&["-w", "2", "--pid", "server.pid"]);
        let load = load(&server);
        set_version(&server, 1);
        server.signal("USR2");
        until_version(&server, 1);
        let second = server.directory().join("server.pid.2");
        let new: u32 = std::fs::read_to_string(&second).expect("it is there").trim().parse().expect("an id");
        let _guard = process::Guard(new);
        // Both of the new workers serve.
        server.wait_for_logs("Booting worker", 4);
        server.signal(signal);
        assert!(server.wait_status().success(), "{}", server.stderr());
        server.wait_for_logs("Master has been promoted.", 1);
        let pid = || std::fs::read_to_string(server.directory().join("server.pid")).ok()?.trim().parse().ok();
        assert_eq!(process::until(|| pid().filter(|pid| *pid == new)), Some(new));
        assert!(!second.exists());
        until_version(&server, 1);
        load.finish(&format!("USR2, then {signal} to the old arbiter")).is_whole();
        process::signal(new, "TERM");
        assert!(process::holds(|| !process::is_alive(new)));
        assert!(!server.directory().join("server.pid").exists());
    }
}

#[test]
fn a_stop_answers_what_was_sent() {
    for workers in ["1", "2"] {
        let mut server = server(&["-w", workers]);
        let load = load(&server);
        load.may_be_refused();
        server.signal("TERM");
        let ended = server.wait();
        assert!(ended.status.success(), "{}", ended.stderr);
        load.finish(&format!("TERM, {workers} workers")).is_whole_at_the_end();
        assert!(!ended.stderr.contains("cut short"), "{}", ended.stderr);
    }
}

#[test]
fn a_worker_that_is_killed_loses_only_what_it_was_at() {
    let mut server = server(&["-w", "2"]);
    let before = process::until(|| Some(process::children(server.pid())).filter(|pids| pids.len() == 2));
    let before = before.expect("two workers");
    let load = load(&server);
    process::signal(before[0], "KILL");
    server.wait_for_logs("was sent SIGKILL", 1);
    server.wait_for_logs("Booting worker", 3);
    let replaced = process::holds(|| {
        let pid = says(&server).split(' ').next().and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| !before.contains(&pid))
    });
    assert!(replaced, "{}", server.stderr());
    let count = load.finish("kill -9 of one of two workers");
    // No client has more than one request under way or one connection open.
    assert!(count.failed.len() <= CLIENTS.0 + CLIENTS.1, "{:?}", count.failed);
    assert!(count.failed.iter().all(|failure| !failure.starts_with("connect")), "{:?}", count.failed);
    server.stop();
}
