//! The body of an answer: what is iterated, its length, and `close()`.

use super::answer::{builder, server};
use crate::support::{Client, Server, client::Response, process};

/// Waits until the iterable of this name was closed once, and shows that it is not closed again.
#[track_caller]
fn closed_once(server: &Server, name: &str) {
    let ask = || Some(server.connect().get(&format!("/closed?{name}")).text()).filter(|count| count != "0");
    assert_eq!(process::until(ask).as_deref(), Some("1"), "{name}");
    assert_eq!(server.connect().get(&format!("/closed?{name}")).text(), "1", "{name}");
}

#[test]
fn every_kind_of_iterable_is_sent() {
    let server = server();
    let mut client = server.connect();
    let numbers = (0..100).map(|number| number.to_string()).collect::<Vec<_>>().join(",") + ",";
    for (path, body) in [
        ("/hello", "hello"),
        ("/generator", numbers.as_str()),
        ("/empty-first", "ab"),
        ("/empty-list", ""),
        ("/tuple-of-one", "tuple"),
    ] {
        let response = client.get(path);
        assert_eq!((response.status, response.text().as_str(), response.whole), (200, body, true), "{path}");
    }
    let late = client.get("/late-generator");
    assert_eq!((late.status, late.field("x-late"), late.text().as_str()), (201, Some("1"), "late"));
}

#[test]
fn one_piece_has_a_length_and_several_are_chunks() {
    let server = server();
    let mut client = server.connect();
    for (path, length) in [("/hello", "5"), ("/tuple-of-one", "5"), ("/empty-list", "0")] {
        let response = client.get(path);
        assert_eq!((response.field("content-length"), response.field("transfer-encoding")), (Some(length), None));
    }
    for path in ["/generator", "/empty-first", "/write"] {
        let response = client.get(path);
        assert_eq!((response.field("content-length"), response.field("transfer-encoding")), (None, Some("chunked")));
    }
}

#[test]
fn a_large_piece_arrives_whole() {
    let response = server().connect().get("/large-piece");
    let mut expected = vec![b'b'; (3 << 20) + 2];
    (expected[0], expected[(3 << 20) + 1]) = (b'a', b'c');
    assert!(response.body == expected, "{} bytes", response.body.len());
}

#[test]
fn pieces_arrive_while_the_app_waits_for_more() {
    let app = "
import threading
go = threading.Event()
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/go':
        go.set()
        return [b'']
    def items():
        yield b'first'
        go.wait()
        yield b'second'
    return items()
";
    let server = Server::of(app).args(["app:app", "--threads", "2"]).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut seen = Vec::new();
    while !seen.ends_with(b"5\r\nfirst\r\n") {
        let more = client.read_some().expect("the head and the first piece come");
        assert!(!more.is_empty(), "{:?}", String::from_utf8_lossy(&seen));
        seen.extend(more);
    }
    assert_eq!(server.connect().get("/go").status, 200);
    client.end();
    assert_eq!(client.read_all(), b"6\r\nsecond\r\n0\r\n\r\n");
}

#[test]
fn close_is_called_once_whatever_happens() {
    let server = server();
    let mut client = server.connect();
    assert_eq!(client.get("/body?normal").text(), "onetwo");
    closed_once(&server, "normal");
    client.send("HEAD /body?head HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD");
    closed_once(&server, "head");
    for status in ["204 No Content", "304 Not Modified"] {
        let name = &status[..3];
        client.send(format!("GET /body?{name} HTTP/1.1\r\nHost: test\r\nX-Status: {status}\r\n\r\n")).response("GET");
        closed_once(&server, name);
    }
    assert_eq!(client.get("/body-of-list").text(), "one");
    closed_once(&server, "list");
    assert_eq!(client.get("/body-without-start").status, 500);
    closed_once(&server, "without-start");
    assert_eq!(client.get("/body-that-is-no-iterable").status, 500);
    closed_once(&server, "odd");
    assert_eq!(client.get("/body-that-raises-at-once").status, 500);
    closed_once(&server, "at-once");
    assert!(!client.get("/body-that-raises").whole);
    closed_once(&server, "raises");
}

#[test]
fn a_close_that_raises_is_logged_and_the_answer_stands() {
    let server = server();
    let response = server.connect().get("/close-that-raises");
    assert_eq!((response.text().as_str(), response.whole), ("onetwo", true));
    server.wait_for_log("ValueError: in close");
}

#[test]
fn close_is_called_once_when_the_client_goes_away() {
    let server = server();
    let mut client = server.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: test\r\n\r\n").read_some().expect("it begins");
    drop(client);
    server.wait_for_output("closed endless\n");
    closed_once(&server, "endless");
    let mut client = server.connect();
    client.send("GET /endless-write HTTP/1.1\r\nHost: test\r\n\r\n").read_some().expect("it begins");
    drop(client);
    server.wait_for_output("write ended\n");
    assert!(!server.stderr().contains("ERROR"), "a client may leave:\n{}", server.stderr());
}

