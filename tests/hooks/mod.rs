//! The hooks of configuration files, beside the real gunicorn.

mod failing;
mod files;
mod parity;

use crate::support::{Server, process, server::Builder};

const APP: &str = "
import os
def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '5')])
    return [b'hello']
";

/// Appends a line to the file `seen`.
const NOTE: &str = "
SEEN = open('seen', 'a', buffering=1)
def note(*words):
    SEEN.write(' '.join(map(str, words)) + '\\n')
";

/// A server whose configuration file begins with a function `note`.
fn server(conf: &str) -> Builder {
    let conf = format!("{NOTE}{conf}");
    Server::of_files(&[("app.py", APP), ("gunicorn.conf.py", &conf)]).args(["app:app"])
}

/// Such a server whose app waits in `/slow` until there is a file `go`.
fn slow(conf: &str) -> Builder {
    let server = server(conf);
    let waits = "
    if environ['PATH_INFO'] == '/slow':
        print('waiting', flush=True)
        while not os.path.exists('go'):
            __import__('time').sleep(0.005)
    start";
    std::fs::write(server.directory().join("app.py"), APP.replace("\n    start", waits)).expect("it can be written");
    server
}

/// What was noted, in whole lines: one that crosses a page of the file can be seen half written.
fn seen(server: &Server) -> Vec<String> {
    let mut text = std::fs::read_to_string(server.directory().join("seen")).unwrap_or_default();
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text.lines().map(str::to_owned).collect()
}

/// Waits until a line that begins like this was noted so many times, and returns the last of them.
#[track_caller]
fn until_seen(server: &Server, begin: &str, times: usize) -> String {
    let found = process::until(|| {
        let lines: Vec<_> = seen(server).into_iter().filter(|line| line.starts_with(begin)).collect();
        if lines.len() >= times { lines.last().cloned() } else { None }
    });
    found.unwrap_or_else(|| panic!("{begin:?} was not noted {times} times: {:#?}\n{}", seen(server), server.stderr()))
}

/// The last word of the line.
#[track_caller]
fn number(line: &str) -> u32 {
    line.split(' ').next_back().and_then(|word| word.parse().ok()).expect("it ends in a number")
}

fn rewrite(server: &Server, conf: &str) {
    std::fs::write(server.directory().join("gunicorn.conf.py"), format!("{NOTE}{conf}")).expect("it can be written");
}

#[test]
fn without_hooks_there_is_no_process_for_them() {
    let server = server("workers = 1").start();
    assert_eq!(server.connect().get("/").text(), "hello");
    assert_eq!(process::children(server.pid()).len(), 1);
}

#[test]
fn hooks_run_beside_the_arbiter_and_in_the_workers() {
    let conf = "
import os
def when_ready(server): note('server', server.pid, os.getppid(), os.getpid())
def post_fork(server, worker): note('worker', worker.pid, os.getpid(), worker.ppid)
";
    let server = server(conf).start();
    let arbiter = server.pid();
    let line = until_seen(&server, "server", 1);
    assert!(line.starts_with(&format!("server {arbiter} {arbiter} ")), "{line}");
    let worker = until_seen(&server, "worker", 1);
    let pid = worker.split(' ').nth(1).expect("a pid");
    assert_eq!(worker, format!("worker {pid} {pid} {arbiter}"));
    assert_ne!(pid.parse(), Ok(number(&line)));
}

#[test]
fn a_worker_that_is_stuck_has_its_hook_called_before_it_ends() {
    let conf = "
timeout = 3
def worker_abort(worker): note('abort', worker.age, worker.aborted)
def worker_exit(server, worker): note('exit', worker.age, worker.nr)
def child_exit(server, worker): note('gone', worker.age)
";
    let server = server(conf);
    let app = APP
        .replace("    start", "    while environ['PATH_INFO'] == '/stuck': __import__('time').sleep(0.01)\n    start");
    std::fs::write(server.directory().join("app.py"), app).expect("it can be written");
    let server = server.start();
    let mut client = server.connect();
    client.send("GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n");
    until_seen(&server, "gone 1", 1);
    assert_eq!(seen(&server)[..3], ["abort 1 False", "exit 1 1", "gone 1"]);
    assert_eq!(server.connect().get("/").text(), "hello");
}

#[test]
fn an_interrupt_of_the_server_reaches_the_hook_of_the_workers_once() {
    let conf = "
def worker_int(worker): note('int', worker.age)
def worker_exit(server, worker): note('exit', worker.age)
def on_exit(server): note('end')
";
    let mut server = server(conf).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    // A terminal sends it to all of them.
    for pid in process::children(server.pid()) {
        process::signal(pid, "INT");
    }
    until_seen(&server, "int", 1);
    server.signal("INT");
    assert!(server.wait().status.success());
    assert_eq!(seen(&server), ["int 1", "exit 1", "end"]);
}

