//! How a server ends.

use std::{
    os::unix::process::ExitStatusExt as _,
    time::{Duration, Instant},
};

use crate::support::{Client, Server, process, server::Builder};

/// Waits in `/wait` until there is a file `go` beside it, and says so on standard output.
const WAITS: &str = "
import atexit, os, time
atexit.register(lambda: print('atexit ran', flush=True))
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/wait':
        print('waiting', flush=True)
        while not os.path.exists('go'):
            time.sleep(0.005)
    if environ['PATH_INFO'] == '/stream':
        return stream()
    return [b'done']
def stream():
    yield b'first '
    print('waiting', flush=True)
    while not os.path.exists('go'):
        time.sleep(0.005)
    yield b'second'
";

/// What takes longer may be what is cut short in the end: the server's and gunicorn's timeouts are 30 s.
const PROMPT: Duration = Duration::from_secs(20);

/// What a worker says when it is cut short is lost where it has no processor until the arbiter ends it.
const TRIES: usize = 3;

fn server() -> Server {
    let server = Server::of(WAITS).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").text(), "done");
    server
}

fn waiting(server: &Server, path: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    server.wait_for_output("waiting\n");
    client
}

fn let_go(server: &Server) {
    std::fs::write(server.directory().join("go"), "").expect("the file can be written");
}

#[track_caller]
fn ends_promptly(server: &mut Server, signal: &str) {
    let begin = Instant::now();
    server.signal(signal);
    let ended = server.wait();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
    assert!(begin.elapsed() < PROMPT, "{:?}\n{}", begin.elapsed(), ended.stderr);
}

#[test]
fn term_and_int_let_what_runs_finish_and_end_with_0() {
    for (signal, path, body) in
        [("TERM", "/wait", "done"), ("INT", "/wait", "done"), ("TERM", "/stream", "first second")]
    {
        let mut server = server();
        let mut client = waiting(&server, path);
        server.signal(signal);
        server.wait_for_log(&format!("Handling signal: {}", signal.to_ascii_lowercase()));
        let refused = || std::net::TcpStream::connect(server.address()).is_err();
        let_go_after(&server, refused);
        let response = client.response("GET");
        assert_eq!((response.text().as_str(), response.whole), (body, true), "{signal}");
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{signal}: {}\n{}", ended.status, ended.stderr);
        assert!(ended.stdout.ends_with("atexit ran\n"), "{}", ended.stdout);
        assert!(ended.stderr.contains("Worker exiting (pid: "), "{}", ended.stderr);
    }
}

/// gunicorn's documentation calls INT quick, and it is for a worker of processes. One of threads lets what runs finish.
#[test]
fn int_ends_as_it_ends_gunicorns_worker_of_threads() {
    let ends = |server: Builder| {
        let mut server = server.args(["--threads", "2", "app:app"]).start();
        let mut client = waiting(&server, "/wait");
        server.signal("INT");
        server.wait_for_log("Handling signal: int");
        let begin = Instant::now();
        // gunicorn's worker says that it ends before it has.
        let refuses = || std::net::TcpStream::connect(server.address()).is_err();
        let ends = process::holds(|| server.stderr().contains("Worker exiting") || refuses());
        let ends = ends && begin.elapsed() < PROMPT;
        let_go(&server);
        ends && client.response("GET").text() == "done" && server.wait().status.code() == Some(0)
    };
    assert!(ends(Server::of(WAITS)));
    // gunicorn's signal handler waits for a lock that its main thread may hold: it then hangs, once in some hundred times.
    assert!((0..3).any(|_| ends(Server::of(WAITS).gunicorn())));
}

/// Lets the request go once nobody is accepted any more.
#[track_caller]
fn let_go_after(server: &Server, refused: impl FnMut() -> bool) {
    let stopped = process::holds(refused);
    let_go(server);
    assert!(stopped, "new connections are still accepted:\n{}", server.stderr());
}

#[test]
fn the_answer_that_finishes_says_that_the_connection_ends() {
    let mut server = server();
    let mut client = waiting(&server, "/wait");
    server.signal("TERM");
    server.wait_for_log("Handling signal: term");
    let_go(&server);
    assert_eq!(client.response("GET").text(), "done");
    assert!(client.is_closed());
    assert!(server.wait().status.success());
}

#[test]
fn a_second_int_or_quit_cuts_short() {
    for signal in ["INT", "QUIT"] {
        let says_so = || {
            let mut server = server();
            let mut client = waiting(&server, "/wait");
            server.signal("TERM");
            server.wait_for_log("Handling signal: term");
            ends_promptly(&mut server, signal);
            assert!(client.is_closed(), "there is no answer");
            server.stderr().contains("cut short")
        };
        assert!((0..TRIES).any(|_| says_so()), "{signal}");
    }
}

