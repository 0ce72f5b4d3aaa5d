//! `Expect: 100-continue` (RFC 9110 section 10.1.1): a client is told to go on when its body is wanted, once, and in the
//! place of the answer that it waits for; and never where its body is not.

use super::{Place, content, everywhere, get, post};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn expecting(path: &str, version: &str, size: usize) -> String {
    format!("POST {path} HTTP/{version}\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n\r\n")
}

#[test]
fn a_client_is_told_once_and_before_anything_else() {
    everywhere(&[], &[], |place| {
        let mut client = place.connect();
        for _ in 0..3 {
            let told = client.send(expecting("/echo", "1.1", 3)).response("POST");
            assert_eq!((told.status_line.as_str(), told.fields.len()), ("HTTP/1.1 100 Continue", 0), "{}", place.name);
            let response = client.send("abc").response("POST");
            assert_eq!((response.status, response.text().as_str()), (200, "abc"), "{}", place.name);
        }
        let chunked = "POST /echo HTTP/1.1\r\nHost: test\r\nEXPECT: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(client.send(chunked).response("POST").status, 100, "{}", place.name);
        assert_eq!(client.send("3\r\nabc\r\n0\r\n\r\n").response("POST").text(), "abc", "{}", place.name);
    });
}

#[test]
fn a_client_that_does_not_wait_is_answered_all_the_same() {
    everywhere(&[], &[], |place| {
        for size in [1, 5000, 300_000] {
            let mut client = place.connect();
            let request = post("/echo", "Connection: close\r\nExpect: 100-continue\r\n", &content(size, 0));
            client.send_and_read(&request);
            let all = client.read_all();
            let times = all.windows(CONTINUE.len()).filter(|part| *part == CONTINUE).count();
            assert!(times <= 1 && all.ends_with(&content(size, 0)), "{}: {size}", place.name);
        }
    });
}

#[test]
fn a_client_is_told_when_the_answer_before_is_out() {
    everywhere(&[], &[], |place| {
        for before in [get("/large?2000000"), get("/pieces?100,10000")] {
            let mut client = place.connect();
            client.send(before).send(expecting("/echo", "1.1", 3));
            assert!(client.response("GET").whole, "{}", place.name);
            assert_eq!(client.response("POST").status, 100, "{}", place.name);
            assert_eq!(client.send("abc").response("POST").text(), "abc", "{}", place.name);
        }
    });
}

#[test]
fn nobody_is_told_to_send_what_is_not_wanted() {
    let refused = |place: &Place, request: String, status: u16| {
        let mut client = place.connect();
        client.send(&request);
        let response = client.response("POST");
        assert_eq!(
            (response.status, response.field("connection")),
            (status, Some("close")),
            "{}: {request}",
            place.name
        );
        assert!(client.is_closed(), "{}: {request}", place.name);
    };
    everywhere(&["--limit-request-body", "10"], &[], |place| {
        refused(place, expecting("/echo", "1.1", 11), 413);
        for value in ["200-ok", "100-continue, x", "100-continues", "100-continue;x", ""] {
            refused(place, expecting("/echo", "1.1", 3).replace("100-continue", value), 417);
        }
        refused(place, expecting("/echo", "1.1", 3).replace("Content-Length: 3", "Content-Length: x"), 400);
        // One without a body has nothing to send, and HTTP/1.0 knows no such thing.
        for (request, body) in [
            (expecting("/echo", "1.1", 0), ""),
            ("GET /hello HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\r\n".to_owned(), "hello"),
            (expecting("/echo", "1.0", 3) + "abc", "abc"),
        ] {
            let mut client = place.connect();
            let response = client.send(request).response("POST");
            assert_eq!((response.status, response.text().as_str()), (200, body), "{}", place.name);
        }
    });
}

#[test]
fn an_app_that_does_not_ask_for_the_body_is_not_sent_it() {
    everywhere(&["--no-buffering"], &[], |place| {
        for (path, status) in [("/ignore", 200), ("/raises", 500)] {
            let mut client = place.connect();
            let response = client.send(expecting(path, "1.1", 3)).response("POST");
            assert_eq!(response.status, status, "{}: {path}: nothing comes before it", place.name);
            // The client sends its body, or the connection is closed: what comes is no request (RFC 9110 section 10.1.1).
            let rest = format!("abc{}", get("/hello"));
            let _ = client.try_send(rest);
            if response.field("connection") == Some("close") {
                assert!(client.is_closed(), "{}: {path}", place.name);
            } else {
                assert_eq!(client.response("GET").text(), "hello", "{}: {path}", place.name);
            }
        }
    });
}

#[test]
fn an_app_that_asks_late_has_the_client_told_late() {
    everywhere(&["--no-buffering", "--threads", "2"], &[], |place| {
        let go = place.server.directory().join("go");
        let before = place.server.stdout().matches("waits").count();
        let mut client = place.connect();
        client.send(expecting("/reads-late", "1.1", 3));
        place.server.wait_for_output(&"waits for go\n".repeat(before + 1));
        assert_eq!(place.connect().get("/hello").text(), "hello");
        assert!(!client.has_come(), "{}: the app has not asked yet", place.name);
        std::fs::write(&go, "").expect("the file can be written");
        assert_eq!(client.response("POST").status, 100, "{}", place.name);
        assert_eq!(client.send("abc").response("POST").text(), "abc", "{}", place.name);
        std::fs::remove_file(&go).expect("it is there");
    });
}

#[test]
fn hints_and_the_call_for_the_body_come_in_their_order() {
    everywhere(&[], &[], |place| {
        let mut client = place.connect();
        client.send(expecting("/hints", "1.1", 3)).send("abc");
        let mut statuses = vec![client.response("POST").status];
        while statuses.last().is_some_and(|status| *status < 200) {
            statuses.push(client.response("POST").status);
        }
        statuses.retain(|status| *status != 100);
        assert_eq!(statuses, [103, 103, 200], "{}", place.name);
    });
}

#[test]
fn nobody_is_told_in_the_midst_of_an_answer() {
    everywhere(&["--no-buffering", "--threads", "2"], &[], |place| {
        let go = place.server.directory().join("go");
        for field in ["Connection: close\r\n", ""] {
            let before = place.server.stdout().matches("waits for go").count();
            let mut client = place.connect();
            let request = expecting("/begins-first", "1.1", 3);
            client.send(request.replace("Expect", &format!("{field}Expect")));
            let mut all = Vec::new();
            while !all.windows(5).any(|part| part == b"begun") {
                all.extend(client.read_some().expect("it begins"));
            }
            place.server.wait_for_output(&"waits for go\n".repeat(before + 1));
            std::fs::write(&go, "").expect("the file can be written");
            client.send("abc");
            all.extend(client.read_all());
            assert!(all.ends_with(b"3\r\nabc\r\n0\r\n\r\n"), "{}: {field}", place.name);
            assert!(!all.windows(12).any(|part| part == b"100 Continue"), "{}: {field}", place.name);
            std::fs::remove_file(&go).expect("it is there");
        }
    });
}