#[test]
fn a_worker_that_a_hook_declares_dead_is_replaced() {
    let conf = "
def post_request(worker, req): worker.alive = False
def child_exit(server, worker): note('gone', worker.age, sorted(each.age for each in server.WORKERS.values()))
";
    let server = server(conf).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    assert_eq!(until_seen(&server, "gone", 1), "gone 1 [2]");
    assert_eq!(server.connect().get("/").text(), "hello");
}

#[test]
fn on_exit_has_its_time_and_no_more() {
    let conf = "
import os, time
def on_exit(server):
    note('begin', os.getpid())
    while not os.path.exists('go'):
        time.sleep(0.005)
    note('done')
";
    let mut patient = server(conf).start();
    patient.signal("TERM");
    let pid = number(&until_seen(&patient, "begin", 1));
    // What a terminal or a service manager sends to all processes does not cut it short.
    for signal in ["INT", "TERM", "QUIT"] {
        patient.signal(signal);
        process::signal(pid, signal);
    }
    std::fs::write(patient.directory().join("go"), "").expect("it can be written");
    assert!(patient.wait().status.success());
    until_seen(&patient, "done", 1);
    let mut endless = server(conf).start();
    endless.signal("TERM");
    let ended = endless.wait();
    assert!(ended.status.success(), "{}", ended.status);
    assert!(
        ended.stderr.contains("takes longer than 2 s to end (on_exit, atexit), and is cut short"),
        "{}",
        ended.stderr
    );
}

#[test]
fn clients_are_refused_while_on_exit_runs() {
    let conf = "
import os, time
def on_exit(server):
    note('listeners', len(server.LISTENERS))
    while not os.path.exists('go'):
        time.sleep(0.005)
";
    let mut server = server(conf).start();
    server.signal("TERM");
    assert_eq!(until_seen(&server, "listeners", 1), "listeners 0");
    assert!(std::net::TcpStream::connect(server.address()).is_err());
    std::fs::write(server.directory().join("go"), "").expect("it can be written");
    assert!(server.wait().status.success());
}

#[test]
fn the_metrics_of_a_dead_worker_go_with_prometheus_clients_own_hook() {
    // As its documentation has it.
    let conf = "
from prometheus_client import multiprocess

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
";
    let app = "
from prometheus_client import Counter, Gauge, make_wsgi_app, multiprocess, CollectorRegistry
requests = Counter('requests', 'all')
alive = Gauge('alive', 'by worker', multiprocess_mode='liveall')
alive.set(1)
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
metrics = make_wsgi_app(registry)
def app(environ, start_response):
    requests.inc()
    return metrics(environ, start_response)
";
    let server = server(conf).env("PROMETHEUS_MULTIPROC_DIR", "metrics");
    std::fs::create_dir(server.directory().join("metrics")).expect("it can be made");
    std::fs::write(server.directory().join("app.py"), app).expect("it can be written");
    let server = server.start();
    let of = |text: &str, begin: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with(begin)).map(str::to_owned).collect()
    };
    let before = server.connect().get("/").text();
    let [gauge] = of(&before, "alive{").try_into().expect("one worker");
    let pid: u32 = gauge.split('"').nth(1).and_then(|pid| pid.parse().ok()).expect("a pid");
    process::signal(pid, "KILL");
    let next = process::until(|| {
        let after = server.connect().get("/").text();
        (!of(&after, "alive{").contains(&gauge)).then_some(after)
    });
    let next = next.expect("the dead worker's gauge goes");
    assert_eq!(of(&next, "alive{").len(), 1, "{next}");
    // What it has counted stays.
    let count = |text: &str| of(text, "requests_total").concat().split(' ').nth(1).and_then(|n| n.parse::<f64>().ok());
    assert!(count(&next).expect("a number") > count(&before).expect("a number"), "{before}\n{next}");
}

#[test]
fn what_when_ready_sets_up_is_there_after_a_reload_too() {
    let conf = "
import socket
def when_ready(server):
    # As an exporter does, on a port of its own.
    server.exporter = socket.create_server(('127.0.0.2', PORT))
    note('ready', server.exporter.getsockname()[1])
def on_starting(server): note('starting')
";
    // At an address where no other test listens, so that nobody takes the port in between.
    let free = std::net::TcpListener::bind("127.0.0.2:0").and_then(|free| free.local_addr()).expect("a port");
    let conf = conf.replace("PORT", &free.port().to_string());
    let server = server(&conf).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    until_seen(&server, "ready", 1);
    for times in [2, 3] {
        server.signal("HUP");
        until_seen(&server, "ready", times);
        std::net::TcpStream::connect(free).expect("it listens again");
    }
    assert_eq!(seen(&server).iter().filter(|line| *line == "starting").count(), 1);
    assert!(!server.stderr().contains("ERROR"), "{}", server.stderr());
}