#[test]
fn a_second_term_cuts_nothing_short() {
    let mut server = server();
    let mut client = waiting(&server, "/wait");
    for times in 1..=3 {
        server.signal("TERM");
        server.wait_for_logs("Handling signal: term", times);
    }
    let_go(&server);
    assert_eq!(client.response("GET").text(), "done");
    let ended = server.wait();
    assert!(ended.status.success() && !ended.stderr.contains("cut short"), "{}", ended.stderr);
}

#[test]
fn the_graceful_timeout_cuts_short() {
    let says_so = || {
        let mut server = Server::of(WAITS).args(["app:app", "--graceful-timeout", "1"]).start();
        let mut client = waiting(&server, "/wait");
        ends_promptly(&mut server, "TERM");
        assert!(client.is_closed(), "there is no answer");
        server.stderr().contains("cut short")
    };
    assert!((0..TRIES).any(|_| says_so()));
}

#[test]
fn idle_and_silent_connections_do_not_delay_the_end() {
    let mut server = server();
    let mut idle: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").text(), "done");
    }
    let mut silent: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    // Nor do clients that never get their request across.
    let mut slow: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut slow[..10] {
        client.send("GET / HT");
    }
    for client in &mut slow[10..] {
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabc");
    }
    ends_promptly(&mut server, "TERM");
    for client in idle.iter_mut().chain(&mut silent).chain(&mut slow) {
        assert!(client.is_closed());
    }
}

#[test]
fn a_body_that_goes_on_coming_is_waited_for() {
    let app = "
def app(environ, start_response):
    start_response('200 OK', [])
    return [str(len(environ['wsgi.input'].read())).encode()]
";
    let mut server = Server::of(app).args(["app:app", "--body-min-rate", "0"]).start();
    assert_eq!(server.connect().get("/").text(), "0");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\nx");
    server.signal("TERM");
    // Longer than a silent client is waited for.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(500));
        client.send("x");
    }
    let response = client.response("POST");
    assert_eq!((response.text().as_str(), response.field("connection")), ("11", Some("close")));
    assert!(server.wait().status.success());
}

#[test]
fn a_client_that_does_not_read_its_answer_is_let_go_when_the_time_is_over() {
    let app = "
def app(environ, start_response):
    start_response('200 OK', [])
    return iter(lambda: b'x' * 65536, None)
";
    let mut server = Server::of(app).args(["app:app", "--graceful-timeout", "1"]).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").read_some().expect("it begins");
    ends_promptly(&mut server, "TERM");
}

#[test]
fn a_signal_while_the_app_is_loaded_ends_it() {
    for (signal, app) in [
        ("TERM", "print('loading', flush=True)\nimport time\nwhile True: time.sleep(0.1)"),
        ("INT", "print('loading', flush=True)\nwhile True: pass"),
    ] {
        let mut server = Server::of(app).args(["app:app"]).start();
        server.wait_for_output("loading\n");
        ends_promptly(&mut server, signal);
        assert!(server.stderr().contains("Worker exiting (pid: "), "{}", server.stderr());
    }
}

#[test]
fn a_signal_as_soon_as_the_log_has_its_first_line_ends_it_with_0() {
    for _ in 0..10 {
        let mut server = Server::of(WAITS).args(["app:app"]).start();
        server.signal("TERM");
        let ended = server.wait();
        assert_eq!((ended.status.code(), ended.status.signal()), (Some(0), None), "{}", ended.stderr);
    }
}

#[test]
fn connections_that_wait_to_be_accepted_are_answered() {
    let app = "
import os, time
print('loading', flush=True)
while not os.path.exists('load'):
    time.sleep(0.005)
print('loaded', flush=True)
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'answered']
";
    // They come while the app is loaded, so that they are all in the kernel's queue, and then the signal comes along
    // with the first of them.
    let mut server = Server::of(app).args(["app:app"]).start();
    server.wait_for_output("loading\n");
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    std::fs::write(server.directory().join("load"), "").expect("the file can be written");
    assert_eq!(clients[0].response("GET").text(), "answered");
    server.signal("TERM");
    for client in &mut clients[1..] {
        assert_eq!(client.response("GET").text(), "answered");
    }
    assert!(server.wait().status.success());
}

