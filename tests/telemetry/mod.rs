//! What the server says while it runs, to files, syslog and statsd, in gunicorn's formats and as JSON.

mod lines;
mod remote;

use std::{path::Path, time::Instant};

use regex::Regex;
use serde_json::Value;

use crate::support::{
    Client, Server,
    process::{holds, until},
    server::Builder,
};

const APP: &str = "
import sys

def app(environ, start_response):
    path = environ['PATH_INFO']
    environ['APP_SET'] = 'by the app'
    if path == '/error':
        raise ValueError('on purpose: ' + environ['QUERY_STRING'])
    if path == '/proxied':
        environ['REMOTE_ADDR'] = '192.0.2.7'
    if path == '/print':
        print('printed', flush=True)
        print('to stderr', file=sys.stderr, flush=True)
        print('to wsgi.errors', file=environ['wsgi.errors'])
    status = {'/missing': '404 Not Found', '/none': '204 No Content'}.get(path, '200 OK')
    start_response(status, [('Content-Type', 'text/plain'), ('X-Answer', 'a \"quoted\" one'), ('X-Answer', 'two')])
    if path == '/pieces':
        def pieces():
            yield b'one'
            environ['LATE'] = 'late'
            yield b'two'
        return pieces()
    return [b'hello']
";

/// A server whose logs are files in its folder, once it answers.
fn started(builder: Builder) -> (Server, Client) {
    let server = builder.args(["app:app"]).start_at_socket();
    let client = server.connect();
    (server, client)
}

/// Waits until a file has this text, and returns all of it.
#[track_caller]
fn wait_for(path: &Path, text: &str) -> String {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    until(|| Some(read()).filter(|found| found.contains(text)))
        .unwrap_or_else(|| panic!("{} never has {text:?}, but:\n{}", path.display(), read()))
}

/// The access log of one request in a format.
fn logged(format: &str, request: &str) -> String {
    let args = ["app:app", "--access-logfile", "-", "--access-logformat", format];
    let mut server = Server::of(APP).args(args).start();
    let mut client = server.connect();
    client.send(request).end();
    client.read_all();
    server.stop().stdout
}

#[test]
fn every_atom_says_what_it_should_of_a_real_request() {
    let request = "POST /a%20b?c=%22d HTTP/1.1\r\nHost: test\r\nX-One: 1\r\nX-One: 2\r\nReferer: http://e/\r\n\
                   User-Agent: agent/1\r\nAuthorization: Basic dXNlcjpwYXNz\r\nContent-Length: 2\r\n\r\nab";
    for (format, pattern) in [
        ("%(h)s", r"127\.0\.0\.1"),
        ("%(l)s", "-"),
        ("%(u)s", "user"),
        ("%(t)s", r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"),
        ("%(r)s", r"POST /a%20b\?c=%22d HTTP/1\.1"),
        ("%(s)s", "200"),
        ("%(m)s", "POST"),
        ("%(U)s", "/a b"),
        ("%(q)s", "c=%22d"),
        ("%(H)s", r"HTTP/1\.1"),
        ("%(b)s %(B)s", "5 5"),
        ("%(f)s", "http://e/"),
        ("%(a)s", "agent/1"),
        ("%(p)s", r"<\d+>"),
        ("%({x-ONE}i)s %({missing}i)s", "2 -"),
        ("%({Server}o)s %({content-length}o)s %({x-answer}o)s %({missing}o)s", "- - two -"),
        ("%({APP_SET}e)s %({app_set}e)s %({missing}e)s", "by the app by the app -"),
        ("%({wsgi.url_scheme}e)s %({wsgi.multithread}e)s %({wsgi.version}e)s", r"http False \(1, 0\)"),
        ("%({REMOTE_ADDR}e)s %({HTTP_X_ONE}e)s", r"127\.0\.0\.1 1,2"),
        ("100%% %(s)5s|%(s)-5s|", r"100%   200\|200  \|"),
        ("%(D)012d|%(m)5.2s", r"\d{12}\|   PO"),
        ("{\n%(s)s}", r"\{\n200\}"),
    ] {
        let line = logged(format, request);
        let whole = Regex::new(&format!("^{pattern}\n$")).expect("a valid pattern");
        assert!(whole.is_match(&line), "{format}: {line:?}");
    }
}

#[test]
fn how_long_a_request_takes_is_the_same_in_every_unit() {
    let begin = Instant::now();
    let line = logged("%(D)s %(T)s %(M)s %(L)s", "GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let micros = line.split(' ').next().and_then(|number| number.parse::<u128>().ok()).expect("a number");
    assert!(0 < micros && micros < begin.elapsed().as_micros(), "{line}");
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    assert_eq!(line, format!("{micros} {seconds} {} {seconds}.{rest:06}\n", micros / 1000));
}

#[test]
fn what_the_app_does_to_its_environ_is_what_is_logged() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(logged("%(h)s %({APP_SET}e)s", &get("/proxied")), "192.0.2.7 by the app\n");
    assert_eq!(logged("%({LATE}e)s %(b)s", &get("/pieces")), "late 6\n");
    assert_eq!(logged("%(s)s %({APP_SET}e)s", &get("/error")), "500 by the app\n");
}

#[test]
fn an_atom_that_does_not_exist_is_written_as_by_gunicorn_and_told() {
    assert_eq!(logged("%(m)s %(Z)s|%(x)3s %(s)s", "GET / HTTP/1.1\r\nHost: test\r\n\r\n"), "GET -|  - 200\n");
    let server =
        Server::of(APP).args(["app:app", "--access-logfile", "-", "--access-logformat", "%(h)s %(Z)s"]).start();
    server.wait_for_log("has unknown atoms, which are written as -: %(Z)s. The atoms are %(h)s l u ");
}

#[test]
fn a_statsd_that_cannot_be_found_is_no_reason_not_to_serve() {
    let server = Server::of(APP).args(["app:app", "--statsd-host", "no.such.host.invalid:8125"]).start();
    server.wait_for_log("statsd at no.such.host.invalid:8125 (statsd_host) cannot be spoken to: ");
    assert_eq!(server.connect().get("/").status, 200);
}

#[test]
fn a_format_with_a_mistake_is_refused_at_the_start() {
    let ended = Server::of(APP).args(["app:app", "--access-logfile", "-", "--access-logformat", "%(h)s %Z"]).fail();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("--access-logformat) has a % that begins no atom"), "{}", ended.stderr);
    let checked =
        Server::of(APP).args(["app:app", "--access-logfile", "-", "--access-logformat", "%Z", "--check-config"]);
    assert_eq!(checked.fail().status.code(), Some(1));
    // Nobody reads it where there is no access log (gunicorn).
    let server = Server::of(APP).args(["app:app", "--access-logformat", "%Z", "--statsd-host", "127.0.0.1:1"]).start();
    assert_eq!(server.connect().get("/").status, 200);
    let ended = Server::of(APP).args(["app:app", "--error-logfile", "/no/such/folder/log"]).fail();
    assert!(ended.stderr.contains("Cannot open the error log /no/such/folder/log"), "{}", ended.stderr);
}

