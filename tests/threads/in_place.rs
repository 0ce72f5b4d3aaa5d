//! An only app thread drives the connections between its calls; while a call lasts, they are looked after elsewhere.
//! Nothing here is timed: the call ends when the test says so.

use crate::support::{Client, Server, process};

/// Stays in `/wait` until there is a file of that name.
const WAITS: &str = "
import os, sys, time
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/wait':
        os.write(1, b'waiting\\n')
        while not os.path.exists('go'):
            time.sleep(0.005)
    start_response('200 OK', [])
    body = environ['wsgi.input'].read()
    return [body or path.encode()]
";

fn ask(client: &mut Client, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

fn go(server: &Server) {
    std::fs::write(server.directory().join("go"), "").expect("the directory can be written to");
}

/// A server whose app is at a request, the client of that, and one that was answered before.
fn waiting(args: &[&str]) -> (Server, Client, Client) {
    let server = Server::of(WAITS).args(["app:app", "--threads", "1"]).args(args.iter().copied()).start();
    let (mut client, mut kept) = (server.connect(), server.connect());
    assert_eq!(kept.get("/before").text(), "/before");
    ask(&mut client, "/wait");
    server.wait_for_output("waiting\n");
    (server, client, kept)
}

#[test]
fn while_a_call_lasts_connections_are_accepted_refused_taken_in_and_closed() {
    let (server, mut client, mut kept) = waiting(&["--keep-alive", "1"]);
    let mut uploads = server.connect();
    uploads.send("POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n");
    let told = String::from_utf8(uploads.read_some().expect("it is told to go on")).expect("text");
    assert!(told.starts_with("HTTP/1.1 100 "), "{told}");
    for _ in 0..3 {
        let mut wrong = server.connect();
        wrong.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        assert_eq!(wrong.response("GET").status, 400);
    }
    assert!(kept.is_closed(), "a connection that brings nothing is closed by a timer");
    uploads.send("abc");
    uploads.send("def");
    go(&server);
    assert_eq!(client.response("GET").text(), "/wait");
    assert_eq!(uploads.response("POST").text(), "abcdef");
}

#[test]
fn an_answer_that_is_ready_is_not_kept_by_the_next_call() {
    let server = Server::of(WAITS).args(["app:app", "--threads", "1"]).start();
    let (mut quick, mut slow) = (server.connect(), server.connect());
    for _ in 0..20 {
        // Both may come at the same time, and then they are called one behind the other.
        ask(&mut quick, "/quick");
        ask(&mut slow, "/quick");
        assert_eq!(slow.response("GET").text(), "/quick");
        assert_eq!(quick.response("GET").text(), "/quick");
    }
    ask(&mut quick, "/quick");
    ask(&mut slow, "/wait");
    assert_eq!(quick.response("GET").text(), "/quick");
    server.wait_for_output("waiting\n");
    go(&server);
    assert_eq!(slow.response("GET").text(), "/wait");
}

#[test]
fn a_graceful_stop_waits_for_the_call() {
    let (mut server, mut client, _) = waiting(&[]);
    server.signal("TERM");
    server.wait_for_log("Handling signal: term");
    // Once nobody accepts any more the worker has heard of it.
    assert!(process::holds(|| std::net::TcpStream::connect(server.address()).is_err()));
    go(&server);
    assert_eq!(client.response("GET").text(), "/wait");
    assert_eq!(server.wait_status().code(), Some(0));
}
