//! What a client may not do, on every kind of connection: send too much, or take too long.

use std::time::Duration;

use super::{builder, content, everywhere, get, post};
use crate::support::{Client, client::WAYS, process};

#[test]
fn a_body_has_its_limit_to_the_byte() {
    everywhere(&["--limit-request-body", "100"], &[], |place| {
        for (size, status) in [(99, 200), (100, 200), (101, 413)] {
            let body = content(size, 0);
            for size in [1, 7, 60, 200] {
                let chunks: Vec<u8> = body
                    .chunks(size)
                    .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
                    .collect();
                let head = b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
                let request = [&head[..], &chunks, b"0\r\n\r\n"].concat();
                for way in WAYS {
                    let mut client = place.connect();
                    for piece in way.cut(&request) {
                        client.send_and_read(piece);
                    }
                    let response = client.response("POST");
                    // Where nothing is buffered, the app is at it already, and reading fails.
                    assert_eq!(response.status, status, "{}: {}", place.name, response.status_line);
                    assert!(response.status != 200 || response.body == body, "{}", place.name);
                    assert_eq!(response.field("connection") == Some("close"), status != 200, "{}", place.name);
                }
            }
            assert_eq!(
                place.connect().send(post("/echo", "", &body)).response("POST").status,
                status,
                "{}",
                place.name
            );
        }
    });
}

/// Sends a byte again and again until there is an answer, or the end.
fn drip(client: &mut Client, byte: &str) -> Vec<u8> {
    client.set_timeout(Duration::from_millis(50));
    loop {
        if client.try_send(byte).is_err() {
            return client.read_some().unwrap_or_default();
        }
        if let Ok(read) = client.read_some() {
            return read;
        }
    }
}

#[test]
fn a_head_has_its_time_however_many_bytes_come_meanwhile() {
    everywhere(&["--header-timeout", "2"], &[], |place| {
        let mut first = place.connect();
        first.send("GET / HTTP/1.1\r\nX: ");
        let told = drip(&mut first, "x");
        assert!(told.starts_with(b"HTTP/1.1 408 "), "{}: {}", place.name, String::from_utf8_lossy(&told));
        // On a connection that was used before too, where the time begins with the first byte.
        let mut second = place.connect();
        assert_eq!(second.get("/hello").text(), "hello");
        second.send("GET / HTTP/1.1\r\nX: ");
        let told = drip(&mut second, "x");
        assert!(told.starts_with(b"HTTP/1.1 408 "), "{}: {}", place.name, String::from_utf8_lossy(&told));
    });
}

#[test]
fn a_client_that_does_not_begin_tls_has_the_time_of_a_head() {
    let server = builder().tls().args(["--header-timeout", "2"]).start();
    let address = server.address().trim_start_matches("https://");
    // Nothing at all, and the beginning of a handshake that never goes on.
    for first in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut client = Client::connect(address);
        assert!(client.send(first).is_closed(), "{first:?}");
    }
    assert_eq!(server.connect().get("/hello").text(), "hello");
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    everywhere(&["--keep-alive", "2"], &[], |place| {
        let mut client = place.connect();
        assert_eq!(client.get("/hello").text(), "hello");
        assert_eq!(client.get("/hello").text(), "hello");
        assert!(client.is_closed(), "{}", place.name);
    });
}

#[test]
fn a_server_that_is_full_says_so_in_the_clients_protocol() {
    let args = ["--worker-connections", "1", "--backlog-timeout", "1", "--keep-alive", "60"];
    everywhere(&args, &[], |place| {
        let mut first = place.connect();
        first.send("GET /hello HTTP/1.1\r\n");
        let mut second = place.connect();
        second.send(get("/hello"));
        let response = second.response("GET");
        assert_eq!((response.status, response.field("connection")), (503, Some("close")), "{}", place.name);
        let peer = if place.name.starts_with("unix") { "unix" } else { "127.0.0.1" };
        place.server.wait_for_log(&format!("Invalid request from ip={peer}: The server has as many connections"));
        first.send("Host: test\r\n\r\n");
        assert_eq!(first.response("GET").text(), "hello", "{}", place.name);
    });
}

#[test]
fn a_deadline_frees_the_thread_that_waits_for_a_body() {
    everywhere(&["--no-buffering", "--threads", "1", "--request-timeout", "3"], &[], |place| {
        let worker = place.server.worker();
        let mut client = place.connect();
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nab");
        assert_eq!(client.response("POST").status, 503, "{}", place.name);
        assert_eq!(place.connect().get("/hello").text(), "hello", "{}: the only thread is free again", place.name);
        assert_eq!(place.server.worker(), worker, "{}", place.name);
    });
}

#[test]
fn thirty_thousand_fields_are_read_like_one() {
    let server = builder().args(["--limit-request-fields", "32768"]).start();
    let mut client = server.connect();
    let same = "A: b\r\n".repeat(30_000);
    let different: String = (0..30_000).map(|number| format!("A{number}: b\r\n")).collect::<Vec<_>>().concat();
    for fields in [same, different] {
        client.send_and_read(format!("GET /hello HTTP/1.1\r\n{fields}\r\n").as_bytes());
        assert_eq!(client.response("GET").text(), "hello");
    }
}

/// Of what comes at once, one chunk is to be kept as it is, and the rest is next to nothing.
#[test]
fn a_chunk_takes_no_more_memory_than_it_has() {
    let server = builder().args(["--body-min-rate", "0"]).start();
    assert_eq!(server.connect().post("/echo", b"hello").text(), "hello");
    let before = process::resident_kib(server.worker());
    let large = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let small = format!("{}1\r\nx\r\n", "0".repeat(63));
    let piece = large + &small.repeat(850);
    let mut client = server.connect();
    client.send("POST /ignore HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(piece.repeat(400));
    client.send("0\r\n\r\n");
    assert_eq!(client.response("POST").text(), "ignored");
    let grown = process::most_resident_kib(server.worker()).saturating_sub(before);
    assert!(grown < 6 << 10, "{grown} KiB");
}

#[test]
fn a_body_in_bytes_takes_no_more_memory_than_one_at_once() {
    const SIZE: usize = 1 << 16;
    for more in [&[][..], &["--no-buffering"]] {
        let server = builder().args(["--threads", "2", "--body-min-rate", "0"]).args(more.iter().copied()).start();
        server.connect().get("/hello");
        let before = process::resident_kib(server.worker());
        let length = format!("Content-Length: {SIZE}");
        for (framing, byte) in [(length.as_str(), "x"), ("Transfer-Encoding: chunked", "1\r\nx\r\n")] {
            let mut client = server.connect();
            client.send(format!("POST /echo HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n"));
            for _ in 1..SIZE {
                client.send(byte);
            }
            // What the app has read is its own.
            let grown = process::resident_kib(server.worker()).saturating_sub(before);
            assert!(grown < 8 << 10, "{more:?}: {framing}: {grown} KiB for 64");
            client.send(byte).send(if framing == length { "" } else { "0\r\n\r\n" });
            assert_eq!(client.response("POST").body, vec![b'x'; SIZE], "{more:?}: {framing}");
        }
    }
}