#[test]
fn the_access_log_is_that_of_the_real_gunicorn() {
    const FORMATS: [&str; 2] = [
        r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#,
        "%(h)s|%(l)s|%(u)s|%(s)s|%(m)s|%(U)s|%(q)s|%(H)s|%(b)s|%(B)s|%(f)s|%(a)s|%(L)s|%(p)s|%({x-one}i)s|\
         %({X-Answer}o)s|%({server}i)s|%({app_set}e)s|%({REQUEST_METHOD}e)s|%({PATH_INFO}e)s|%({wsgi.version}e)s|100%%",
    ];
    const REQUESTS: [&str; 10] = [
        "GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /a%20b?c=d&e=%22 HTTP/1.1\r\nHost: test\r\nUser-Agent: a \"quoted\" one\r\nReferer: http://e/\r\n\r\n",
        "POST /missing?x HTTP/1.0\r\nContent-Length: 2\r\nX-One: 1\r\nX-One: 2\r\n\r\nab",
        "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: test\r\n\r\n",
        // Not /error: gunicorn says that the page of a 500 has no bytes.
        "GET /pieces HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /proxied HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nAuthorization: Basic dXNlcg==\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n",
    ];
    let varying = Regex::new(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]|\d+\.\d{6}|<\d+>").expect("valid");
    for format in FORMATS {
        let args = ["app:app", "--access-logfile", "access.log", "--access-logformat", format];
        let logged = |builder: Builder| {
            let mut server = builder.args(args).start();
            for request in REQUESTS {
                let mut client = server.connect();
                client.send(request).end();
                client.read_all();
            }
            server.stop();
            let text = std::fs::read_to_string(server.directory().join("access.log")).expect("the log is there");
            let lines = text.lines().map(|line| varying.replace_all(line, "VARYING").into_owned());
            lines.collect::<Vec<_>>()
        };
        // Its worker of threads hangs at the end, once in some hundred times.
        let theirs = logged(Server::of(APP).gunicorn().args(["--worker-class", "sync"]));
        let ours = logged(Server::of(APP));
        assert_eq!(ours, theirs, "{format}");
        assert_eq!(ours.len(), REQUESTS.len());
    }
}

