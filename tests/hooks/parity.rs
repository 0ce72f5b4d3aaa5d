//! The same hooks, called in the same order with the same things as by the real gunicorn.

use std::net::UdpSocket;

use super::{NOTE, seen, until_seen};
use crate::support::{Client, Server, process};

/// Notes every hook with what it is called with. What differs between two servers, ids, goes to another file.
const CONF: &str = r"
control_socket_disable = True
graceful_timeout = 10
proc_name = 'shop'
raw_env = ['SHOP=open']
import os
PIDS = open('pids', 'a', buffering=1)
def server_of(server):
    cfg = server.cfg
    return [server.num_workers, server.worker_age, server.timeout, server.proc_name, server.address, server.master_name,
            cfg.workers, cfg.proc_name, cfg.threads, cfg.bind, cfg.env, cfg.preload_app, cfg.settings['timeout'].get(),
            bool(server.master_pid), cfg.on_exit.__name__, [str(each) for each in server.LISTENERS], os.environ.get('SHOP')]
def worker_of(worker):
    return [worker.age, worker.nr, worker.timeout, worker.booted, worker.aborted, worker.cfg.proc_name, str(worker.sockets[0])]
def on_starting(server):
    print(server.pid, file=PIDS)
    note('on_starting', server_of(server)[:-2])
def on_reload(server): note('on_reload', server_of(server))
def when_ready(server): note('when_ready', server_of(server))
def pre_fork(server, worker): note('pre_fork', worker_of(worker), worker.pid, str(worker), server.num_workers)
def post_fork(server, worker):
    print(worker.pid, file=PIDS)
    note('post_fork', worker_of(worker), worker.pid == os.getpid(), sorted(each.age for each in server.WORKERS.values()))
def post_worker_init(worker): note('post_worker_init', worker_of(worker), worker.app.callable is worker.wsgi, worker.app.wsgi().__name__)
def worker_int(worker): note('worker_int', worker_of(worker)[:-1], worker.alive)
def worker_abort(worker): note('worker_abort', worker_of(worker)[:-1], worker.alive)
def pre_exec(server): note('pre_exec', server_of(server)[:-2])
def pre_request(worker, req):
    note('pre_request', worker_of(worker), req.method, req.uri, req.path, req.query, repr(req.fragment), req.headers, req.version, req.scheme, repr(req.peer_addr))
def post_request(worker, req, environ, resp):
    note('post_request', worker_of(worker), req.path, environ['PATH_INFO'], resp.status, resp.status_code, resp.headers, resp.sent, resp.response_length, resp.headers_sent)
def child_exit(server, worker): note('child_exit', worker_of(worker)[:1], sorted(each.age for each in server.WORKERS.values()))
def worker_exit(server, worker): note('worker_exit', worker_of(worker)[:2])
def nworkers_changed(server, new, old): note('nworkers_changed', new, old)
def on_exit(server): note('on_exit', server.num_workers, server.worker_age, len(server.WORKERS), server.LISTENERS)
";

const APP: &str = "
open('seen', 'a').write('the app is loaded\\n')
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/raises':
        raise ValueError('on purpose')
    start_response('404 Not Found' if path == '/missing' else '200 OK', [('X-A', 'b'), ('Content-Length', '5')])
    return [b'hel', b'lo'] if path == '/pieces' else [b'hello']
";

/// What comes of the same life of the real gunicorn, and of ours.
fn both<T>(files: &[(&str, &str)], args: &[&str], live: impl Fn(Server) -> T) -> [T; 2] {
    let gunicorn = Server::of_files(files).gunicorn().args(["--worker-class", "sync"]);
    [gunicorn, Server::of_files(files)].map(|server| {
        let server = server.without_bind().args(["--bind", "unix:app.sock"]).args(args.iter().copied());
        live(server.start_quietly())
    })
}

fn get(server: &Server, path: &str) {
    let mut client = Client::connect(&format!("unix:{}/app.sock", server.directory().display()));
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-A: b\r\nConnection: close\r\n\r\n"));
    client.response("GET");
}

fn read(server: &Server, name: &str) -> String {
    std::fs::read_to_string(server.directory().join(name)).unwrap_or_default()
}

/// The processes that have noted their ids, the last one last.
fn pids(server: &Server) -> Vec<u32> {
    read(server, "pids").lines().map(|pid| pid.parse().expect("a pid")).collect()
}

/// Ends it with a signal. What it has noted by then.
#[track_caller]
fn end(mut server: Server) -> Vec<String> {
    server.signal("TERM");
    let status = server.wait_status();
    assert!(status.success(), "{status}\n{}", server.stderr());
    seen(&server)
}

