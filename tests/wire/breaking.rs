//! What breaks off: answers whose app fails, and clients that leave.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use super::{Place, chunked, content, everywhere, get, post};
use crate::support::{process, server::LIMIT};

/// What has neither a length nor chunks ends with its connection: that one must not end as if all were well.
#[test]
fn an_answer_whose_end_is_the_connections_resets_it_where_it_breaks_off() {
    for threads in ["1", "4"] {
        let server = super::builder().args(["--threads", threads]).start();
        for size in [1, 1000, 3_000_000] {
            let mut stream = TcpStream::connect(server.address()).expect("the server answers");
            write!(stream, "GET /fails?{size} HTTP/1.0\r\n\r\n").expect("the server reads");
            let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
            assert_eq!(end, Err(ErrorKind::ConnectionReset), "{size}");
        }
        let mut well = server.connect();
        assert!(well.send("GET /pieces?3,1000 HTTP/1.0\r\n\r\n").response("GET").body == content(3000, 0));
    }
}

/// The system has more of the answer than the client has taken, and would deliver that with an end that looks well.
#[test]
fn an_answer_whose_end_is_the_connections_resets_it_where_its_client_takes_nothing() {
    let server = super::builder().args(["--write-timeout", "2", "--keep-alive", "600"]).start();
    let place = Place { server: &server, name: "tcp".to_owned(), address: server.address() };
    let mut kept = place.connect();
    assert_eq!(kept.get("/hello").text(), "hello");
    for path in ["/pieces?100,100000", "/pieces?1,10000000"] {
        let before = process::descriptors(server.worker());
        let mut stream = TcpStream::connect(server.address()).expect("the server answers");
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("the server reads");
        assert_eq!(stream.peek(&mut [0]).expect("it begins"), 1);
        is_back(&place, before);
        let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{path}");
    }
    assert_eq!(kept.get("/hello").text(), "hello");
}

#[test]
fn an_answer_that_breaks_off_is_seen_although_a_process_of_the_apps_has_the_connection_too() {
    for threads in ["1", "4"] {
        let server = super::builder().args(["--threads", threads]).start();
        let mut stream = TcpStream::connect(server.address()).expect("the server answers");
        stream.set_read_timeout(Some(LIMIT)).expect("an option of the socket");
        write!(stream, "GET /forks HTTP/1.0\r\n\r\n").expect("the server reads");
        let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{threads}");
        std::fs::write(server.directory().join("go"), "").expect("the file can be written");
        server.wait_for_output("the child ends\n");
    }
}

