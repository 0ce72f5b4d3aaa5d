//! What the server says, in lines that a gunicorn user recognises.

use regex::Regex;

use crate::support::{Client, Server};

const APP: &str = "
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/error':
        raise ValueError('on purpose')
    status = {'/missing': '404 Not Found', '/none': '204 No Content'}.get(path, '200 OK')
    start_response(status, [('Content-Type', 'text/plain')])
    return [b'hello']
";

#[test]
fn times_are_those_of_the_zone_and_of_the_one_that_the_app_chooses() {
    let app = "
import os, time

def app(environ, start_response):
    os.environ['TZ'] = 'Etc/GMT+2'
    time.tzset()
    start_response('200 OK', [])
    return [b'hello']
";
    let mut server = Server::of(app).args(["app:app", "--access-logfile", "-"]).env("TZ", "XST-5:30").start();
    assert_eq!(server.connect().get("/").status, 200);
    let ended = server.stop();
    let first = ended.stderr.lines().next().unwrap_or_default();
    assert!(first.contains(" +0530] ["), "{first}");
    assert!(ended.stdout.contains(" -0200] \"GET / "), "{}", ended.stdout);
}

#[test]
fn the_error_log_has_the_lines_of_a_servers_life() {
    let mut server = Server::of(APP).args(["app:app"]).start();
    assert_eq!(server.connect().get("/error").status, 500);
    let (pid, worker, address) = (server.pid().to_string(), server.worker().to_string(), server.address().to_owned());
    let ended = server.stop();
    let line =
        Regex::new(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[(\d+)\] \[([A-Z]+)\] (.*)$").expect("valid");
    let mut said = Vec::new();
    let mut traceback = Vec::new();
    for text in ended.stderr.lines() {
        match line.captures(text) {
            Some(parts) => {
                let of_the_worker =
                    ["Booting", "Worker exiting", "Error"].iter().any(|begin| parts[3].starts_with(begin));
                assert_eq!(&parts[1], if of_the_worker { &worker } else { &pid });
                said.push(format!("{} {}", &parts[2], &parts[3]));
            }
            None => traceback.push(text),
        }
    }
    let python = crate::support::environment::python_version();
    assert!(said[0].starts_with(&format!("INFO Starting rwsgi {} (CPython {python}", env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        said[1..],
        [
            format!("INFO Listening at: http://{address} ({pid})"),
            "INFO Using worker: threads (1 thread)".to_owned(),
            format!("INFO Booting worker with pid: {worker}"),
            "ERROR Error handling request GET /error".to_owned(),
            "INFO Handling signal: term".to_owned(),
            format!("INFO Worker exiting (pid: {worker})"),
            "INFO Shutting down: Master".to_owned(),
        ]
    );
    assert_eq!(
        (traceback.first(), traceback.last()),
        (Some(&"Traceback (most recent call last):"), Some(&"ValueError: on purpose"))
    );
    assert_eq!(ended.stdout, "", "nothing of the server's goes to standard output");
}

#[test]
fn the_access_log_has_gunicorns_default_format() {
    let mut server = Server::of(APP).args(["app:app", "--access-logfile", "-"]).start();
    let mut client = server.connect();
    client.send(
        "GET /a%20b?c=d HTTP/1.1\r\nHost: test\r\nUser-Agent: browser/1 \"quoted\" \\ \r\nReferer: http://e/\r\n\
         Authorization: Basic dXNlcjpwYXNz\r\n\r\n",
    );
    assert_eq!(client.response("GET").status, 200);
    client.send("POST /missing HTTP/1.0\r\nContent-Length: 2\r\n\r\nab").response("POST");
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD");
    assert_eq!((client.get("/none").status, client.get("/error").status), (204, 500));
    let stdout = server.stop().stdout;
    let time = Regex::new(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]").expect("valid");
    let mut lines: Vec<_> = stdout.lines().map(|line| time.replace(line, "[TIME]").into_owned()).collect();
    lines.sort();
    let mut expected = [
        r#"127.0.0.1 - user [TIME] "GET /a%20b?c=d HTTP/1.1" 200 5 "http://e/" "browser/1 \"quoted\" \\""#,
        r#"127.0.0.1 - - [TIME] "POST /missing HTTP/1.0" 404 5 "-" "-""#,
        r#"127.0.0.1 - - [TIME] "HEAD / HTTP/1.1" 200 0 "-" "-""#,
        r#"127.0.0.1 - - [TIME] "GET /none HTTP/1.1" 204 0 "-" "-""#,
        r#"127.0.0.1 - - [TIME] "GET /error HTTP/1.1" 500 141 "-" "-""#,
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn nothing_that_a_client_sends_makes_a_line_of_its_own() {
    let mut server = Server::of(APP).args(["app:app", "--access-logfile", "-", "--log-level", "debug"]).start();
    for request in [
        &b"GET / HTTP/1.1\r\nHost: test\r\nUser-Agent: a\x1b[31mb\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: test\r\nUser-Agent: a\tb\xff\xc3\xa9\x7f\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: test\r\nUser-Agent: a\rb\r\n\r\n",
        b"GET /%0d%0a%1b%22 HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET /\x1b[31m HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET /\"' HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: test\r\nReferer: \" 200 5 \"-\r\n\r\n",
        // user:"\r\nforged
        b"GET / HTTP/1.1\r\nHost: test\r\nAuthorization: Basic dQ0KZm9yZ2VkIhtbMzFtOng=\r\n\r\n",
        b"GET\x1b / HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET /error?%0d%0aforged HTTP/1.1\r\nHost: test\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(request).end();
        assert!([200, 400, 500].contains(&client.response("GET").status));
        client.read_all();
    }
    let ended = server.stop();
    let line =
        Regex::new(r#"^127\.0\.0\.1 - \S+ \[[^\]]+\] "GET /\S* HTTP/1.1" \d+ \S+ "([^"\\]|\\.)*" "([^"\\]|\\.)*"$"#);
    let line = line.expect("valid");
    for text in ended.stdout.lines() {
        assert!(line.is_match(text), "{text:?}");
    }
    for (text, name) in [(&ended.stdout, "access"), (&ended.stderr, "error")] {
        let odd = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(odd) && !text.lines().any(|line| line.starts_with("forged")), "{name} log: {text:?}");
    }
}

#[test]
fn every_request_that_was_answered_has_its_line_when_the_server_ends() {
    let mut server = Server::of(APP).args(["app:app", "--threads", "4", "--access-logfile", "access.log"]).start();
    std::thread::scope(|scope| {
        for client in 0..5 {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                for request in 0..100 {
                    assert_eq!(connection.get(&format!("/{client}/{request}")).status, 200);
                }
            });
        }
    });
    server.stop();
    let log = std::fs::read_to_string(server.directory().join("access.log")).expect("the file is there");
    assert_eq!(log.lines().count(), 500);
    for client in 0..5 {
        for request in 0..100 {
            assert_eq!(log.matches(&format!("\"GET /{client}/{request} HTTP/1.1\" 200 5 ")).count(), 1);
        }
    }
}

#[test]
fn an_address_of_ipv4_is_logged_as_one_however_it_came() {
    for (bind, host, expected) in
        [("[::ffff:127.0.0.1]:0", "127.0.0.1", "127.0.0.1 - - ["), ("[::1]:0", "[::1]", "::1 - - [")]
    {
        let server = Server::of(APP).without_bind().args(["app:app", "--access-logfile", "-", "--bind", bind]);
        let mut server = server.start();
        let port = server.addresses()[0].rsplit(':').next().expect("a port").to_owned();
        assert_eq!(Client::connect(&format!("{host}:{port}")).get("/").status, 200);
        let stdout = server.stop().stdout;
        assert!(stdout.starts_with(expected), "{bind}: {stdout}");
    }
}

#[test]
fn an_access_log_is_appended_to() {
    let builder = Server::of(APP).args(["app:app", "--access-logfile", "access.log"]);
    let path = builder.directory().join("access.log");
    std::fs::write(&path, "before\n").expect("the file can be written");
    let mut server = builder.start();
    assert_eq!(server.connect().get("/").status, 200);
    server.stop();
    let log = std::fs::read_to_string(path).expect("the file is there");
    assert!(log.starts_with("before\n127.0.0.1 - - ") && log.lines().count() == 2, "{log}");
}

#[test]
fn requests_of_a_unix_socket_have_a_line_too() {
    let args = ["app:app", "--bind", "unix:app.sock", "--access-logfile", "-"];
    let mut server = Server::of(APP).without_bind().args(args).start();
    let address = format!("unix:{}/app.sock", server.directory().display());
    assert_eq!(crate::support::Client::connect(&address).get("/").status, 200);
    let stdout = server.stop().stdout;
    assert!(stdout.starts_with("- - - [") && stdout.contains("\"GET / HTTP/1.1\" 200 5"), "{stdout}");
}

#[test]
fn a_key_of_the_apps_that_cannot_be_compared_is_no_failure() {
    let app = "
class Key:
    def __hash__(self):
        return hash('REMOTE_ADDR')
    def __eq__(self, other):
        raise ValueError('not to be compared')
def app(environ, start_response):
    del environ['REMOTE_ADDR']
    environ[Key()] = 'x'
    start_response('200 OK', [])
    return [b'hello']
";
    let mut server = Server::of(app).args(["app:app", "--access-logfile", "-"]).start();
    for _ in 0..2 {
        assert_eq!(server.connect().get("/").text(), "hello");
    }
    let ended = server.stop();
    assert!(ended.stdout.contains("\"GET / HTTP/1.1\" 200 5"), "{}{}", ended.stdout, ended.stderr);
    assert!(!ended.stderr.contains("Error"), "{}", ended.stderr);
}

#[test]
fn without_an_access_log_requests_are_not_logged() {
    let mut server = Server::of(APP).args(["app:app"]).start();
    assert_eq!(server.connect().get("/quiet").status, 200);
    let ended = server.stop();
    assert!(!ended.stdout.contains("quiet") && !ended.stderr.contains("quiet"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn the_log_level_is_the_least_that_is_said() {
    for (level, lines) in [("debug", 7), ("info", 7), ("warning", 2), ("error", 1), ("CRITICAL", 0)] {
        // Most levels leave out where it listens.
        let mut server = Server::of(APP).args(["app:app", "--log-level", level]).start_at_socket();
        let mut client = server.connect();
        assert_eq!(client.get("/error").status, 500);
        assert_eq!(client.send("nonsense\r\n\r\n").response("GET").status, 400);
        let ended = server.stop();
        let headed = ended.stderr.lines().filter(|line| line.contains("] [") && line.starts_with("[20")).count();
        assert!(headed >= lines, "{level}: {}", ended.stderr);
        for (found, least) in [("[INFO]", "info"), ("[WARNING]", "warning"), ("[ERROR]", "error")] {
            let order = ["debug", "info", "warning", "error", "critical"];
            let rank = |name: &str| order.iter().position(|known| *known == name).unwrap_or(4);
            let wanted = rank(least) >= rank(&level.to_lowercase());
            assert_eq!(ended.stderr.contains(found), wanted, "{level} {found}: {}", ended.stderr);
        }
    }
}

/// What Flask apps do to write to gunicorn's log.
const AS_GUNICORN: &str = "
import sys
early = 'logging' in sys.modules
import logging
from flask import Flask
app = Flask(__name__)
gunicorn_logger = logging.getLogger('gunicorn.error')
app.logger.handlers = gunicorn_logger.handlers
app.logger.setLevel(gunicorn_logger.level)
@app.route('/')
def index():
    app.logger.debug('unwanted')
    app.logger.info('told %s', 'so')
    gunicorn_logger.warning('warned\\n[forged]')
    return str(early)
@app.route('/error')
def error():
    raise ValueError('on purpose')
@app.route('/own')
def own():
    gunicorn_logger.handlers[0].setFormatter(logging.Formatter('mine: %(message)s'))
    gunicorn_logger.critical('formatted')
    return 'done'
";

#[test]
fn an_apps_logger_can_have_the_handlers_and_the_level_of_gunicorns() {
    let log = |format: &str, level: &str| {
        let args = ["--error-logfile", "error.log", "--log-format", format, "--log-level", level];
        let mut server = Server::of(AS_GUNICORN).args(["app:app"]).args(args).start_at_socket();
        let mut client = server.connect();
        // What no app needs is not imported for it.
        assert_eq!(client.get("/").text(), "False");
        assert_eq!(client.get("/error").status, 500);
        assert_eq!(client.get("/own").text(), "done");
        server.stop();
        std::fs::read_to_string(server.directory().join("error.log")).expect("it is there")
    };
    let text = log("text", "info");
    for line in ["] [INFO] told so\n", "] [WARNING] warned\n [forged]\n", "] [ERROR] Exception on /error [GET]\n"] {
        assert!(text.contains(line), "{line:?}: {text}");
    }
    assert!(text.contains("\nValueError: on purpose\n") && text.contains("\nmine: formatted\n"), "{text}");
    assert!(!text.contains("unwanted"), "{text}");
    let quiet = log("text", "error");
    assert!(
        !quiet.contains("told so") && !quiet.contains("warned") && quiet.contains("Exception on /error"),
        "{quiet}"
    );
    assert!(log("text", "debug").contains("] [DEBUG] unwanted\n"));
    let json = log("json", "info");
    for line in json.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.is_object()), "{line}");
    }
    assert!(json.contains(r#""level":"WARNING","message":"warned\n[forged]"}"#), "{json}");
}
