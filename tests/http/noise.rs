//! Bytes that are no requests, from clients that come and go as they like: the server answers others, and keeps nothing.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
};

use fastrand::Rng;

use super::{APP, mutations::mutations};
use crate::support::{Server, process, server::LIMIT};

/// So many connections are made by each of so many clients.
const CONNECTIONS: usize = 400;
const CLIENTS: u64 = 4;

/// What one connection brings: noise, noise behind a beginning that is fine, or requests that are nearly fine.
fn bytes(rng: &mut Rng) -> Vec<u8> {
    const BEGINNINGS: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n30000\r\n",
    ];
    if rng.bool() {
        return mutations(rng.u64(..), rng.usize(1..4)).concat();
    }
    let mut bytes = rng.choice(BEGINNINGS).expect("there are some").to_vec();
    let most = if rng.u8(..) < 16 { 200_000 } else { 300 };
    let mut noise = vec![0; rng.usize(..most)];
    rng.fill(&mut noise);
    bytes.extend(noise);
    bytes
}

/// Sends them, and leaves: with or without a word, at once or after having read something.
fn visit(address: &str, rng: &mut Rng) {
    let mut stream = TcpStream::connect(address).expect("the server answers");
    stream.set_read_timeout(Some(LIMIT)).expect("an option of the socket");
    let bytes = bytes(rng);
    for piece in bytes.chunks(rng.usize(1..=bytes.len().max(1))) {
        // The server may have closed the connection.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    match rng.u8(..4) {
        0 => {}
        1 => drop(stream.shutdown(Shutdown::Both)),
        _ => {
            let _ = stream.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            let is_late = read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(!is_late, "the server neither answers nor closes: b\"{}\"", bytes.escape_ascii());
        }
    }
}

fn bear_noise(options: &[&str], request: &str) {
    let mut server = Server::of(APP).args(["app:app", "--threads", "2"]).args(options.iter().copied()).start();
    let ask = |server: &Server| {
        let mut client = server.connect();
        client.send(request).end();
        assert_eq!(client.response("GET").text(), "seen");
    };
    ask(&server);
    let worker = server.worker();
    let idle = || process::descriptors(worker);
    let before = idle();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let address = server.address();
            scope.spawn(move || {
                let mut rng = Rng::with_seed(client);
                for _ in 0..CONNECTIONS {
                    visit(address, &mut rng);
                }
            });
        }
    });
    ask(&server);
    assert!(process::holds(|| idle() <= before), "{} descriptors were open, and are {}", before, idle());
    assert_eq!(server.worker(), worker, "it is the same worker");
    let log = server.stop().stderr;
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn noise_is_borne_and_nothing_is_kept_of_it() {
    bear_noise(&[], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn noise_is_borne_where_a_proxy_is_expected() {
    bear_noise(&["--proxy-protocol"], "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n");
}
