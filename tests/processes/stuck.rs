//! `--timeout`: workers that are stuck, and workers that only look as if they were.
//!
//! It is three seconds: what boots has it too, and Python and an app may take more than one on a busy machine.

use std::time::Duration;

use super::{answers, children, ends, write};
use crate::support::{Server, process};

/// Is stuck in `/stuck` and `/also`, and has a thread of its own.
const STICKS: &str = "
import ctypes, os, threading, time
takes_over = threading.Event()
def background():
    takes_over.wait()
    print('takes over', flush=True)
    without_the_gil_for_others()
threading.Thread(target=background, daemon=True).start()
def stuck():
    print('stuck', flush=True)
    while True:
        time.sleep(1)
def without_the_gil_for_others():
    ctypes.PyDLL(None).sleep(1000)
def app(environ, start_response):
    match environ['PATH_INFO']:
        case '/stuck':
            stuck()
        case '/later':
            takes_over.set()
        case '/hold':
            without_the_gil_for_others()
        case '/upload':
            body = environ['wsgi.input'].read()
            start_response('200 OK', [])
            return [b'%d' % len(body)]
        case '/download':
            start_response('200 OK', [('Content-Length', str(64 << 20))])
            return (b'x' * (1 << 20) for _ in range(64))
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

fn pid(server: &Server) -> String {
    server.connect().get("/").text()
}

#[test]
fn a_stuck_worker_says_where_each_of_its_threads_is_and_is_replaced() {
    for log in [&[][..], &["--error-logfile", "error.log"]] {
        let args = ["app:app", "--threads", "2", "--timeout", "3", "--graceful-timeout", "1"];
        let mut server = Server::of(STICKS).args(args).args(log.iter().copied()).start_at_socket();
        let before = pid(&server);
        let mut client = server.connect();
        client.send("GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n");
        server.wait_for_output("stuck\n");
        let said = || if log.is_empty() { server.stderr() } else { super::read(&server, "error.log") };
        ends(before.parse().expect("an id"));
        let replaced = process::holds(|| pid(&server) != before);
        assert!(replaced, "{}", said());
        let said = said();
        assert!(said.contains(&format!("WORKER TIMEOUT (pid:{before})")), "{said}");
        let stacks: Vec<_> = said.lines().skip_while(|line| !line.contains("WORKER TIMEOUT")).collect();
        let frames = |function: &str| stacks.iter().filter(|line| line.ends_with(&format!(" in {function}"))).count();
        assert_eq!((frames("stuck"), frames("app"), frames("background")), (1, 1, 1), "{said}");
        assert!(client.read_all().is_empty(), "there is no answer");
        if log.is_empty() {
            server.stop();
        }
    }
}

#[test]
fn a_stuck_worker_has_five_seconds_for_its_other_requests_whatever_the_timeout_is() {
    let mut server = Server::of(&format!("{HANGS}{STICKS}")).args(["app:app", "--timeout", "3"]).start();
    let before = pid(&server);
    // Its successor does not come.
    write(&server, "hang", "");
    server.connect().send("GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n");
    ends(before.parse().expect("an id"));
    // It ends by itself, and is not killed before.
    server.wait_for_log(&format!("Worker (pid: {before}) is cut short"));
    assert_eq!(server.stderr().matches(&format!("WORKER TIMEOUT (pid:{before})")).count(), 1, "{}", server.stderr());
    server.stop();
}

#[test]
fn a_worker_that_never_lets_go_of_python_or_is_stopped_is_replaced_too() {
    let mut server = Server::of(STICKS).args(["app:app", "--timeout", "3", "--graceful-timeout", "1"]).start();
    let before = pid(&server);
    server.connect().send("GET /hold HTTP/1.1\r\nHost: test\r\n\r\n");
    ends(before.parse().expect("an id"));
    server.wait_for_log("in without_the_gil_for_others");
    let before: u32 = pid(&server).parse().expect("an id");
    process::signal(before, "STOP");
    ends(before);
    server.wait_for_log(&format!("WORKER TIMEOUT (pid:{before})"));
    assert_ne!(pid(&server), before.to_string());
    server.stop();
}