#[test]
fn requests_that_wait_for_a_thread_are_answered() {
    let mut server = server();
    let mut first = waiting(&server, "/wait");
    let mut behind: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut behind {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    server.signal("TERM");
    server.wait_for_log("Handling signal: term");
    let_go(&server);
    for client in std::iter::once(&mut first).chain(&mut behind) {
        assert_eq!(client.response("GET").text(), "done");
    }
    assert!(server.wait().status.success());
}

#[test]
fn every_thread_ends_and_threads_of_the_apps_own_are_waited_for() {
    let app = "
import atexit, threading, time, os
atexit.register(lambda: print('atexit ran', flush=True))
def work():
    while not os.path.exists('go'):
        time.sleep(0.005)
    print('work done', flush=True)
threading.Thread(target=work).start()
threading.Thread(target=lambda: threading.Event().wait(), daemon=True).start()
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'done']
";
    let mut server = Server::of(app).args(["app:app", "--threads", "4"]).start();
    assert_eq!(server.connect().get("/").text(), "done");
    server.signal("TERM");
    server.wait_for_log("Worker exiting");
    let_go(&server);
    let ended = server.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(ended.stdout, "work done\natexit ran\n");
}

#[test]
fn an_app_thread_of_its_own_that_never_ends_is_cut_short_by_the_graceful_timeout() {
    let app = "
import threading
threading.Thread(target=lambda: threading.Event().wait()).start()
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'done']
";
    let mut server = Server::of(app).args(["app:app", "--graceful-timeout", "1"]).start();
    assert_eq!(server.connect().get("/").text(), "done");
    ends_promptly(&mut server, "TERM");
}

#[test]
fn what_an_app_printed_is_written_before_the_end() {
    let app = "
print('at import')
def app(environ, start_response):
    print('in a request')
    start_response('200 OK', [])
    return [b'done']
";
    let mut server = Server::of(app).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").text(), "done");
    assert_eq!(server.stop().stdout, "at import\nin a request\n");
}

#[test]
fn a_ctrl_c_is_not_an_exception_in_whatever_runs() {
    let mut server = server();
    let mut client = waiting(&server, "/wait");
    server.signal("INT");
    server.wait_for_log("Handling signal: int");
    let_go(&server);
    assert_eq!(client.response("GET").text(), "done");
    let ended = server.wait();
    assert!(!ended.stderr.contains("KeyboardInterrupt"), "{}", ended.stderr);
}

#[test]
fn as_process_1_it_ends_on_a_signal_as_well() {
    for (signal, loaded) in [("TERM", true), ("INT", true), ("TERM", false)] {
        let app = if loaded { WAITS } else { "print('waiting', flush=True)\nwhile True: pass" };
        let namespace = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"];
        let mut server = Server::of(app).args(["app:app"]).under(namespace).start();
        if loaded {
            assert_eq!(server.connect().get("/").text(), "done");
        } else {
            server.wait_for_output("waiting\n");
        }
        assert!(server.stderr().contains(" (1)\n"), "{}", server.stderr());
        let begin = Instant::now();
        process::signal(process::child(server.pid()), signal);
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{signal}\n{}", ended.stderr);
        assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
    }
}

#[test]
fn an_app_that_takes_signals_for_itself_is_stopped_all_the_same_and_its_handler_is_called() {
    let app = "
import os, signal, sys, time
def ended(number, frame):
    print('ended', number, flush=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, ended)
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
def app(environ, start_response):
    start_response('200 OK', [])
    print('waiting', flush=True)
    while not os.path.exists('go'):
        time.sleep(0.005)
    return [b'done']
";
    for (args, signal) in [(&["app:app"][..], "TERM"), (&["app:app"], "INT"), (&["app:app", "--threads", "2"], "TERM")]
    {
        let mut server = Server::of(app).args(args.iter().copied()).start();
        let mut client = waiting(&server, "/");
        server.signal(signal);
        server.wait_for_log("Handling signal: ");
        let_go(&server);
        assert_eq!(client.response("GET").text(), "done", "what runs is finished");
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout, "waiting\nended 15\n");
    }
    let mut server = Server::of(app).args(["app:app", "--preload"]).start();
    waiting(&server, "/");
    let_go(&server);
    assert!(server.stop().status.success());
}

/// Saves a handler of the server's and puts it back, in a request; or calls it from one of its own.
const SAVES: &str = "
import os, signal, time
def mine(number, frame):
    print('mine', flush=True)
    before(number, frame)
before = signal.signal(signal.SIGTERM, mine)
assert callable(before) and signal.getsignal(signal.SIGTERM) is mine
for name in ['SIGINT', 'SIGQUIT', 'SIGUSR1']:
    number = getattr(signal, name)
    assert callable(signal.getsignal(number)), name
    signal.signal(number, signal.signal(number, mine))
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/save':
        signal.signal(signal.SIGTERM, mine)
        signal.signal(signal.SIGTERM, before)
    if environ['PATH_INFO'] == '/call':
        signal.signal(signal.SIGTERM, mine)
        os.kill(os.getpid(), signal.SIGTERM)
    if environ['PATH_INFO'] == '/wait':
        print('waiting', flush=True)
        time.sleep(0.5)
    return [b'done']
";

