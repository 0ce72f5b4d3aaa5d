//! What an app prints, whichever way its process ends, and logs that are slow to be taken.

use crate::support::{Server, process};

const PRINTS: &str = "
import time
print('loaded')
def app(environ, start_response):
    print('at', environ['PATH_INFO'])
    if environ['PATH_INFO'] == '/hang':
        open('hanging', 'w').close()
        time.sleep(600)
    start_response('200 OK', [])
    return [b'hello']
";

#[test]
fn what_was_printed_is_written_where_a_worker_is_cut_short() {
    let args = ["app:app", "--graceful-timeout", "1", "--timeout"];
    for (timeout, signal) in [("1", None), ("600", Some("QUIT"))] {
        let server = Server::of(PRINTS).args(args).args([timeout]).start();
        assert_eq!(server.connect().get("/first").status, 200);
        let mut client = server.connect();
        client.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n");
        if let Some(signal) = signal {
            assert!(process::holds(|| server.directory().join("hanging").exists()));
            server.signal(signal);
        }
        server.wait_for_output("at /hang");
        assert!(server.stdout().starts_with("loaded\nat /first\n"), "{}", server.stdout());
    }
}

#[test]
fn what_was_printed_is_written_where_a_hook_fails_and_once_where_an_app_is_preloaded() {
    let conf = "def on_starting(server):\n    print('said')\n    raise ValueError('on purpose')\n";
    let ended = Server::of_files(&[("app.py", PRINTS), ("gunicorn.conf.py", conf)]).args(["app:app"]).fail();
    assert!(!ended.status.success());
    assert_eq!(ended.stdout, "said\n");
    let mut server = Server::of(PRINTS).args(["app:app", "--preload", "--workers", "2"]).start();
    server.wait_for_logs("Booting worker", 2);
    assert_eq!(server.connect().get("/").status, 200);
    assert_eq!(server.stop().stdout, "loaded\nat /\n");
}

#[test]
fn a_log_that_the_app_itself_reads_is_waited_for_without_pythons_lock() {
    let app = "
import os, threading
reader, writer = os.pipe()
os.dup2(writer, 2)
def read():
    while os.read(reader, 4096):
        pass
def app(environ, start_response):
    if environ['PATH_INFO'] == '/fail':
        raise ValueError('x' * 1_000_000)
    if environ['PATH_INFO'] == '/write':
        environ['wsgi.errors'].write('x' * 1_000_000 + '\\n')
    start_response('200 OK', [])
    return [b'hello']
threading.Thread(target=read, daemon=True).start()
";
    let server = Server::of(app).args(["app:app", "--timeout", "600"]).start();
    for (path, status) in [("/fail", 500), ("/write", 200), ("/", 200)] {
        assert_eq!(server.connect().get(path).status, status, "{path}");
    }
}

#[test]
fn a_line_that_a_request_has_begun_in_the_log_ends_with_it() {
    let app = "
def app(environ, start_response):
    environ['wsgi.errors'].write(environ['PATH_INFO'])
    start_response('200 OK', [])
    return [b'hello']
";
    let server = Server::of(app).args(["app:app", "--error-logfile", "error.log"]).start_at_socket();
    let mut client = server.connect();
    for path in ["/one", "/two"] {
        assert_eq!(client.get(path).status, 200);
    }
    let log = server.directory().join("error.log");
    let is_there =
        || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("/one\n") && text.contains("/two\n"));
    assert!(process::holds(is_there), "{:?}", std::fs::read_to_string(&log));
}

#[test]
fn programs_that_a_preloaded_app_starts_have_the_usual_signals() {
    let app = "
import subprocess
code = 'import signal as s; print(s.getsignal(s.SIGINT) is s.default_int_handler, s.getsignal(s.SIGUSR1) == s.SIG_DFL)'
said = subprocess.run(['python3', '-c', code], capture_output=True, check=True).stdout
def app(environ, start_response):
    start_response('200 OK', [])
    return [said]
";
    for options in [&[][..], &["--preload"]] {
        let server = Server::of(app).args(["app:app"]).args(options.iter().copied()).start();
        assert_eq!(server.connect().get("/").text(), "True True\n", "{options:?}");
    }
}
