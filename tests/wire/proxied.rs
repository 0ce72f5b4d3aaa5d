//! The PROXY protocol: what precedes the first request of a connection, and TLS.

use serde_json::Value;

use crate::support::{Client, Server, client::WAYS};

const APP: &str = "
import json
def app(environ, start_response):
    names = ['REMOTE_ADDR', 'REMOTE_PORT', 'PROXY_PROTOCOL', 'PROXY_ADDR', 'PROXY_PORT', 'wsgi.url_scheme']
    start_response('200 OK', [])
    return [json.dumps([environ.get(name) for name in names]).encode()]
";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// Address and port of the client, and of the proxy.
type Named = [&'static str; 4];

/// Headers, and what the app sees of the client and of the proxy by them. None where the peer itself is the client.
fn headers() -> Vec<(Vec<u8>, &'static str, Option<Named>)> {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 1, 0xbb];
    let mut v6 = [0_u8; 36];
    (v6[0], v6[15], v6[16], v6[31]) = (0xfd, 1, 0xfd, 2);
    v6[32..].copy_from_slice(&[0x12, 0x67, 1, 0xbb]);
    let four = Some(["192.0.2.1", "4711", "192.0.2.2", "443"]);
    let six = Some(["fd00::1", "4711", "fd00::2", "443"]);
    let more = [&v4[..], &[0x20, 0, 3, 1, 2, 3, 0xea, 0, 1, 0]].concat();
    vec![
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n".to_vec(), "TCP4", four),
        (b"PROXY TCP6 fd00::1 fd00::2 4711 443\r\n".to_vec(), "TCP6", six),
        (b"PROXY UNKNOWN\r\n".to_vec(), "UNKNOWN", None),
        (b"PROXY UNKNOWN fd00::1 fd00::2 4711 443\r\n".to_vec(), "UNKNOWN", None),
        (binary(0x21, 0x11, &v4), "TCP4", four),
        (binary(0x21, 0x11, &more), "TCP4", four),
        (binary(0x21, 0x21, &v6), "TCP6", six),
        (binary(0x20, 0, b""), "LOCAL", None),
        (binary(0x20, 0x11, &v4), "LOCAL", None),
        (binary(0x21, 0x31, &[0; 216]), "UNKNOWN", None),
        (binary(0x21, 0, b""), "UNKNOWN", None),
    ]
}

#[track_caller]
fn check(client: &mut Client, protocol: &str, named: Option<Named>, scheme: &str) {
    let response = client.response("GET");
    assert_eq!(response.status, 200, "{protocol} {}", response.text());
    let seen: Value = serde_json::from_slice(&response.body).expect("the app answers with JSON");
    assert_eq!((seen[2].as_str(), seen[5].as_str()), (Some(protocol), Some(scheme)), "{seen}");
    if let Some([address, port, proxy, proxy_port]) = named {
        let all = [&seen[0], &seen[1], &seen[3], &seen[4]].map(Value::as_str);
        assert_eq!(all, [address, port, proxy, proxy_port].map(Some), "{seen}");
    } else {
        assert!(seen[3].is_null() && seen[4].is_null(), "{seen}");
    }
}

#[test]
fn every_header_is_read_in_whatever_pieces_it_comes() {
    for threads in ["1", "3"] {
        let builder = Server::of(APP).args(["app:app", "--proxy-protocol", "--threads", threads]);
        let socket = format!("unix:{}", builder.directory().join("socket").display());
        let server = builder.args(["--bind", "127.0.0.1:0", "--bind", &socket]).without_bind().start();
        for address in server.addresses() {
            for (header, protocol, named) in headers() {
                for way in WAYS {
                    let mut client = Client::connect(address);
                    // Two requests: what was said holds for all of the connection.
                    client.send_in(&[&header, REQUEST, REQUEST].concat(), way);
                    check(&mut client, protocol, named, "http");
                    check(&mut client, protocol, named, "http");
                }
            }
        }
    }
}

#[test]
fn a_header_that_is_none_is_refused_and_the_app_is_not_called() {
    let server = Server::of(APP).args(["app:app", "--proxy-protocol"]).start();
    let long = [b"PROXY ", "x".repeat(200).as_bytes()].concat();
    for header in [
        &b"PROXY\r\n"[..],
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        b"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY TCP4 fd00::1 fd00::2 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b" PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        // Twice: the second is no request.
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nPROXY TCP4 192.0.2.3 192.0.2.2 1 2\r\n",
        &long,
        &binary(0x31, 0x11, &[0; 12]),
        &binary(0x22, 0x11, &[0; 12]),
        &binary(0x21, 0x11, &[0; 11]),
        &binary(0x21, 0x12, &[0; 12]),
        &binary(0x21, 0x41, &[0; 12]),
    ] {
        for way in WAYS {
            if header.len() > 1000 && !matches!(way, crate::support::client::Pieces::Whole) {
                continue;
            }
            let mut client = server.connect();
            for piece in way.cut(&[header, REQUEST].concat()) {
                client.send_and_read(piece);
            }
            let text = String::from_utf8_lossy(header).into_owned();
            assert_eq!(client.response("GET").status, 400, "{text:?}");
            assert!(client.is_closed(), "{text:?}");
        }
    }
}

#[test]
fn only_peers_that_may_are_believed() {
    let allowed = |list: &str, version: &str| {
        Server::of(APP).args(["app:app", "--proxy-protocol", version, "--proxy-allow-from", list]).start()
    };
    let status = |server: &Server, header: &[u8]| {
        let mut client = server.connect();
        client.send([header, REQUEST].concat());
        client.response("GET").status
    };
    let text = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
    let binary = binary(0x21, 0x11, &[0; 12]);
    for list in ["127.0.0.1", "127.0.0.0/8", "*", "192.0.2.1,127.0.0.1"] {
        let server = allowed(list, "auto");
        assert_eq!((status(&server, text), status(&server, &binary)), (200, 200), "{list}");
    }
    for list in ["192.0.2.0/24", "127.0.0.2"] {
        let server = allowed(list, "auto");
        assert_eq!((status(&server, text), status(&server, &binary)), (403, 403), "{list}");
        assert_eq!(status(&server, b""), 200, "{list}: it says nothing, and speaks for itself");
    }
    assert_eq!(status(&allowed("*", "v1"), &binary), 400, "only version 1");
    assert_eq!(status(&allowed("*", "v2"), text), 400, "only version 2");
}

/// Proxies that pass TLS through (`send-proxy` of haproxy, load balancers of clouds) say it before the handshake.
#[test]
fn a_proxy_says_it_before_tls_begins() {
    let server = Server::of(APP).tls().args(["app:app", "--proxy-protocol"]).start();
    let address = server.address().trim_start_matches("https://");
    for (header, protocol, named) in headers() {
        let mut client = server.connect_tls(address, &header);
        client.send([REQUEST, REQUEST].concat());
        check(&mut client, protocol, named, "https");
        check(&mut client, protocol, named, "https");
    }
    // As gunicorn has it, inside.
    let (header, protocol, named) = headers().remove(0);
    let mut client = server.connect();
    client.send([&header, REQUEST].concat());
    check(&mut client, protocol, named, "https");
    let mut client = server.connect_tls(address, &header);
    client.send([&header, REQUEST].concat());
    assert_eq!(client.response("GET").status, 400, "twice is once too often");
    let strict = Server::of(APP).tls().args(["app:app", "--proxy-protocol", "--proxy-allow-from", "192.0.2.9"]).start();
    let mut client = Client::connect(strict.address().trim_start_matches("https://"));
    assert_eq!(client.send(&header).response("GET").status, 403);
}
