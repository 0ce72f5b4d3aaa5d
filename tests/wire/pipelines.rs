//! One request behind the other on a connection: each is answered, in its order, whatever the one before it was.

use super::{ERROR_PAGE, Place, answer, builder, chunked, content, everywhere, get, post};
use crate::support::{
    client::{Pieces, WAYS},
    process,
};

/// A request, and its answer.
struct Case {
    request: Vec<u8>,
    status: u16,
    body: Vec<u8>,
}

impl Case {
    fn new(request: impl Into<Vec<u8>>, status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { request: request.into(), status, body: body.into() }
    }

    fn method(&self) -> &str {
        let line = self.request.trim_ascii_start();
        let end = line.iter().position(|byte| *byte == b' ').expect("a method");
        std::str::from_utf8(&line[..end]).expect("text")
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.request[..self.request.len().min(120)]).into_owned()
    }
}

/// Old clients send one (RFC 9112 section 2.2). It begins no request, whose head would have to come then.
#[test]
fn an_empty_line_behind_a_body_leaves_the_connection_idle() {
    everywhere(&["--header-timeout", "3"], &[], |place| {
        let mut client = place.connect();
        client.send([post("/echo", "", b"body"), b"\r\n".to_vec()].concat());
        assert_eq!(client.response("POST").text(), "body", "{}", place.name);
        assert_eq!(String::from_utf8_lossy(&client.read_all()), "", "{}", place.name);
    });
}

const FILE: usize = 200_000;