/// What a client has sent already must not reset the connection, and the answer with it.
#[test]
fn what_came_before_a_failure_arrives_although_more_was_asked_for() {
    everywhere(&[], &[], |place| {
        for number in 0..50 {
            let mut client = place.connect();
            client.send(get("/fails?100000").repeat(3));
            let response = client.response("GET");
            assert!(!response.whole && response.body == content(100_000, 0), "{}: {number}", place.name);
            assert!(client.is_closed(), "{}: {number}", place.name);
        }
    });
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_the_whole() {
    everywhere(&[], &[], |place| {
        for size in [1, 1000, 100_000, 3_000_000] {
            for path in ["/fails", "/fails-announced"] {
                let mut client = place.connect();
                client.send(get(&format!("{path}?{size}")));
                let response = client.response("GET");
                assert_eq!((response.status, response.whole), (200, false), "{}: {path} {size}", place.name);
                assert!(response.body == content(size, 0), "{}: {path}: {} bytes", place.name, response.body.len());
                assert!(client.is_closed(), "{}: {path} {size}", place.name);
            }
        }
        for path in ["/short", "/fails?5", "/fails-announced?5"] {
            let mut client = place.connect();
            // What was asked for behind it is not answered.
            let response = client.send(get(path)).send(get("/hello")).response("GET");
            assert_eq!((response.body.len(), response.whole), (5, false), "{}: {path}", place.name);
            assert!(client.is_closed(), "{}: {path}", place.name);
        }
    });
}

/// Waits until the server has what it had before, and no more.
fn is_back(place: &Place, before: usize) {
    let now = || process::descriptors(place.server.worker());
    assert!(process::holds(|| now() <= before), "{}: {before} descriptors were open, and are {}", place.name, now());
}

#[test]
fn a_client_that_leaves_ends_what_is_made_for_it() {
    everywhere(&[], &[], |place| {
        assert_eq!(place.connect().get("/hello").text(), "hello");
        let before = process::descriptors(place.server.worker());
        let over = place.server.stdout().matches("endless is over").count();
        for _ in 0..3 {
            let mut client = place.connect();
            client.send(get("/endless")).read_some().expect("it begins");
        }
        place.server.wait_for_output(&"endless is over\n".repeat(over + 3));
        is_back(place, before);
        assert_eq!(place.connect().get("/hello").text(), "hello", "{}", place.name);
        let log = place.server.stderr();
        assert!(!log.contains("ERROR") && !log.contains("Traceback"), "{}: a client may leave:\n{log}", place.name);
    });
}

#[test]
fn clients_may_leave_at_any_byte() {
    let whole =
        [chunked("/echo", "", &content(500, 0)), post("/ignore", "", b"abc"), get("/large?100000").into()].concat();
    everywhere(&[], &[("file", &content(100_000, 0))], |place| {
        assert_eq!(place.connect().get("/hello").text(), "hello");
        let before = process::descriptors(place.server.worker());
        for end in (0..whole.len()).step_by(7) {
            let mut client = place.connect();
            client.send(&whole[..end]);
            if end % 2 == 0 {
                client.end();
                client.read_some().expect("an answer, or the end");
            }
        }
        for path in ["/large?3000000", "/pieces?100,30000", "/file", "/hints", "/empty?204"] {
            for _ in 0..10 {
                place.connect().send(get(path));
                place.connect().send(get(path)).read_some().expect("it begins");
            }
        }
        assert_eq!(place.connect().get("/hello").text(), "hello", "{}", place.name);
        is_back(place, before);
        // Where nothing is buffered the app is told of bodies that break off.
        let log = place.server.stderr();
        assert!(!place.is_buffered() || !log.contains("Traceback"), "{}: {log}", place.name);
    });
}

/// The app is told, where it reads the body itself.
#[test]
fn a_body_that_breaks_off_is_an_error_wherever_it_does() {
    let request = chunked("/echo", "", &content(300, 0));
    let head = request.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    everywhere(&[], &[], |place| {
        for end in head..request.len() {
            let mut client = place.connect();
            client.send(&request[..end]).end();
            let response = client.response("POST");
            assert_eq!(response.status, 400, "{}: {end} of {}", place.name, request.len());
            assert!(client.is_closed(), "{}: {end}", place.name);
        }
        for end in [0, 1, 99_999] {
            let mut client = place.connect();
            let request = post("/echo", "", &content(100_000, 0));
            client.send(&request[..request.len() - 100_000 + end]).end();
            assert_eq!(client.response("POST").status, 400, "{}: {end}", place.name);
            assert!(client.is_closed(), "{}: {end}", place.name);
        }
        assert_eq!(place.connect().get("/hello").text(), "hello", "{}", place.name);
    });
}

#[test]
fn a_body_that_breaks_off_behind_its_answer_ends_the_connection() {
    everywhere(&["--no-buffering", "--threads", "2", "--body-min-rate", "0"], &[], |place| {
        let mut client = place.connect();
        let before = place.server.stdout().matches("broke off").count();
        client.send("POST /whole-first HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        assert_eq!(client.response("POST").text(), "whole", "{}", place.name);
        client.send("zz\r\n");
        // Long before the server gives up to wait for it.
        client.set_timeout(std::time::Duration::from_secs(15));
        assert!(client.is_closed(), "{}", place.name);
        place.server.wait_for_output(&"the body broke off\n".repeat(before + 1));
    });
}

#[test]
fn a_failure_beside_a_write_that_waits_holds_up_nobody() {
    let server = super::builder().args(["--threads", "4"]).start();
    let mut slow = server.connect();
    slow.send(get("/writes-beside"));
    server.wait_for_output("waits for go\n");
    // By then the client has been sent more than it takes.
    std::thread::sleep(std::time::Duration::from_millis(300));
    std::fs::write(server.directory().join("go"), "").expect("the file can be written");
    server.wait_for_log("ValueError: on purpose");
    for _ in 0..3 {
        assert_eq!(server.connect().get("/hello").text(), "hello");
    }
}