#[test]
fn a_file_wrapper_sends_its_file_and_closes_it() {
    let builder = builder();
    let large: Vec<u8> = (0..1 << 20).map(|index| u8::try_from(index % 251).expect("below 251")).collect();
    for (name, content) in [("empty", &b""[..]), ("small", b"small"), ("large", &large)] {
        std::fs::write(builder.directory().join(name), content).expect("the file can be written");
    }
    let server = builder.start();
    let mut client = server.connect();
    for (name, content) in [("empty", &b""[..]), ("small", b"small"), ("large", &large)] {
        let response = client.get(&format!("/file?{name}"));
        assert!(response.status == 200 && response.whole && response.body == content, "{name}");
        assert_eq!(client.get("/last-file-closed").text(), "True", "{name}");
    }
    client.send("HEAD /file?large HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD");
    assert_eq!(client.get("/last-file-closed").text(), "True");
}

#[test]
fn a_file_that_belongs_to_no_body_has_no_length() {
    let app = "
def app(environ, start_response):
    start_response(environ['PATH_INFO'][1:] + ' Fine', [])
    return environ['wsgi.file_wrapper'](open('app.py', 'rb'))
";
    let server = crate::support::Server::of(app).args(["app:app"]).start();
    let mut client = server.connect();
    for status in ["204", "304", "200"] {
        let response = client.get(&format!("/{status}"));
        assert_eq!(response.field("content-length").is_some(), status == "200", "{status}");
    }
}

#[test]
fn a_file_wrapper_takes_whatever_can_be_read() {
    let server = server();
    let mut client = server.connect();
    assert_eq!(client.get("/filelike").text(), "like a file");
    assert_eq!(client.get("/file-from-the-middle").text(), "and sent");
}

fn request(client: &mut Client, method: &str, path: &str, status: &str) -> Response {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\nX-Status: {status}\r\n\r\n")).response(method)
}

#[test]
fn answers_that_have_no_body_send_none_and_the_connection_goes_on() {
    let server = server();
    let mut client = server.connect();
    for (method, path, status) in [
        ("HEAD", "/hello", "200 OK"),
        ("HEAD", "/generator", "200 OK"),
        ("HEAD", "/write", "200 OK"),
        ("HEAD", "/large-piece", "200 OK"),
        ("HEAD", "/raises", "200 OK"),
        ("HEAD", "/length?list-5", "200 OK"),
        ("HEAD", "/length?list-9", "200 OK"),
        ("GET", "/body?a", "204 No Content"),
        ("GET", "/body?a", "304 Not Modified"),
        ("HEAD", "/body?a", "204 No Content"),
        ("POST", "/body?a", "204 No Content"),
    ] {
        let response = request(&mut client, method, path, status);
        let length = response.field("content-length");
        assert_eq!(response.field("transfer-encoding"), None, "{method} {path} {status}");
        if status.starts_with("204") {
            assert_eq!(length, None, "RFC 9110 section 8.6");
        }
        assert_eq!(client.get("/hello").text(), "hello", "{method} {path} {status}");
    }
    assert_eq!(request(&mut client, "HEAD", "/length?list-9", "").field("content-length"), Some("9"));
    assert_eq!(request(&mut client, "GET", "/status?304%20Not%20Modified", "").field("content-length"), None);
}

#[test]
fn a_body_longer_than_announced_is_cut_there_and_the_connection_goes_on() {
    let server = server();
    let mut client = server.connect();
    for kind in ["list", "iterator", "write"] {
        for (length, body) in [(5, "12345"), (4, "1234"), (2, "12"), (1, "1"), (0, "")] {
            let response = client.get(&format!("/length?{kind}-{length}"));
            assert_eq!((response.text().as_str(), response.whole), (body, true), "{kind} {length}");
            assert_eq!(response.field("content-length"), Some(length.to_string().as_str()));
        }
    }
    server.wait_for_log("the body was longer than its Content-Length, and was cut");
}

#[test]
fn a_body_shorter_than_announced_closes_the_connection() {
    let server = server();
    for (kind, body) in [("list", "12345"), ("iterator", "12345"), ("write", "12345"), ("empty", ""), ("blank", "")] {
        let mut client = server.connect();
        let response = client.get(&format!("/length?{kind}-7"));
        assert_eq!((response.status, response.text().as_str(), response.whole), (200, body, false), "{kind}");
        assert!(client.is_closed());
    }
    server.wait_for_log("the body is 2 bytes shorter than its Content-Length");
    server.wait_for_log("the body is 7 bytes shorter than its Content-Length");
}