/// Every kind of request and answer that leaves its connection in order.
fn cases() -> Vec<Case> {
    let expect = "Expect: 100-continue\r\n";
    let failed = ERROR_PAGE;
    vec![
        Case::new(get("/hello"), 200, "hello"),
        Case::new("\r\nGET /hello HTTP/1.1\r\nHost: test\r\n\r\n", 200, "hello"),
        Case::new("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "hello"),
        Case::new("GET http://test/hello HTTP/1.1\r\nHost: test\r\n\r\n", 200, "hello"),
        Case::new("HEAD /large?100000 HTTP/1.1\r\nHost: test\r\n\r\n", 200, ""),
        Case::new("HEAD /pieces?5,1000 HTTP/1.1\r\nHost: test\r\n\r\n", 200, ""),
        Case::new("HEAD /file HTTP/1.1\r\nHost: test\r\n\r\n", 200, ""),
        Case::new(post("/echo", "", b""), 200, ""),
        Case::new(post("/echo", "", b"GET"), 200, "GET"),
        Case::new(post("/echo", "", &content(150_000, 7)), 200, content(150_000, 7)),
        Case::new(chunked("/echo", "", b""), 200, ""),
        Case::new(chunked("/echo", "", &content(90_000, 3)), 200, content(90_000, 3)),
        Case::new(post("/echo", expect, &content(2_000, 1)), 200, content(2_000, 1)),
        Case::new(chunked("/echo", expect, &content(2_000, 1)), 200, content(2_000, 1)),
        Case::new(post("/piecewise", "", &content(80_000, 2)), 200, content(80_000, 2)),
        Case::new(post("/ignore", "", &content(150_000, 0)), 200, "ignored"),
        Case::new(chunked("/ignore", "", &content(90_000, 0)), 200, "ignored"),
        Case::new(chunked("/first?5", "", &content(90_000, 0)), 200, content(5, 0)),
        Case::new(post("/raises", "", &content(90_000, 0)), 500, failed),
        Case::new(get("/large?300000"), 200, content(300_000, 0)),
        Case::new(get("/pieces?50,3000"), 200, content(150_000, 0)),
        Case::new(get("/pieces?2,100000"), 200, content(200_000, 0)),
        Case::new(get("/announced?3,1000"), 200, content(3000, 0)),
        Case::new(get("/gaps"), 200, "abc"),
        Case::new(get("/nothing"), 200, ""),
        Case::new(get("/empty?204"), 204, ""),
        Case::new(get("/empty?304"), 304, ""),
        Case::new(get("/file"), 200, content(FILE, 0)),
        Case::new(get("/file?100,50"), 200, content(50, 100)),
        Case::new(get(&format!("/file?{FILE}")), 200, ""),
        Case::new(get("/pipe"), 200, content(5000, 0)),
        Case::new(get("/text"), 500, failed),
        Case::new(get("/hints"), 200, "firstsecond"),
        Case::new(get("/long"), 200, "123"),
        Case::new(get("/raises"), 500, failed),
    ]
}

/// Numbers below `count` in an order that has each behind each, and behind itself.
fn tour(count: usize) -> Vec<usize> {
    let from = |first| [first, first].into_iter().chain((first + 1..count).flat_map(move |next| [next, first]));
    (0..count).flat_map(from).collect()
}

#[test]
fn a_tour_has_each_behind_each() {
    let tour = tour(5);
    for (first, second) in (0..25).map(|pair| (pair / 5, pair % 5)) {
        assert!(tour.windows(2).any(|two| two == [first, second]), "{first} {second}");
    }
}

fn with_file(show: impl FnMut(&Place)) {
    everywhere(&[], &[("file", &content(FILE, 0))], show);
}

#[test]
fn any_request_may_follow_any_other() {
    let cases = cases();
    with_file(|place| {
        let mut client = place.connect();
        let mut before = String::new();
        for number in tour(cases.len()) {
            let case = &cases[number];
            let response = answer(client.send(&case.request), case.method());
            let is_right = (response.status, response.whole) == (case.status, true) && response.body == case.body;
            let name = case.name();
            assert!(is_right, "{}: {name:?} behind {before:?}: {}", place.name, response.status_line);
            assert_ne!(response.field("connection"), Some("close"), "{}: {name:?} behind {before:?}", place.name);
            before = name;
        }
    });
}

#[test]
fn any_request_may_wait_behind_any_other() {
    let cases = cases();
    with_file(|place| {
        let mut client = place.connect();
        let tour = tour(cases.len());
        let all: Vec<u8> = tour.iter().flat_map(|number| cases[*number].request.iter().copied()).collect();
        client.send_and_read(&all).end();
        for number in tour {
            let case = &cases[number];
            let response = answer(&mut client, case.method());
            let is_right = (response.status, response.whole) == (case.status, true) && response.body == case.body;
            assert!(is_right, "{}: {:?}: {}", place.name, case.name(), response.status_line);
        }
        assert!(client.is_closed(), "{}", place.name);
    });
}

#[test]
fn a_pipeline_may_come_in_any_pieces() {
    let cases = cases();
    with_file(|place| {
        // What is long would come one byte at a time for long.
        let short = || cases.iter().filter(|case| case.request.len() < 3000);
        let all: Vec<u8> = short().flat_map(|case| case.request.iter().copied()).collect();
        for way in WAYS {
            let mut client = place.connect();
            for piece in way.cut(&all) {
                client.send_and_read(piece);
            }
            for case in short() {
                let response = answer(&mut client, case.method());
                let is_right = (response.status, response.whole) == (case.status, true) && response.body == case.body;
                assert!(is_right, "{} {way:?}: {:?}: {}", place.name, case.name(), response.status_line);
            }
        }
    });
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let request = b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
                    5;a=\"b\"\r\nhello\r\n00b\r\n, wire body\r\n0\r\nX-A: b\r\n\r\n";
    with_file(|place| {
        let mut client = place.connect();
        for at in 1..request.len() {
            client.send(&request[..at]);
            // The first part is read before the second is sent, as another connection is served behind it.
            if at % 8 == 0 {
                assert_eq!(place.connect().get("/hello").text(), "hello");
            }
            client.send(&request[at..]);
            assert_eq!(answer(&mut client, "POST").text(), "hello, wire body", "{}: cut at {at}", place.name);
        }
    });
}

#[test]
fn many_requests_wait_until_the_client_reads() {
    with_file(|place| {
        // More than any buffer holds, of answers and of requests, before the first of them is read.
        for (request, count, size) in [(get("/large?1000000"), 10, 1_000_000), (get("/pieces?5,2"), 1000, 10)] {
            let mut client = place.connect();
            let all = request.repeat(count);
            client.send_in(all.as_bytes(), Pieces::Whole).end();
            for number in 0..count {
                let response = answer(&mut client, "GET");
                assert!(response.whole && response.body == content(size, 0), "{}: answer {number}", place.name);
            }
            assert!(client.is_closed(), "{}", place.name);
        }
    });
}

#[test]
fn a_connection_is_kept_as_its_last_request_says() {
    with_file(|place| {
        for (version, fields, kept) in [
            ("1.1", "", true),
            ("1.1", "Connection: keep-alive", true),
            ("1.1", "Connection: close", false),
            ("1.1", "Connection: CLOSE", false),
            ("1.1", "Connection:close", false),
            ("1.1", "Connection: \t close\t", false),
            ("1.1", "Connection: x, close", false),
            ("1.1", "Connection: close, x", false),
            ("1.1", "Connection: ,close,", false),
            ("1.1", "Connection: keep-alive, close", false),
            ("1.1", "Connection: close, keep-alive", false),
            ("1.1", "Connection: keep-alive\r\nConnection: close", false),
            ("1.1", "Connection: close\r\nConnection: keep-alive", false),
            ("1.1", "Connection: closed", true),
            ("1.1", "Connection: x-close", true),
            ("1.1", "Connection: \"close\"", true),
            ("1.1", "Connection:", true),
            ("1.1", "Connection: Upgrade\r\nUpgrade: websocket", true),
            ("1.1", "Connection: Host, Content-Length", true),
            ("1.1", "Keep-Alive: timeout=0, max=0", true),
            ("1.1", "Proxy-Connection: close", true),
            ("1.2", "", true),
            ("1.0", "", false),
            ("1.0", "Connection: keep-alive", true),
            ("1.0", "Connection: Keep-Alive", true),
            ("1.0", "Connection: x, keep-alive", true),
            ("1.0", "Connection: keep-alive, close", false),
            ("1.0", "Connection: keep-alives", false),
            ("1.0", "Proxy-Connection: keep-alive", false),
            ("1.0", "Keep-Alive: timeout=100", false),
        ] {
            let end = if fields.is_empty() { "" } else { "\r\n" };
            let request = format!("GET /hello HTTP/{version}\r\nHost: test\r\n{fields}{end}\r\n");
            let mut client = place.connect();
            // What follows a request that is the last is not answered.
            client.send(format!("{request}{}", get("/gaps")));
            let response = answer(&mut client, "GET");
            let said = if kept { "keep-alive" } else { "close" };
            assert_eq!(response.field("connection"), Some(said), "{}: {version} {fields}", place.name);
            assert_eq!(response.text(), "hello");
            if kept {
                assert_eq!(answer(&mut client, "GET").text(), "abc", "{}: {version} {fields}", place.name);
            } else {
                assert!(client.is_closed(), "{}: {version} {fields}", place.name);
            }
        }
    });
}

#[test]
fn an_upgrade_is_not_taken_up() {
    let body = b"not a frame";
    with_file(|place| {
        let mut client = place.connect();
        for fields in [
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "Connection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n",
            "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
            "Upgrade: \u{e9}\u{20ac}\r\n",
        ] {
            let response = answer(client.send(post("/echo", fields, body)), "POST");
            assert_eq!((response.status, response.body.as_slice()), (200, &body[..]), "{}: {fields}", place.name);
            assert!(response.field("upgrade").is_none());
        }
    });
}

#[test]
fn a_client_that_ends_its_side_gets_every_answer() {
    with_file(|place| {
        for requests in [
            vec![get("/large?3000000").into_bytes()],
            vec![get("/pieces?40,100000").into_bytes()],
            vec![get("/file").into_bytes(), post("/echo", "", &content(50_000, 0)), get("/hints").into_bytes()],
            vec![chunked("/ignore", "", &content(200_000, 0)), get("/large?2000000").into_bytes()],
        ] {
            let mut client = place.connect();
            client.send_and_read(&requests.concat()).end();
            for request in &requests {
                let method = if request.starts_with(b"GET") { "GET" } else { "POST" };
                let response = answer(&mut client, method);
                assert!(response.status == 200 && response.whole, "{}: {}", place.name, response.status_line);
            }
            assert!(client.is_closed(), "{}", place.name);
        }
    });
}

/// By how much memory may grow between the second of many rounds and the last, in KiB.
const ALLOWED: u64 = 4 << 10;

/// The small version of `benches/clients many`.
#[test]
fn thousands_of_requests_leave_nothing_behind() {
    let cases = cases();
    for builder in [builder().args(["--threads", "4"]), builder().tls().args(["--no-buffering", "--threads", "2"])] {
        std::fs::write(builder.directory().join("file"), content(FILE, 0)).expect("the file can be written");
        let server = builder.start();
        let worker = server.worker();
        let round = || {
            let mut kept = server.connect();
            for number in 0..700 {
                let case = &cases[number % cases.len()];
                let response = if number % 3 == 0 {
                    answer(server.connect().send(&case.request), case.method())
                } else {
                    answer(kept.send(&case.request), case.method())
                };
                assert!(response.status == case.status && response.body == case.body, "{:?}", case.name());
                if number % 10 == 0 {
                    // One that leaves without an answer.
                    server.connect().send(&case.request);
                }
            }
        };
        round();
        round();
        let (memory, open) = (process::resident_kib(worker), process::descriptors(worker));
        // How much is under way at a time is chance, and what that took is kept: what is left behind grows each time.
        let mut before = memory;
        let grows = |_| {
            (0..5).for_each(|_| round());
            let grown = process::resident_kib(worker).saturating_sub(before);
            before += grown;
            grown >= ALLOWED
        };
        assert!(!(0..3).all(grows), "{before} KiB, and {memory} at first");
        let now = || process::descriptors(worker);
        assert!(process::holds(|| now() <= open), "{open} descriptors were open, and are {}", now());
    }
}