#[test]
fn a_worker_whose_python_is_held_while_no_request_runs_is_replaced_too() {
    for threads in ["1", "4"] {
        let args = ["app:app", "--threads", threads, "--timeout", "3", "--graceful-timeout", "1"];
        let mut server = Server::of(STICKS).args(args).start();
        let before = server.connect().get("/later").text();
        // Those that come before the thread has taken over are answered; the first one after it waits.
        let mut clients = Vec::new();
        let replaced = process::holds(|| {
            let mut client = server.connect();
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            clients.push(client);
            !process::is_alive(before.parse().expect("an id"))
        });
        assert!(replaced, "{}", server.stderr());
        server.wait_for_log("in without_the_gil_for_others");
        assert_ne!(pid(&server), before);
        server.stop();
    }
}

#[test]
fn one_thread_waits_to_interrupt_what_never_lets_go_of_python() {
    let args = ["app:app", "--timeout", "0", "--request-timeout", "1", "--graceful-timeout", "1"];
    let server = Server::of(STICKS).args(args).start();
    let worker = pid(&server).parse().expect("an id");
    let before = process::threads(worker);
    server.connect().send("GET /hold HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(process::holds(|| process::threads(worker) == before + 1));
    // Time for several more.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(process::threads(worker), before + 1);
}

#[test]
fn a_worker_whose_python_is_held_ends_without_its_arbiter_too() {
    for threads in ["1", "4"] {
        let args = ["app:app", "--threads", threads, "--graceful-timeout", "1"];
        let mut server = Server::of(STICKS).args(args).start();
        let worker = server.connect().get("/later").text().parse().expect("an id");
        let _guard = process::Guard(worker);
        // It has no request then that would make up for anything.
        server.wait_for_output("takes over\n");
        server.signal("KILL");
        server.wait_status();
        ends(worker);
    }
}

#[test]
fn workers_that_are_idle_or_at_short_requests_or_wait_for_slow_clients_are_not_stuck() {
    let args =
        ["app:app", "-w", "2", "--threads", "4", "--timeout", "3", "--body-min-rate", "0", "--access-logfile", "log"];
    let mut server = Server::of(STICKS).args(args).start();
    answers(&server, &pid(&server));
    let before = children(&server, 2);
    let mut upload = server.connect();
    upload.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nabc");
    let mut download = server.connect();
    download.send("GET /download HTTP/1.1\r\nHost: test\r\n\r\n");
    // Three times the timeout; one worker at least is idle for most of it.
    let end = std::time::Instant::now() + Duration::from_secs(9);
    let mut client = server.connect();
    while std::time::Instant::now() < end {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(upload.send("def").response("POST").text(), "6");
    assert_eq!(download.response("GET").body.len(), 64 << 20);
    assert_eq!(children(&server, 2), before, "{}", server.stderr());
    let ended = server.stop();
    assert!(!ended.stderr.contains("TIMEOUT"), "{}", ended.stderr);
}

/// Takes for ever to load when there is a file `hang`.
const HANGS: &str = "
import os, time
def load():
    while os.path.exists('hang'):
        time.sleep(0.005)
load()
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'alive']
";

#[test]
fn an_app_that_never_finishes_loading_is_told_and_tried_again_and_fails_a_reload() {
    let mut server = Server::of(HANGS).args(["app:app", "--timeout", "3"]).start();
    answers(&server, "alive");
    let before = children(&server, 1);
    write(&server, "hang", "");
    server.signal("HUP");
    server.wait_for_log("The reload failed");
    assert_eq!(children(&server, 1), before);
    answers(&server, "alive");
    process::signal(before[0], "KILL");
    server.wait_for_log("A worker died while it booted. The next attempt is in 0.5 s.");
    // Each worker that is given up says where it hangs, as far as it still can.
    server.wait_for_log("in load");
    std::fs::remove_file(server.directory().join("hang")).expect("it is there");
    answers(&server, "alive");
    server.stop();
}

#[test]
fn a_preloaded_app_that_never_finishes_loading_is_given_up_with_the_next_reload() {
    let app = HANGS.replace("def load():\n", "def load():\n    print('loading', flush=True)\n");
    let mut server = Server::of(&app).args(["app:app", "--preload"]).start();
    answers(&server, "alive");
    let before = children(&server, 2);
    write(&server, "hang", "");
    server.signal("HUP");
    // Until then the new one may be the process that reads the configuration.
    server.wait_for_output(&"loading\n".repeat(2));
    let hangs = children(&server, 3).into_iter().find(|pid| !before.contains(pid)).expect("a new one");
    write(&server, "app.py", &super::saying("mended"));
    server.signal("HUP");
    answers(&server, "mended");
    ends(hangs);
    before.into_iter().for_each(ends);
    children(&server, 2);
    server.stop();
}