/// Each step's notes, for everything that can happen to a server.
fn life(server: Server) -> Vec<(&'static str, Vec<String>)> {
    let last_pid = || *pids(&server).last().expect("a pid");
    let mut steps = Vec::new();
    let mut before = 0;
    let mut note = |seen: Vec<String>, step| {
        steps.push((step, seen[before..].to_vec()));
        before = seen.len();
    };
    until_seen(&server, "post_worker_init", 1);
    note(seen(&server), "start");
    for (count, path) in ["/a%20b?c=d", "/missing", "/pieces", "/raises"].iter().enumerate() {
        get(&server, path);
        until_seen(&server, "post_request", (count + 1).min(3));
    }
    until_seen(&server, "pre_request", 4);
    note(seen(&server), "requests");
    server.signal("TTIN");
    until_seen(&server, "post_worker_init", 2);
    note(seen(&server), "TTIN");
    server.signal("TTOU");
    until_seen(&server, "child_exit", 1);
    note(seen(&server), "TTOU");
    server.signal("HUP");
    until_seen(&server, "post_worker_init", 3);
    until_seen(&server, "child_exit", 2);
    note(seen(&server), "HUP");
    process::signal(last_pid(), "KILL");
    until_seen(&server, "post_worker_init", 4);
    note(seen(&server), "KILL of a worker");
    process::signal(last_pid(), "QUIT");
    until_seen(&server, "post_worker_init", 5);
    note(seen(&server), "QUIT of a worker");
    process::signal(last_pid(), "ABRT");
    until_seen(&server, "post_worker_init", 6);
    note(seen(&server), "ABRT of a worker");
    server.signal("USR2");
    until_seen(&server, "post_worker_init", 7);
    note(seen(&server), "USR2");
    let arbiters = pids(&server);
    process::signal(arbiters[arbiters.len() - 2], "TERM");
    until_seen(&server, "on_exit", 1);
    note(seen(&server), "TERM of the new one");
    note(end(server), "TERM");
    steps
}

#[test]
fn every_hook_is_called_when_gunicorn_calls_it_with_what_gunicorn_has() {
    for preload in [false, true] {
        let conf = format!("{NOTE}{CONF}preload_app = {}", if preload { "True" } else { "False" });
        let [theirs, ours] = both(&[("app.py", APP), ("gunicorn.conf.py", &conf)], &["app:app"], life);
        for ((step, mut theirs), (_, mut ours)) in theirs.into_iter().zip(ours) {
            if step == "HUP" {
                // gunicorn does not load a preloaded app again.
                ours.retain(|line| !preload || line != "the app is loaded");
            }
            // Ours is called again, since its process is another one: maybe not before what else this step waits for.
            ours.retain(|line| step == "start" || step == "USR2" || !line.starts_with("when_ready"));
            if ["HUP", "TTOU"].contains(&step) {
                // gunicorn stops the old worker while the new one boots; here the hook does not hold up the signal.
                theirs.sort();
                ours.sort();
            }
            assert_eq!(ours, theirs, "{step}, preload_app = {preload}");
        }
    }
}

#[test]
fn post_request_takes_as_many_as_it_has_room_for() {
    let booted = "def post_worker_init(worker): note('booted')";
    for hook in [
        "def post_request(worker, req): note(worker.age, req.path)",
        "def post_request(worker, req, environ): note(worker.age, req.path, environ['PATH_INFO'])",
        "post_request = lambda worker, req, environ, resp: note(worker.age, req.path, environ['PATH_INFO'], resp.status)",
        "class Hook:\n  def __call__(self, worker, req, environ): note(worker.age, req.path, environ['PATH_INFO'])\npost_request = Hook()",
    ] {
        let conf = format!("{NOTE}control_socket_disable = True\n{booted}\n{hook}");
        let files = [("app.py", APP), ("gunicorn.conf.py", &conf)];
        let [theirs, ours] = both(&files, &["app:app"], |server| {
            until_seen(&server, "booted", 1);
            get(&server, "/a");
            until_seen(&server, "1 /a", 1);
            end(server)
        });
        assert_eq!(ours, theirs, "{hook}");
    }
}

#[test]
fn hooks_by_their_names_and_of_a_module_run_in_the_same_surroundings() {
    let conf = "
import hooks, os
control_socket_disable = True
chdir = 'deep'
raw_env = ['SHOP=open']
pythonpath = 'lib'
on_starting = 'hooks.on_starting'
post_fork = hooks.post_fork
post_worker_init = 'hooks.post_worker_init'
child_exit = 'hooks.child_exit'
hooks.note('read', os.path.basename(os.getcwd()) == os.path.basename(hooks.FOLDER), __name__)
";
    let hooks = "
import os, sys
FOLDER = os.path.dirname(os.path.abspath(__file__))
SEEN = open(os.path.join(FOLDER, 'seen'), 'a', buffering=1)
def note(*words): SEEN.write(' '.join(map(str, words)) + '\\n')
def where(name): note(name, os.environ.get('SHOP'), os.path.basename(os.getcwd()), os.path.basename(sys.path[0]))
def on_starting(server): where('on_starting')
def post_fork(server, worker): where('post_fork')
def post_worker_init(worker): where('booted')
def child_exit(server, worker): where('child_exit')
";
    let app = APP.replace("open('seen', 'a').write('the app is loaded\\n')", "import more");
    let files = [("conf.py", conf), ("hooks.py", hooks), ("deep/app.py", &app), ("deep/lib/more.py", "")];
    for source in ["python:conf", "conf.py"] {
        let [theirs, ours] = both(&files, &["-c", source, "app:app"], |server| {
            until_seen(&server, "booted", 1);
            let mut lines = end(server);
            // The file is run once more here, to see what it sets.
            lines.retain(|line| !line.starts_with("read"));
            lines
        });
        assert_eq!(ours, theirs, "{source}");
        assert!(ours.len() == 4 && ours.iter().all(|line| line.contains(" open deep ")), "{ours:?}");
    }
}

