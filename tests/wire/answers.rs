//! The bytes of answers: heads as the app wrote them, bodies framed in one way, and answers that precede the end of a
//! request's body.

use std::sync::LazyLock;

use regex::Regex;

use super::{answer, chunked, content, everywhere, get, post};
use crate::support::{Client, Server};

/// All that comes of a request, with the time replaced.
fn raw(mut client: Client, request: &str) -> String {
    static DATE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new("Date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n")
            .expect("a valid expression")
    });
    client.send(request).end();
    let all = String::from_utf8(client.read_all()).expect("text");
    DATE.replace_all(&all, "Date: now\r\n").into_owned()
}

#[test]
fn heads_are_the_servers_lines_and_then_the_apps_as_it_wrote_them() {
    let apps = "Content-Length: 4\r\nx-LOWER-Upper: 1\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nX-Empty: \r\n\
                set-cookie: b=2\r\nX-Spaces: in between\r\nETag: \"x\"\r\n\r\n";
    everywhere(&[], &[], |place| {
        for (request, protocol, connection, body) in [
            ("GET /fields HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1", "close", "body"),
            ("HEAD /fields HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1", "keep-alive", ""),
            ("GET /fields HTTP/1.0\r\n\r\n", "HTTP/1.0", "close", "body"),
            ("GET /fields HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0", "keep-alive", "body"),
        ] {
            let expected = format!(
                "{protocol} 200 Quite  fine\r\nServer: rwsgi\r\nDate: now\r\nConnection: {connection}\r\n{apps}{body}"
            );
            assert_eq!(raw(place.connect(), request), expected, "{}: {request}", place.name);
        }
    });
}

