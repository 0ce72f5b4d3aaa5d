//! Connections: which are kept, and what is answered on them.

use super::answer::server;
use crate::support::{Client, client::WAYS};

fn fields(client: &mut Client, request: &str) -> (String, Option<String>, String) {
    let response = client.send(request).response("GET");
    let connection = response.field("connection").map(str::to_ascii_lowercase);
    (response.status_line.clone(), connection, response.text())
}

#[test]
fn a_connection_of_http_1_1_is_kept_until_the_client_closes_it() {
    let server = server();
    let mut client = server.connect();
    for _ in 0..3 {
        let (line, connection, body) = fields(&mut client, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!((line.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "hello"));
        assert_ne!(connection.as_deref(), Some("close"));
    }
    let close = "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let (_, connection, body) = fields(&mut client, close);
    assert_eq!((connection.as_deref(), body.as_str()), (Some("close"), "hello"));
    assert!(client.is_closed());
}

#[test]
fn a_connection_of_http_1_0_is_closed_unless_the_client_wants_it_kept() {
    let server = server();
    for path in ["/hello", "/generator", "/write", "/empty-list"] {
        let expected = server.connect().get(path).text();
        let mut client = server.connect();
        let (line, _, body) = fields(&mut client, &format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!((line.as_str(), &body), ("HTTP/1.0 200 OK", &expected), "{path}");
        assert!(client.is_closed(), "{path}");
    }
    let mut client = server.connect();
    for _ in 0..3 {
        let kept = "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let (line, connection, body) = fields(&mut client, kept);
        assert_eq!((line.as_str(), connection.as_deref()), ("HTTP/1.0 200 OK", Some("keep-alive")));
        assert_eq!(body, "hello");
    }
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_even_on_a_connection_that_it_wants_kept() {
    let server = server();
    let mut client = server.connect();
    client.send("GET /generator HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response("GET");
    assert_eq!((response.field("transfer-encoding"), response.field("content-length")), (None, None));
    assert!(response.text().starts_with("0,1,2,") && response.text().ends_with("98,99,"), "{}", response.text());
}

#[test]
fn requests_in_a_pipeline_are_answered_in_order() {
    let server = server();
    let pipeline = "GET /hello HTTP/1.1\r\nHost: test\r\n\r\nPOST /echo-nothing HTTP/1.1\r\nHost: test\r\n\
                    Content-Length: 9\r\n\r\nGET /trapHEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n\
                    POST /generator HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
                    GET /tuple-of-one HTTP/1.1\r\nHost: test\r\n\r\n";
    for way in WAYS {
        let mut client = server.connect();
        client.send_in(pipeline.as_bytes(), way);
        assert_eq!(client.response("GET").text(), "hello");
        assert_eq!(client.response("POST").status, 500, "there is no such function");
        assert_eq!(client.response("HEAD").status, 200);
        assert!(client.response("POST").text().ends_with("98,99,"));
        assert_eq!(client.response("GET").text(), "tuple");
    }
}

#[test]
fn a_client_that_has_closed_its_side_gets_its_answer() {
    let server = server();
    for path in ["/hello", "/generator", "/large-piece"] {
        let expected = server.connect().get(path).body;
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).end();
        assert!(client.response("GET").body == expected, "{path}");
        assert!(client.is_closed(), "{path}");
    }
    let mut client = server.connect();
    client.send("POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc").end();
    assert_eq!(client.response("POST").text(), "hello");
}

#[test]
fn what_is_not_http_is_refused_and_the_server_goes_on() {
    let server = server();
    for (request, statuses) in [
        ("nonsense\r\n\r\n", &[400][..]),
        ("GET / HTTP/1.1\r\nHost: test\r\nno colon\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nHost: test\r\nX A: 1\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nHost: test\r\nX-A: a\0b\r\n\r\n", &[400]),
        ("GET / HTTP/9.9\r\nHost: test\r\n\r\n", &[400, 505]),
        ("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: abc\r\n\r\n", &[400]),
        ("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", &[400]),
        ("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", &[400]),
        ("\u{16}\u{3}\u{1}\u{2}", &[400]),
    ] {
        let mut client = server.connect();
        client.send(request).end();
        let response = client.response("GET");
        assert!(statuses.contains(&response.status), "{request:?}: {}", response.status_line);
        assert!(client.is_closed(), "{request:?}");
    }
    assert_eq!(server.connect().get("/hello").text(), "hello");
    server.wait_for_log("Invalid request from ip=127.0.0.1: ");
}