#[test]
fn an_app_may_save_the_servers_handlers_and_put_them_back() {
    for args in [&["app:app"][..], &["app:app", "--preload"]] {
        let mut server = Server::of(SAVES).args(args.iter().copied()).start();
        assert_eq!(server.connect().get("/save").text(), "done", "{}", server.stderr());
        // While nothing of Python's runs that could look at a signal, and while a request does.
        let mut client = waiting(&server, "/wait");
        server.signal("TERM");
        assert_eq!(client.response("GET").text(), "done");
        assert!(server.wait().status.success());
        let mut server = Server::of(SAVES).args(args.iter().copied()).start();
        assert_eq!(server.connect().get("/save").text(), "done");
        ends_promptly(&mut server, "TERM");
    }
    // Called, it ends the worker, and another one comes.
    let server = Server::of(SAVES).args(["app:app"]).start();
    assert_eq!(server.connect().get("/call").text(), "done");
    server.wait_for_output("mine\n");
    server.wait_for_logs("Booting worker", 2);
    assert_eq!(server.connect().get("/").text(), "done");
}

#[test]
fn what_ignores_signals_passes_none_of_that_on() {
    let app = "
import subprocess
def app(environ, start_response):
    start_response('200 OK', [])
    return [str(subprocess.run(['false']).returncode).encode()]
";
    let ignoring = "import os, signal, sys; [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGCHLD, \
                    signal.SIGHUP, signal.SIGINT)]; os.execv(sys.argv[1], sys.argv[1:])";
    let files = [("app.py", app), ("gunicorn.conf.py", "")];
    let mut server = Server::of_files(&files).args(["app:app"]).under(["python3", "-c", ignoring]).start();
    assert_eq!(server.connect().get("/").text(), "1");
    process::signal(server.worker(), "KILL");
    server.wait_for_logs("Booting worker", 2);
    server.signal("HUP");
    server.wait_for_logs("Booting worker", 3);
    assert_eq!(server.connect().get("/").text(), "1");
    ends_promptly(&mut server, "INT");
}

#[test]
fn what_a_preloaded_app_has_started_is_the_apps_own_to_end() {
    let app = "
import atexit, os, time
loader = os.getpid()
open('loader', 'a').write(f'{loader}\\n')
def ended():
    if os.getpid() == loader:
        open('ended', 'a').write(f'{loader}\\n')
atexit.register(ended)
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/wait':
        print('waiting', flush=True)
        while not os.path.exists('go'):
            time.sleep(0.005)
        return [b'not ended' if not os.path.exists('ended') else b'ended']
    return [b'done']
";
    let mut server = Server::of(app).args(["app:app", "--preload"]).start();
    let read = |name: &str| std::fs::read_to_string(server.directory().join(name)).unwrap_or_default();
    assert_eq!(server.connect().get("/").text(), "done");
    let mut client = waiting(&server, "/wait");
    server.signal("HUP");
    server.wait_for_log("The reload is done");
    // Nothing says that it does not do it now.
    std::thread::sleep(Duration::from_millis(300));
    let_go(&server);
    assert_eq!(client.response("GET").text(), "not ended", "what the old worker needs is there until it has answered");
    assert!(process::holds(|| read("ended").lines().count() == 1), "the old one: {}", server.stderr());
    // As a service manager does, to all at once.
    let loaders: Vec<u32> = read("loader").lines().map(|line| line.parse().expect("an id")).collect();
    process::signal(loaders[1], "TERM");
    assert!(server.stop().status.success());
    let read = |name: &str| std::fs::read_to_string(server.directory().join(name)).unwrap_or_default();
    assert_eq!((read("ended"), loaders.len()), (read("loader"), 2));
}

#[test]
fn an_atexit_function_of_a_preloaded_app_that_hangs_does_not_keep_the_server() {
    let app = "
import atexit, os, time
loader = os.getpid()
atexit.register(lambda: os.getpid() == loader and time.sleep(1000))
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'done']
";
    let mut server = Server::of(app).args(["app:app", "--preload"]).start();
    assert_eq!(server.connect().get("/").text(), "done");
    let ended = server.stop();
    assert!(ended.stderr.contains("takes longer than 2 s to end (on_exit, atexit)"), "{}", ended.stderr);
}

#[test]
fn what_is_still_being_preloaded_ends_with_the_arbiter() {
    let app = "
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: None)
open('loader', 'w').write(str(os.getpid()))
while True:
    time.sleep(1)
";
    for signal in ["KILL", "TERM"] {
        let mut server = Server::of(app).args(["app:app", "--preload"]).start_quietly();
        let loader =
            process::until(|| std::fs::read_to_string(server.directory().join("loader")).ok()?.parse::<u32>().ok());
        let loader = loader.expect("it is loaded");
        let _guard = process::Guard(loader);
        server.signal(signal);
        server.wait_status();
        assert!(process::holds(|| !process::is_alive(loader)), "{signal}: {loader} goes on");
    }
}