#[test]
fn a_body_is_framed_in_one_way() {
    let server = "Server: rwsgi\r\nDate: now\r\n";
    everywhere(&["--permit-unconventional-http-version"], &[], |place| {
        for (path, method, version, head, body) in [
            (
                "/gaps",
                "GET",
                "1.1",
                "Connection: close\r\nTransfer-Encoding: chunked\r\n",
                "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            ),
            ("/gaps", "GET", "1.0", "Connection: close\r\n", "abc"),
            ("/gaps", "GET", "0.9", "Connection: close\r\n", "abc"),
            ("/gaps", "HEAD", "1.1", "Connection: close\r\n", ""),
            ("/nothing", "GET", "1.1", "Connection: close\r\nContent-Length: 0\r\n", ""),
            ("/announced?1,3", "GET", "1.1", "Connection: close\r\nContent-Length: 3\r\n", "\0\u{1}\u{2}"),
            ("/announced?1,3", "HEAD", "1.1", "Connection: close\r\nContent-Length: 3\r\n", ""),
            ("/long", "GET", "1.1", "Connection: close\r\nContent-Length: 3\r\n", "123"),
            ("/short", "GET", "1.1", "Connection: close\r\nContent-Length: 10\r\n", "12345"),
            ("/empty?204", "GET", "1.1", "Connection: close\r\nX-Status: 204\r\n", ""),
            ("/empty?304", "GET", "1.0", "Connection: close\r\nX-Status: 304\r\n", ""),
        ] {
            let request = format!("{method} {path} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n");
            let all = raw(place.connect(), &request);
            let (line, rest) = all.split_once("\r\n").expect("a line");
            // What no answer can have is answered with what this server speaks.
            let version = if version == "0.9" { "1.1" } else { version };
            assert!(line.starts_with(&format!("HTTP/{version} ")), "{}: {line}", place.name);
            assert_eq!(rest, format!("{server}{head}\r\n{body}"), "{}: {method} {path} {version}", place.name);
        }
    });
}

#[test]
fn the_sizes_of_chunks_add_up() {
    everywhere(&[], &[], |place| {
        for (count, size) in [(1, 1), (16, 15), (16, 16), (3, 65_535), (3, 65_536), (3, 65_537), (2, 1 << 20)] {
            let response = place.connect().get(&format!("/pieces?{count},{size}"));
            assert!(response.whole && response.body == content(count * size, 0), "{}: {count} {size}", place.name);
        }
    });
}

#[test]
fn an_answer_arrives_although_the_body_is_not_read() {
    let body = content(8 << 20, 0);
    everywhere(&[], &[], |place| {
        for path in ["/ignore", "/first?7", "/raises", "/large?500000"] {
            for fields in ["", "Connection: close\r\n"] {
                for request in [post(path, fields, &body), chunked(path, fields, &body)] {
                    let mut client = place.connect();
                    client.send_and_read(&request);
                    let response = answer(&mut client, "POST");
                    let status = if path == "/raises" { 500 } else { 200 };
                    assert!(response.status == status && response.whole, "{}: {path} {fields}", place.name);
                    if fields.is_empty() {
                        assert_eq!(client.get("/hello").text(), "hello", "{}: {path}", place.name);
                    } else {
                        assert!(client.is_closed(), "{}: {path}", place.name);
                    }
                }
            }
        }
    });
}

/// A connection that is closed with unread bytes is reset, and what was on its way to the client is lost.
#[test]
fn a_refusal_arrives_although_its_client_goes_on_sending() {
    let body = content(4 << 20, 0);
    everywhere(&["--limit-request-body", "1000000"], &[], |place| {
        for (request, status) in [
            (post("/echo", "", &body), 413),
            (chunked("/ignore", "", &body), 413),
            (post("/echo", "Host: again\r\n", &body), 400),
            (post("/echo", "Expect: x\r\n", &body), 417),
            ([get("/hello").as_bytes(), b"\0", &body].concat(), 400),
        ] {
            for _ in 0..5 {
                let mut client = place.connect();
                client.send_and_read(&request);
                let mut response = client.response("POST");
                if status == 400 && response.status == 200 {
                    response = client.response("POST");
                }
                // An app that answers without its body has answered before the body is too large.
                let answered = !place.is_buffered() && request.starts_with(b"POST /ignore");
                let expected = if answered { 200 } else { status };
                assert_eq!((response.status, response.whole), (expected, true), "{}: {status}", place.name);
                client.read_all();
            }
        }
    });
}

#[test]
fn what_is_refused_is_told_on_one_line_with_its_address_and_never_shown() {
    everywhere(&["--limit-request-body", "10"], &[], |place| {
        let before = place.server.stderr().lines().count();
        let requests = [
            ("GET /<script> HTTP/1.1\r\nX<script>: evil\r\n\r\n", 400),
            ("GET /evil<script>\x1b[31m HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nX: \x1b[31mevil<script>\r\n\r\n", 400),
            ("EVIL<script> / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/evil<script>\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: evil<script>\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nExpect: evil<script>\r\n\r\n", 417),
            ("POST / HTTP/1.1\r\nContent-Length: evil<script>\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n", 413),
            ("POST /evil HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nevil<script>\r\n", 400),
        ];
        // Where nothing is buffered the app is called before the last of them goes wrong, and the log has its error.
        let requests = &requests[..if place.is_buffered() { 10 } else { 9 }];
        for (request, status) in requests {
            let mut client = place.connect();
            let response = client.send(request).response("POST");
            assert_eq!((response.status, response.field("connection")), (*status, Some("close")), "{}", place.name);
            assert!(!response.text().to_lowercase().contains("script"), "{}", response.text());
            assert!(!response.text().to_lowercase().contains("evil"), "{}", response.text());
            assert!(client.is_closed(), "{}: {request}", place.name);
        }
        let peer = if place.name.starts_with("unix") { "unix" } else { "127.0.0.1" };
        let told = format!("Invalid request from ip={peer}: ");
        place.server.wait_for_logs(&told, requests.len());
        let log = place.server.stderr();
        let new: Vec<_> = log.lines().skip(before).collect();
        assert_eq!(new.len(), requests.len(), "{}: {new:#?}", place.name);
        assert!(new.iter().all(|line| line.contains(&told) && line.contains("[WARNING]")), "{new:#?}");
        assert!(!log.contains("evil") && !log.contains('\x1b'), "{log}");
    });
}

/// RFC 9110 section 9.3.6: what follows is no body.
#[test]
fn an_answer_that_opens_a_tunnel_has_no_framing() {
    let app = "
def app(environ, start_response):
    start_response(environ['HTTP_X_STATUS'], [])
    return [b'what follows']
";
    let server = Server::of(app).args(["app:app"]).start();
    for (status, framed) in [("200 OK", false), ("204 No Content", false), ("403 Forbidden", true)] {
        let mut client = server.connect();
        client.send(format!("CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\nX-Status: {status}\r\n\r\n")).end();
        let all = String::from_utf8(client.read_all()).expect("text").to_ascii_lowercase();
        assert!(all.starts_with(&format!("http/1.1 {}\r\n", status.to_ascii_lowercase())), "{all}");
        assert_eq!(all.contains("content-length") || all.contains("transfer-encoding"), framed, "{all}");
        assert!(all.contains("connection: close"), "{all}");
        assert_eq!(all.ends_with("what follows"), !status.starts_with("204"), "{all}");
    }
}
