//! `start_response`, and what becomes of an app that fails.

use crate::support::{Builder, Server, process};

pub const ANSWERS: &str = include_str!("answers.py");

pub fn builder() -> Builder {
    Server::of(ANSWERS).args(["app:app"])
}

pub fn server() -> Server {
    builder().start()
}

#[test]
fn the_status_line_is_the_apps() {
    let server = server();
    let mut client = server.connect();
    for (status, line) in [
        ("200%20OK", "HTTP/1.1 200 OK"),
        ("404%20Gone%20Fishing", "HTTP/1.1 404 Gone Fishing"),
        ("299%20Odd", "HTTP/1.1 299 Odd"),
        ("599%20Odder", "HTTP/1.1 599 Odder"),
    ] {
        assert_eq!(client.get(&format!("/status?{status}")).status_line, line);
    }
    // A reason is optional, and then so is the space for some.
    assert_eq!(client.get("/status?200").status, 200);
}

#[test]
fn fields_keep_their_order_and_their_bytes() {
    let response = server().connect().get("/fields");
    let of = |name: &str| -> Vec<&str> {
        let named = response.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(of("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(of("x-one"), ["1"]);
    assert_eq!(of("x-latin"), ["caf\u{fffd} \u{fffd}"], "latin-1, which is not UTF-8");
    assert_eq!(of("server"), ["rwsgi"]);
    assert_eq!((of("date").len(), of("content-length")), (1, vec!["0"]));
}

#[test]
fn fields_of_the_connection_are_not_the_apps() {
    let server = server();
    let mut client = server.connect();
    for _ in 0..2 {
        let response = client.get("/hop-by-hop");
        let close = response.fields.iter().filter(|(_, value)| value == "close");
        assert_eq!((close.count(), response.field("x-kept"), response.text().as_str()), (0, Some("1"), "body"));
    }
}

#[test]
fn write_sends_before_what_is_returned() {
    let server = server();
    let mut client = server.connect();
    assert_eq!(client.get("/write").text(), "one two three");
    assert_eq!(client.get("/write-is-none").text(), "aNone");
}

#[test]
fn exc_info_replaces_a_head_that_was_not_sent() {
    let server = server();
    let mut client = server.connect();
    let response = client.get("/exc-info-before");
    assert_eq!((response.status_line.as_str(), response.text().as_str()), ("HTTP/1.1 503 Sorry", "sorry"));
    assert_eq!((response.field("x-first"), response.field("x-second")), (None, Some("2")));
    assert_eq!(client.get("/exc-info-first").status, 503);
    assert_eq!(client.get("/exc-info-none").text(), "fine");
}

#[test]
fn exc_info_after_the_head_raises_the_error_again_and_cuts_the_connection() {
    let server = server();
    let mut client = server.connect();
    let response = client.get("/exc-info-after");
    assert_eq!((response.status, response.text().as_str(), response.whole), (200, "begun", false));
    assert!(client.is_closed());
    server.wait_for_log("ValueError: found too late");
}

#[test]
fn a_second_start_response_is_an_assertion_error() {
    let server = server();
    let mut client = server.connect();
    assert_eq!(client.get("/twice").text(), "AssertionError");
    assert_eq!(client.get("/twice-after").text(), "begun AssertionError");
    assert_eq!(client.get("/twice-uncaught").status, 500);
    server.wait_for_log("AssertionError");
}

#[test]
fn what_is_no_head_is_a_500_and_costs_nothing_else() {
    let server = server();
    let mut client = server.connect();
    for (wrong, error) in [
        ("bytes-status", "TypeError"),
        ("int-status", "TypeError"),
        ("none-status", "TypeError"),
        ("none-headers", "TypeError"),
        ("triple", "TypeError"),
        ("string-pair", "TypeError"),
        ("bytes-name", "TypeError"),
        ("bytes-value", "TypeError"),
        ("int-value", "TypeError"),
        ("beyond-latin-1", "ValueError"),
        ("surrogate", "ValueError"),
        ("status-without-number", "ValueError"),
        ("status-of-two-digits", "ValueError"),
        ("interim-status", "ValueError"),
        ("empty-name", "ValueError"),
        ("space-in-name", "ValueError"),
        ("colon-in-name", "ValueError"),
        ("length-in-words", "ValueError"),
        ("negative-length", "ValueError"),
        ("two-lengths", "ValueError"),
        ("no-arguments", "TypeError"),
        ("no-headers", "TypeError"),
    ] {
        let response = client.get(&format!("/wrong?{wrong}"));
        assert_eq!((response.status, response.body.len()), (500, 141), "{wrong}");
        let head = format!("Error handling request GET /wrong?{wrong}\n");
        let told = process::holds(|| server.stderr().split(&head).nth(1).is_some_and(|log| log.contains(error)));
        assert!(told, "{wrong} is no {error}");
    }
}

#[test]
fn nothing_gets_into_a_head_that_is_not_one_line() {
    let mut server = server();
    let mut client = server.connect();
    for place in ["status", "name", "value"] {
        for odd in 0..7 {
            client.send(format!("GET /inject?{place}-{odd} HTTP/1.1\r\nHost: test\r\nX-Secret: hidden\r\n\r\n"));
            let response = client.response("GET");
            assert_eq!((response.status, response.body.len()), (500, 141), "{place} {odd}");
            assert!(response.field("set-cookie").is_none() && response.field("x-a").is_none(), "{response:?}");
        }
    }
    assert_eq!(client.get("/hello").text(), "hello");
    let ended = server.stop();
    assert!(!ended.stderr.contains("hidden"), "a value that may be a secret is not logged:\n{}", ended.stderr);
}

#[test]
fn an_app_that_raises_before_the_first_byte_is_a_500_with_its_traceback_in_the_log() {
    let server = server();
    let mut client = server.connect();
    for (path, error) in [
        ("/raises", "ValueError: before the head"),
        ("/raises-after-start", "ValueError: before the first byte"),
        ("/none", "TypeError"),
        ("/no-start", "RuntimeError: the app did not call start_response"),
        ("/no-start-empty", "RuntimeError: the app did not call start_response"),
        ("/text-piece", "TypeError: a piece of the body is str, not bytes"),
        ("/text", "TypeError: a piece of the body is str, not bytes"),
        ("/bytes-body", "TypeError: a piece of the body is int, not bytes"),
        ("/bytearray-piece", "TypeError: a piece of the body is bytearray, not bytes"),
        ("/recursion", "RecursionError"),
        ("/no-such-function", "KeyError"),
    ] {
        let response = client.get(path);
        assert_eq!((response.status, response.body.len()), (500, 141), "{path}");
        assert_eq!((response.field("content-type"), response.field("x-never")), (Some("text/html"), None));
        server.wait_for_log(&format!("Error handling request GET {path}\n"));
        server.wait_for_log(error);
    }
    assert!(server.stderr().contains("app.py\", line "), "the traceback names the place:\n{}", server.stderr());
}

#[test]
fn the_log_of_a_failure_names_the_place_though_no_file_can_be_opened() {
    let app = "
import resource
def app(environ, start_response):
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    raise ValueError('on purpose')
";
    let server = Server::of(app).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").status, 500);
    server.wait_for_log("ValueError: on purpose");
    assert!(server.stderr().contains("app.py\", line 5, in app"), "{}", server.stderr());
}

#[test]
fn the_log_of_a_failure_has_its_whole_chain_and_no_terminal_codes() {
    let server = server();
    assert_eq!(server.connect().get("/raises-chain").status, 500);
    server.wait_for_log("consequence\u{20ac}");
    let log = server.stderr();
    assert!(log.contains("KeyError: 'the cause'\n\nThe above exception was the direct cause"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[test]
fn an_app_that_raises_after_the_first_byte_cuts_the_connection() {
    let server = server();
    for path in ["/raises-later", "/raises-later-with-length", "/raises-and-holds-on", "/text-piece-later"] {
        let mut client = server.connect();
        let response = client.get(path);
        assert_eq!((response.status, response.text().as_str(), response.whole), (200, "begun", false), "{path}");
        assert!(client.is_closed(), "{path}");
        server.wait_for_log(&format!("Error handling request GET {path}\n"));
    }
}

#[test]
fn what_came_before_a_failure_always_arrives() {
    let server = server();
    for _ in 0..200 {
        assert_eq!(server.connect().get("/raises-later").text(), "begun");
    }
}

#[test]
fn an_exit_costs_the_request_that_it_happened_in() {
    let server = server();
    let mut client = server.connect();
    for path in ["/system-exit", "/keyboard-interrupt", "/base-exception"] {
        assert_eq!(client.get(path).status, 500, "{path}");
        assert_eq!(client.get("/hello").text(), "hello", "{path}");
    }
    let response = client.get("/system-exit-later");
    assert_eq!((response.text().as_str(), response.whole), ("begun", false));
    assert_eq!(server.connect().get("/hello").text(), "hello");
    server.wait_for_log("SystemExit: 3");
    server.wait_for_log("KeyboardInterrupt");
}

#[test]
fn headers_are_what_gunicorn_takes_for_a_list() {
    let app = "
def app(environ, start_response):
    fields = {'X-One': '1', 'X-Two': '2'}
    headers = {
        '/tuple': tuple(fields.items()),
        '/items': fields.items(),
        '/generator': (pair for pair in fields.items()),
        '/lists': [list(pair) for pair in fields.items()],
        '/none': None,
        '/triples': [('X-One', '1', '')],
        '/texts': ['ab'],
    }
    start_response('200 OK', headers[environ['PATH_INFO']])
    return [b'body']
";
    for server in [Server::of(app), Server::of(app).gunicorn()] {
        let server = server.args(["app:app"]).start();
        for path in ["/tuple", "/items", "/generator", "/lists"] {
            let answer = server.connect().get(path);
            assert_eq!(
                (answer.status, answer.field("x-one"), answer.field("x-two")),
                (200, Some("1"), Some("2")),
                "{path}"
            );
        }
        for path in ["/none", "/triples"] {
            assert_eq!(server.connect().get(path).status, 500, "{path}");
        }
    }
    let server = Server::of(app).args(["app:app"]).start();
    assert_eq!(server.connect().get("/texts").status, 500);
}