#[test]
fn a_server_that_stops_is_not_ready_again() {
    let conf = "
def when_ready(server): note('ready')
def on_exit(server): note('exit')
";
    let mut server = slow(conf).start();
    until_seen(&server, "ready", 1);
    let mut client = server.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait_for_output("waiting\n");
    server.signal("HUP");
    server.wait_for_log("The reload is done");
    // The old worker is still at its request.
    server.signal("TERM");
    server.wait_for_log("Handling signal: term");
    std::fs::write(server.directory().join("go"), "").expect("it can be written");
    assert!(server.wait().status.success());
    assert_eq!(client.response("GET").status, 200);
    assert_eq!(seen(&server), ["ready", "exit"]);
}

#[test]
fn hooks_reach_the_loggers_that_gunicorns_have() {
    let conf = "
import logging
def when_ready(server):
    server.log.error_log.warning('told %s', 'so')
    note('level', server.log.error_log.level, server.log.error_log is logging.getLogger('gunicorn.error'))
    note('access', server.log.access_log.name)
def post_fork(server, worker): worker.log.error_log.info('and there')
";
    let server = server(conf).start();
    until_seen(&server, "access gunicorn.access", 1);
    assert_eq!(seen(&server)[0], "level 20 True");
    server.wait_for_log("] [WARNING] told so");
    server.wait_for_log("] [INFO] and there");
    let app = "
import logging
logging.basicConfig(level=logging.INFO, format='root has %(message)s')
logging.getLogger('gunicorn.access').info('an access')
logging.info('a word')
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'hello']
";
    let server = crate::support::Server::of(app).args(["app:app"]).start();
    server.wait_for_log("root has a word");
    assert!(!server.stderr().contains("an access"), "{}", server.stderr());
}

#[test]
fn logs_that_are_opened_again_while_a_hook_makes_a_worker_ready_do_not_end_it() {
    let conf = "
import os, time
def post_fork(server, worker):
    note('forked', worker.pid)
    while not os.path.exists('go'):
        time.sleep(0.005)
def child_exit(server, worker): note('gone', worker.pid)
";
    let mut server = server(conf).start_at_socket();
    let pid = number(&until_seen(&server, "forked", 1));
    server.signal("USR1");
    server.wait_for_log("Handling signal: usr1");
    std::fs::write(server.directory().join("go"), "").expect("it can be written");
    assert_eq!(server.connect().get("/").text(), "hello");
    server.stop();
    assert_eq!(seen(&server), [format!("forked {pid}"), format!("gone {pid}")]);
}

#[test]
fn a_signal_handler_of_a_hook_does_not_run_in_a_request() {
    let conf = "
import signal
def post_fork(server, worker):
    signal.signal(signal.SIGINT, lambda *_: note('handled'))
    note('forked', worker.pid)
def worker_int(worker): note('int')
";
    let mut server = slow(conf).start();
    let pid = number(&until_seen(&server, "forked", 1));
    let mut client = server.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait_for_output("waiting\n");
    process::signal(pid, "INT");
    until_seen(&server, "int", 1);
    std::fs::write(server.directory().join("go"), "").expect("it can be written");
    assert_eq!(client.response("GET").text(), "hello");
    server.stop();
    assert_eq!(seen(&server), [format!("forked {pid}"), "int".to_owned()]);
}

#[test]
fn a_worker_that_ends_in_order_is_not_alive_to_its_last_hook_and_settings_are_what_they_came_to() {
    let conf = r"
import os
workers = 'auto'
rwsgi_request_timeout = 7
def when_ready(server):
    cfg = server.cfg
    note('cfg', cfg.workers + 1 > 1, cfg.threads, cfg.rwsgi_request_timeout, cfg.request_timeout, cfg.sendfile)
def post_worker_init(worker): note('init', worker.alive)
def worker_exit(server, worker): note('exit', worker.alive)
";
    let mut server = server(conf).start();
    until_seen(&server, "init", 1);
    server.stop();
    let seen = seen(&server);
    assert!(seen.contains(&"cfg True 4 7 7 True".to_owned()) && seen.contains(&"exit False".to_owned()), "{seen:?}");
}

#[test]
fn text_that_is_no_unicode_is_logged_all_the_same() {
    let conf = "def post_fork(server, worker): server.log.info('n\\udcff of %s', worker.age)";
    let server = server(conf).start();
    server.wait_for_log("[INFO] n\\udcff of 1");
    server.wait_for_log("Booting worker");
    assert!(!server.connect().get("/").text().is_empty());
}