#[test]
fn a_worker_that_is_replaced_because_its_code_changed_is_interrupted() {
    let conf = format!(
        "{NOTE}
control_socket_disable = True
reload = True
reload_engine = 'poll'
def post_worker_init(worker): note('booted', worker.age)
def worker_int(worker): note('int', worker.age)
def worker_exit(server, worker): note('exit', worker.age)
def child_exit(server, worker): note('gone', worker.age)
"
    );
    let [theirs, ours] = both(&[("app.py", APP), ("gunicorn.conf.py", &conf)], &["app:app"], |server| {
        until_seen(&server, "booted 1", 1);
        // Again and again: gunicorn does not say from when on it looks.
        let mut text = APP.to_owned();
        let gone = process::holds(|| {
            text.push('\n');
            let beside = server.directory().join("app.new");
            std::fs::write(&beside, &text).expect("the file can be written");
            std::fs::rename(beside, server.directory().join("app.py")).expect("the file can be replaced");
            seen(&server).iter().any(|line| line == "gone 1")
        });
        assert!(gone, "{:#?}\n{}", seen(&server), server.stderr());
        let mut lines = seen(&server);
        end(server);
        lines.retain(|line| line.ends_with(" 1"));
        lines
    });
    assert_eq!(ours, ["booted 1", "int 1", "exit 1", "gone 1"]);
    // Whether gunicorn's worker gets to its hook before it ends is a race of two of its threads.
    let without = ["booted 1", "exit 1", "gone 1"];
    assert!(theirs == ours || theirs == without, "{theirs:?}");
}

#[test]
fn hooks_are_told_when_workers_are_dismissed_and_wanted_again() {
    let conf = format!(
        "{NOTE}
control_socket_disable = True
daemon = True
pidfile = 'server.pid'
errorlog = 'log'
workers = 2
def nworkers_changed(server, new, old): note('changed', new, old)
def post_worker_init(worker): note('booted')
def child_exit(server, worker): note('gone')
"
    );
    let [theirs, ours] = both(&[("app.py", APP), ("gunicorn.conf.py", &conf)], &["app:app"], |mut server| {
        let status = server.wait_status();
        assert!(status.success(), "{status}\n{}", server.stderr());
        until_seen(&server, "booted", 2);
        let daemon = process::Guard(read(&server, "server.pid").trim().parse().expect("an id"));
        for (signal, line, times) in [("WINCH", "gone", 2), ("TTIN", "booted", 3), ("WINCH", "gone", 3)] {
            process::signal(daemon.0, signal);
            until_seen(&server, line, times);
        }
        process::signal(daemon.0, "HUP");
        until_seen(&server, "booted", 5);
        process::signal(daemon.0, "TERM");
        assert!(process::holds(|| !process::is_alive(daemon.0)), "{}", read(&server, "log"));
        let mut lines = seen(&server);
        lines.retain(|line| line.starts_with("changed"));
        lines
    });
    assert_eq!(ours, theirs);
    assert_eq!(ours, ["changed 2 None", "changed 0 2", "changed 1 0", "changed 0 1", "changed 2 0"]);
}

#[test]
fn statsd_is_sent_what_hooks_log_for_it() {
    let conf = format!(
        "{NOTE}
control_socket_disable = True
def when_ready(server):
    for kind in ['gauge', 'counter', 'histogram', 'timer', 'other', None]:
        server.log.info('', extra={{'metric': 'shop.stock', 'value': 7, 'mtype': kind}})
    server.log.debug('', extra={{'metric': 'shop.empty', 'value': 0, 'mtype': 'gauge'}})
    server.log.info('told', extra={{'metric': 'shop.told', 'value': 1.5, 'mtype': 'timer'}})
    note('ready')
"
    );
    let statsd = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    statsd.set_nonblocking(true).expect("an option");
    let address = statsd.local_addr().expect("an address").to_string();
    let files = [("app.py", APP), ("gunicorn.conf.py", &conf)];
    let [theirs, ours] = both(&files, &["app:app", "--statsd-host", &address, "--statsd-prefix", "site"], |server| {
        until_seen(&server, "ready", 1);
        end(server);
        let mut buffer = [0; 1000];
        let mut metrics = Vec::new();
        while let Ok(size) = statsd.recv(&mut buffer) {
            metrics.push(String::from_utf8_lossy(&buffer[..size]).into_owned());
        }
        metrics.retain(|metric| metric.starts_with("site.shop"));
        metrics
    });
    assert_eq!(ours, theirs);
    assert!(ours.len() == 6 && ours[5] == "site.shop.told:1.5|ms", "{ours:?}");
}
