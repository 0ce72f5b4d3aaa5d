//! Several app threads take turns: one answers while another stands by for the GIL, and connections are woken together.

use std::time::Duration;

use crate::support::{Client, Server};

/// Nobody gets the GIL from an app that keeps it. `/keep/NAME` does, until there is a file of that name; anything else for
/// as long as the next thread needs to stand by, several of them in one turn.
const KEEPS: &str = "
import ctypes, os, sys
sys.setswitchinterval(1000)
access = ctypes.PyDLL(None).access
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path.startswith('/keep/'):
        name = path.removeprefix('/keep/').encode()
        os.write(1, b'keeping ' + name + b'\\n')
        while access(name, 0):
            pass
    for _ in range(1000):
        pass
    start_response('200 OK', [])
    return [path.encode()]
";

fn ask(client: &mut Client, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

fn go(server: &Server, name: &str) {
    std::fs::write(server.directory().join(name), "").expect("the directory can be written to");
}

#[test]
fn answers_that_are_ready_are_not_kept_by_a_call_that_keeps_the_gil() {
    let server = Server::of(KEEPS).args(["app:app", "--threads", "4", "--timeout", "0"]).start();
    let (mut first, mut last) = (server.connect(), server.connect());
    let mut others: Vec<_> = (0..15).map(|_| server.connect()).collect();
    ask(&mut first, "/keep/first");
    server.wait_for_output("keeping first\n");
    for (number, client) in others.iter_mut().enumerate() {
        ask(client, &format!("/{number}"));
    }
    // They have come before the last.
    std::thread::sleep(Duration::from_secs(2));
    ask(&mut last, "/keep/last");
    std::thread::sleep(Duration::from_millis(100));
    go(&server, "first");
    assert_eq!(first.response("GET").text(), "/keep/first");
    server.wait_for_output("keeping last\n");
    for (number, client) in others.iter_mut().enumerate() {
        assert_eq!(client.response("GET").text(), format!("/{number}"), "while the last keeps the GIL");
    }
    go(&server, "last");
    assert_eq!(last.response("GET").text(), "/keep/last");
}