#[test]
fn json_lines_are_objects_whatever_a_client_sends() {
    let format = "%({x-one}i)s %({APP_SET}e)s";
    let args = ["--log-format", "json", "--access-logfile", "access.log", "--error-logfile", "error.log"];
    let (mut server, mut client) = started(Server::of(APP).args(args).args(["--access-logformat", format]));
    for agent in ["plain", "a\"b\\", "\u{1b}[31m\t", "é😀", "{\"x\": 1}", "\u{2028}"] {
        client.send(format!("GET /?q HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\nX-One: 1\r\n\r\n"));
        // Control characters are refused before there is a request to log.
        if client.response("GET").status == 400 {
            client = server.connect();
        }
    }
    assert_eq!(client.get("/error?x").status, 500);
    assert_eq!(client.get("/print").status, 200);
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\nUser-Agent: \xff\xfe\r\n\r\n").response("GET");
    server.stop();
    let objects = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(server.directory().join(name)).expect("the log is there");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    };
    let time = Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$").expect("valid");
    let access = objects("access.log");
    for object in &access {
        assert!(time.is_match(object["time"].as_str().unwrap_or_default()), "{object}");
        assert!(object["duration_us"].is_u64() && object["pid"].is_u64() && object["bytes"].is_u64(), "{object}");
        assert_eq!((&object["protocol"], &object["environ.APP_SET"]), (&"HTTP/1.1".into(), &"by the app".into()));
    }
    let agents: Vec<_> = access.iter().filter_map(|object| object["user_agent"].as_str()).collect();
    for agent in ["plain", "a\"b\\", "é😀", "{\"x\": 1}", "\u{2028}", "\\xff\\xfe"] {
        assert!(agents.contains(&agent), "{agent:?} is among {agents:?}");
    }
    let error = objects("error.log");
    let with = |text: &str| error.iter().find(|object| object["message"].as_str().is_some_and(|m| m.contains(text)));
    let traceback = with("on purpose").expect("the exception is logged");
    assert_eq!(traceback["level"], "ERROR");
    assert!(traceback["message"].as_str().is_some_and(|text| text.lines().count() > 3), "{traceback}");
    let written = with("to wsgi.errors").expect("wsgi.errors is in the log");
    assert_eq!((&written["source"], &written["message"]), (&"wsgi.errors".into(), &"to wsgi.errors".into()));
}

#[test]
fn logs_are_opened_again_when_they_are_rotated() {
    let args = ["--access-logfile", "access.log", "--error-logfile", "error.log", "--workers", "2", "--capture-output"];
    let (mut server, mut client) = started(Server::of(APP).args(args).args(["--keep-alive", "600"]));
    assert_eq!(client.get("/print").status, 200);
    let folder = server.directory().to_owned();
    let at = |name: &str| folder.join(name);
    wait_for(&at("access.log"), "/print");
    let before = wait_for(&at("error.log"), "to wsgi.errors");
    for printed in ["printed\n", "to stderr\n", "to wsgi.errors\n"] {
        assert_eq!(before.matches(printed).count(), 1, "{printed:?} is in the error log:\n{before}");
    }
    for name in ["access.log", "error.log"] {
        std::fs::rename(at(name), at(&format!("{name}.1"))).expect("it can be renamed");
    }
    server.signal("USR1");
    let reopened = holds(|| {
        let mut client = server.connect();
        assert_eq!(client.get("/print").status, 200);
        let printed = std::fs::read_to_string(at("error.log")).unwrap_or_default();
        let accessed = std::fs::read_to_string(at("access.log")).unwrap_or_default();
        printed.contains("printed") && printed.contains("to wsgi.errors") && accessed.contains("/print")
    });
    assert!(reopened, "the new files are never written to");
    // The worker of the first client's may not be the one that has opened them again by then.
    let reopened = holds(|| {
        assert_eq!(client.get("/error").status, 500);
        let logged = std::fs::read_to_string(at("error.log")).unwrap_or_default();
        logged.contains("ValueError: on purpose")
    });
    assert!(reopened, "a worker never opens them again");
    let ended = server.stop();
    assert!(wait_for(&at("error.log"), "Shutting down: Master").contains("[INFO] Shutting down: Master"));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "everything is in the log");
}

#[test]
fn without_capture_only_wsgi_errors_is_in_the_error_log() {
    let (mut server, mut client) = started(Server::of(APP).args(["--error-logfile", "error.log"]));
    assert_eq!(client.get("/print").status, 200);
    let ended = server.stop();
    let log = std::fs::read_to_string(server.directory().join("error.log")).expect("it is there");
    assert!(log.contains("\nto wsgi.errors\n") && !log.contains("printed"), "{log}");
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("printed\n", "to stderr\n"));
}

#[test]
fn a_worker_that_is_stuck_is_reported_as_critical() {
    let app = "
import time

def app(environ, start_response):
    time.sleep(60)
";
    let args = ["--error-logfile", "error.log", "--timeout", "3", "--graceful-timeout", "1", "--log-level", "critical"];
    let (mut server, mut client) = started(Server::of(app).args(args));
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let log = wait_for(&server.directory().join("error.log"), "WORKER TIMEOUT");
    assert!(log.contains("[CRITICAL] WORKER TIMEOUT (pid:"), "{log}");
    wait_for(&server.directory().join("error.log"), "in app");
    server.stop();
    let log = std::fs::read_to_string(server.directory().join("error.log")).expect("it is there");
    let others = ["[INFO]", "[WARNING]", "[ERROR]"];
    assert!(!others.iter().any(|level| log.contains(level)), "{log}");
}
