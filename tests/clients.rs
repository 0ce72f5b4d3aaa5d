//! What clients may do, and for how long: limits, slow clients, proxies, and deadlines.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use socket2::SockRef;

use crate::support::{Builder, Client, Server, process};

const APP: &str = r#"
import os, sys, threading, time

free = threading.Event()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    write = lambda *body, headers=[]: (start_response("200 OK", headers), list(body))[1]
    if path == "/view":
        keys = sorted(key for key in environ if key.startswith(("HTTP_", "REMOTE", "PROXY", "SCRIPT", "PATH", "SERVER_P")))
        return write("\n".join(f"{key}={environ[key]}" for key in [*keys, "wsgi.url_scheme"]).encode())
    if path == "/size":
        return write(b"%d" % len(environ["wsgi.input"].read()))
    if path == "/pieces":
        def pieces():
            for _ in range(200):
                yield b"x" * 50_000
            print("all pieces are made", flush=True)
        start_response("200 OK", [("X-Accel-Buffering", environ["QUERY_STRING"] or "yes")])
        return pieces()
    if path == "/large":
        return write(b"x" * 10_000_000)
    if path == "/file":
        start, length = environ["QUERY_STRING"].split(",")
        file = open("file", "rb")
        file.seek(int(start))
        start_response("200 OK", [("Content-Length", length)] if length else [])
        return environ["wsgi.file_wrapper"](file)
    if path == "/gzip":
        import gzip
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](gzip.open("file.gz"))
    if path == "/hints":
        for headers in [[("Link", "</a.css>; rel=preload")], [("link", "</b.js>"), ("Connection", "close")]]:
            environ["wsgi.early_hints"](headers)
        try:
            environ["wsgi.early_hints"]([("X", "a\r\nb: c")])
        except ValueError:
            return write(b"refused")
        return write(b"taken")
    if path == "/stuck":
        try:
            while not free.is_set():
                time.sleep(0.01)
        except Exception:
            print("an Exception", flush=True)
        except BaseException as error:
            print(type(error).__name__, flush=True)
            raise
    if path == "/stuck-in-the-middle":
        start_response("200 OK", [])(b"begun")
        while not free.is_set():
            time.sleep(0.01)
    if path == "/exit":
        raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "generator": GeneratorExit()}[environ["QUERY_STRING"]]
    return write(b"hello")
"#;

fn builder() -> Builder {
    Server::of(APP).args(["app:app"])
}

fn view(server: &Server, fields: &str) -> String {
    let mut client = server.connect();
    client.send(format!("GET /view HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    let response = client.response("GET");
    assert_eq!(response.status, 200, "{fields}");
    response.text()
}

fn status(server: &Server, request: impl AsRef<[u8]>) -> u16 {
    let mut client = server.connect();
    client.send(request);
    client.response("GET").status
}

#[test]
fn lines_and_fields_have_the_limits_that_are_set() {
    let limits = ["--limit-request-line", "30", "--limit-request-fields", "2", "--limit-request-field_size", "20"];
    let server = builder().args(limits).start();
    assert_eq!(status(&server, "GET /5678901234567890 HTTP/1.1\r\n\r\n"), 200);
    assert_eq!(status(&server, "GET /56789012345678901 HTTP/1.1\r\n\r\n"), 414);
    assert_eq!(status(&server, "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n"), 200);
    assert_eq!(status(&server, "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"), 431);
    assert_eq!(status(&server, "GET / HTTP/1.1\r\nA: 456789012345678\r\n\r\n"), 200);
    assert_eq!(status(&server, "GET / HTTP/1.1\r\nA: 4567890123456789\r\n\r\n"), 431);
    let server = builder().args(["--limit-request-line", "0"]).start();
    assert_eq!(status(&server, format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000))), 200);
}

#[test]
fn a_body_that_is_too_large_is_refused_before_the_app_is_called() {
    let logged = ["--access-logfile", "-", "--access-logformat", "%(s)s %(m)s"];
    let server = builder().args(["--limit-request-body", "10"]).args(logged).start();
    let ten = "POST /size HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789";
    assert_eq!(status(&server, ten), 200);
    assert_eq!(status(&server, "POST /size HTTP/1.1\r\nContent-Length: 11\r\n\r\n"), 413);
    let expecting = "POST /size HTTP/1.1\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(status(&server, expecting), 413, "and not asked for");
    let chunked = "POST /size HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n";
    assert_eq!(status(&server, chunked), 413);
    server.wait_for_log("Invalid request from ip=127.0.0.1: The body is larger than it may be (413)");
    server.wait_for_output("200 POST\n413 POST\n413 POST\n413 POST\n");
}

#[test]
fn a_client_that_takes_too_long_for_a_head_is_told() {
    let server = builder().args(["--header-timeout", "2"]).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.response("GET").status, 408);
    assert!(client.is_closed());
    // One that says nothing at all is told nothing.
    assert!(server.connect().read_all().is_empty());
    let server = builder().args(["--header-timeout", "2", "--proxy-protocol"]).start();
    assert_eq!(status(&server, "PROXY "), 408);
    // Each byte of it comes in time, and all of it does not.
    let mut client = server.connect();
    for byte in b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n" {
        if client.try_send([*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(String::from_utf8_lossy(&client.read_all()).starts_with("HTTP/1.1 408 "));
}

#[test]
fn a_client_that_sends_next_to_nothing_of_a_body_is_told() {
    let server = builder().args(["--body-min-rate", "1000000000"]).start();
    let mut client = server.connect();
    client.send("POST /size HTTP/1.1\r\nContent-Length: 10\r\n\r\n012");
    assert_eq!(client.response("POST").status, 408);
    assert!(client.is_closed());
    server.wait_for_log("The client is too slow (408)");
}

#[test]
fn an_idle_connection_is_closed_and_one_that_sends_is_not() {
    let server = builder().args(["--keep-alive", "2"]).start();
    let mut client = server.connect();
    assert_eq!(client.get("/").text(), "hello");
    client.send("GET / HTTP/1.1\r\n");
    thread::sleep(Duration::from_secs(3));
    client.send("\r\n");
    assert_eq!(client.response("GET").text(), "hello", "a request that has begun has the time of a head");
    assert!(client.read_all().is_empty(), "closed without a word");
    let server = builder().args(["--keep-alive", "0"]).start();
    let mut client = server.connect();
    assert_eq!(client.get("/").field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn connections_beyond_the_limit_wait_or_are_sent_away() {
    let server = builder().args(["--worker-connections", "1"]).start();
    let mut first = server.connect();
    first.send("GET / HTTP/1.1\r\n");
    let mut second = server.connect();
    second.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(!second.has_come());
    first.send("\r\n");
    let answer = first.response("GET");
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("hello", Some("close")), "others wait");
    assert_eq!(second.response("GET").text(), "hello", "and then the second");

    let server = builder().args(["--worker-connections", "2", "--keep-alive", "60"]).start();
    let mut kept = server.connect();
    assert_eq!(kept.get("/").field("connection"), Some("keep-alive"));
    for _ in 0..3 {
        let mut client = server.connect();
        assert_eq!(client.get("/").field("connection"), Some("close"), "the last place is not kept by who is idle");
    }
    assert_eq!(kept.get("/").text(), "hello");

    let several = ["--worker-connections", "1", "--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0"];
    let server = builder().args(several).without_bind().start();
    for address in server.addresses().iter().chain(server.addresses()) {
        let mut client = server.connect_to(address);
        client.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response("GET").text(), "hello", "a listener keeps no place from another");
    }

    let server = builder().args(["--worker-connections", "1", "--backlog-timeout", "1", "--keep-alive", "60"]).start();
    let mut first = server.connect();
    first.send("GET / HTTP/1.1\r\n");
    let mut second = server.connect();
    assert_eq!(second.response("GET").status, 503);
    assert!(second.is_closed());
}

#[test]
fn connections_leave_open_files_to_the_app() {
    let app = "
def app(environ, start_response):
    with open(__file__) as file:
        start_response('200 OK', [])
        return [file.read(6).encode()]
";
    let server = Server::of(app).args(["app:app"]).under(["prlimit", "--nofile=200:200"]).start();
    let mut client = server.connect();
    assert_eq!(client.get("/").text(), "\ndef a");
    let idle: Vec<_> = (0..250).map(|_| server.connect()).collect();
    server.wait_for_log("There are as many connections as a worker may have with 200 open files (ulimit -n)");
    assert_eq!(client.get("/").text(), "\ndef a");
    drop(idle);
    assert_eq!(server.connect().get("/").text(), "\ndef a");
    assert!(!server.stderr().contains("Cannot accept"), "{}", server.stderr());
}

#[test]
fn connections_that_wait_for_a_place_leave_open_files_to_the_app() {
    let app = "
def app(environ, start_response):
    with open(__file__) as file:
        start_response('200 OK', [])
        return [file.read(6).encode()]
";
    let args = ["app:app", "--worker-connections", "20", "--backlog-timeout", "600", "--keep-alive", "600"];
    let server = Server::of(app).args(args).under(["prlimit", "--nofile=200:200"]).start();
    let mut client = server.connect();
    assert_eq!(client.get("/").text(), "\ndef a");
    let idle: Vec<_> = (0..250).map(|_| server.connect()).collect();
    let worker = server.worker();
    assert!(process::holds(|| process::descriptors(worker) >= 150), "{} have come", process::descriptors(worker));
    assert_eq!(client.get("/").text(), "\ndef a");
    drop(idle);
    assert_eq!(server.connect().get("/").text(), "\ndef a");
    assert!(!server.stderr().contains("Cannot accept"), "{}", server.stderr());
}

#[test]
fn a_client_that_sends_what_is_refused_gets_to_see_the_answer() {
    let server = builder().args(["--limit-request-body", "10"]).start();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    // For longer than a silent one would be waited for.
    for _ in 0..30 {
        client.try_send([0; 10_000]).expect("the connection stands");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.response("POST").status, 413);
}

#[test]
fn a_line_in_the_access_log_does_not_wait_for_what_the_app_leaves_unread() {
    let logged = ["--no-buffering", "--access-logfile", "-", "--access-logformat", "%(m)s %(s)s"];
    let server = builder().args(logged).start();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n0123456789");
    assert_eq!(client.response("POST").text(), "hello");
    server.wait_for_output("POST 200\n");
    client.send(vec![b'x'; 99_990]);
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn a_time_may_be_as_long_as_a_number() {
    let longest = i64::MAX.to_string();
    let options = ["--request-timeout", "--keep-alive", "--write-timeout", "--header-timeout", "--timeout"];
    let args = options.iter().flat_map(|option| [*option, longest.as_str()]);
    let server = builder().args(args).start();
    let mut client = server.connect();
    assert_eq!((client.get("/").status, client.get("/").status), (200, 200));
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

#[test]
fn only_a_proxy_may_say_where_a_request_came_from() {
    let forwarded = "X-Forwarded-Proto: https\r\nSCRIPT_NAME: /shop\r\nX_Other: 1\r\n";
    let server = builder().start();
    let mut client = server.connect();
    client.send(format!("GET /shop/view HTTP/1.1\r\n{forwarded}\r\n"));
    let trusted = client.response("GET").text();
    for line in ["wsgi.url_scheme=https", "SCRIPT_NAME=/shop", "PATH_INFO=/view"] {
        assert!(trusted.lines().any(|found| found == line), "{line} in\n{trusted}");
    }
    assert!(!trusted.contains("X_OTHER"), "{trusted}");
    let stranger = view(&builder().args(["--forwarded-allow-ips", "192.0.2.0/24"]).start(), forwarded);
    assert!(stranger.contains("wsgi.url_scheme=http\n") || stranger.ends_with("wsgi.url_scheme=http"), "{stranger}");
    assert!(!stranger.contains("HTTP_SCRIPT_NAME"), "{stranger}");
    let server = builder().start();
    let contradiction = "GET /view HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n";
    assert_eq!(status(&server, contradiction), 400);
}

#[test]
fn names_with_underscores_are_dropped_refused_or_let_through() {
    let with = |way| builder().args(["--header-map", way]).start();
    assert!(!view(&with("drop"), "X_A: 1\r\n").contains("HTTP_X_A"));
    assert!(view(&with("dangerous"), "X_A: 1\r\nX-A: 2\r\n").contains("HTTP_X_A=1,2"));
    assert_eq!(status(&with("refuse"), "GET /view HTTP/1.1\r\nX_A: 1\r\n\r\n"), 400);
}

#[test]
fn what_is_unconventional_passes_where_it_is_permitted() {
    let folded = "GET /view HTTP/1.1\r\nX-A: a\r\n  b\r\nX-B : c\r\n\r\n";
    let methods = ["x", "get", "A234567890123456789012345"].map(|method| format!("{method} / HTTP/1.1\r\n\r\n"));
    let server = builder().start();
    for request in methods.iter().map(String::as_str).chain([folded, "GET / HTTP/2.0\r\n\r\n"]) {
        assert_eq!(status(&server, request), 400, "{request}");
    }
    let permits = [
        "--permit-obsolete-folding",
        "--strip-header-spaces",
        "--permit-unconventional-http-method",
        "--permit-unconventional-http-version",
    ];
    let server = builder().args(permits).start();
    for request in methods.iter().map(String::as_str).chain(["GET / HTTP/2.0\r\n\r\n"]) {
        assert_eq!(status(&server, request), 200, "{request}");
    }
    let mut client = server.connect();
    let seen = client.send(folded).response("GET").text();
    assert!(seen.contains("HTTP_X_A=a b\n") && seen.contains("HTTP_X_B=c\n"), "{seen}");
    // A value may go over lines, not the name in front of it.
    for field in ["Content-Length\r\n : 5", "Transfer-Encoding\r\n\t: chunked", "X\r\n -A: b"] {
        assert_eq!(status(&server, format!("POST /view HTTP/1.1\r\nX-A: a\r\n{field}\r\n\r\n")), 400, "{field}");
    }
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let text = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n".to_vec();
    let binary =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 1, 0xbb]].concat();
    let request = b"GET /view HTTP/1.1\r\n\r\n";
    let server = builder().args(["--proxy-protocol", "--access-logfile", "-"]).start();
    for header in [&text, &binary] {
        let mut client = server.connect();
        for byte in header.iter().chain(request) {
            client.send([*byte]);
        }
        let seen = client.response("GET").text();
        for line in [
            "REMOTE_ADDR=192.0.2.1",
            "REMOTE_PORT=4711",
            "PROXY_ADDR=192.0.2.2",
            "PROXY_PORT=443",
            "PROXY_PROTOCOL=TCP4",
        ] {
            assert!(seen.lines().any(|found| found == line), "{line} in\n{seen}");
        }
        let again = client.send(request).response("GET").text();
        assert!(again.contains("REMOTE_ADDR=192.0.2.1"), "a connection begins once: {again}");
    }
    assert!(view(&server, "").contains("REMOTE_ADDR=127.0.0.1"), "without a header the peer is the client");
    server.wait_for_output("192.0.2.1 - - ");
    assert_eq!(status(&server, b"PROXY TCP4 nonsense\r\nGET / HTTP/1.1\r\n\r\n"), 400);
    let strict = builder().args(["--proxy-protocol", "v1", "--proxy-allow-from", "192.0.2.9"]).start();
    assert_eq!(status(&strict, [text.as_slice(), request].concat()), 403);
    assert_eq!(status(&builder().start(), [text.as_slice(), request].concat()), 400, "off, as by default");
}

/// The one app thread is free although clients are in the middle of their requests and answers.
#[test]
fn slow_clients_hold_no_app_thread() {
    let server = builder().start();
    let mut uploads: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut uploads {
        client.send("POST /size HTTP/1.1\r\nContent-Length: 300000\r\n\r\n").send(vec![0; 200_000]);
    }
    let mut downloads: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut downloads {
        client.send("GET /pieces HTTP/1.1\r\nConnection: close\r\n\r\n");
    }
    server.wait_for_output(&"all pieces are made\n".repeat(3));
    assert_eq!(server.connect().get("/").text(), "hello");
    for client in &mut uploads {
        client.send(vec![0; 100_000]);
        assert_eq!(client.response("POST").text(), "300000");
    }
    for client in &mut downloads {
        assert_eq!(client.response("GET").body.len(), 10_000_000);
    }
}

#[test]
fn an_answer_that_is_not_to_be_buffered_is_not() {
    for (args, query) in [(&[][..], "no"), (&["--no-buffering"], "")] {
        let server = builder().args(args.iter().copied()).args(["--threads", "2"]).start();
        let mut client = server.connect();
        client.send(format!("GET /pieces?{query} HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert_eq!(server.connect().get("/").text(), "hello");
        assert!(!server.stdout().contains("all pieces are made"), "10 MB fit into no socket: the app waits");
        assert_eq!(client.response("GET").body.len(), 10_000_000);
        server.wait_for_output("all pieces are made");
    }
}

#[test]
fn large_answers_wait_in_files_without_names() {
    let server = builder().args(["--write-timeout", "0"]).start();
    let worker = server.worker();
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /large HTTP/1.1\r\nConnection: close\r\n\r\n");
    }
    // 200 MB of answers: each is put into a file when its client has taken nothing for a second.
    let files = || process::files_without_names(worker);
    assert!(process::holds(|| files() == clients.len()), "every answer is in a file");
    assert_eq!(server.connect().get("/").text(), "hello");
    for client in &mut clients {
        assert_eq!(client.response("GET").body.len(), 10_000_000);
    }
    assert!(process::holds(|| files() == 0), "no file is left");
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let server = builder().args(["--write-timeout", "5"]).start();
    let mut client = server.connect();
    client.send("GET /large HTTP/1.1\r\nConnection: close\r\n\r\n");
    let worker = server.worker();
    // It does from the first second to the fifth.
    assert!(process::holds(|| process::files_without_names(worker) == 1), "the answer waits");
    assert!(process::holds(|| process::files_without_names(worker) == 0), "the answer is given up");
    assert!(!client.response("GET").whole);
}

/// What it takes is far less at any time than what its system has to take before the server's takes more.
#[test]
fn a_client_that_takes_little_at_a_time_is_not_cut_off() {
    let server = builder().args(["--write-timeout", "3"]).start();
    let mut stream = TcpStream::connect(server.address()).expect("the server answers");
    SockRef::from(&stream).set_recv_buffer_size(64 << 10).expect("an option of the socket");
    stream.write_all(b"GET /large HTTP/1.1\r\nConnection: close\r\n\r\n").expect("the server reads");
    let (mut all, mut piece) = (Vec::new(), [0; 16 << 10]);
    for _ in 0..30 {
        let size = stream.read(&mut piece).expect("it comes");
        all.extend_from_slice(&piece[..size]);
        thread::sleep(Duration::from_millis(200));
    }
    stream.read_to_end(&mut all).expect("it comes");
    assert!(all.len() > 10_000_000, "{} bytes", all.len());
}

#[test]
fn files_go_out_from_where_they_are_to_be_read() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut packed = Vec::new();
    let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
    encoder.write_all(&content).expect("into memory");
    encoder.finish().expect("into memory");
    for args in [&[][..], &["--no-sendfile"]] {
        let server = builder().args(args.iter().copied()).start();
        std::fs::write(server.directory().join("file"), &content).expect("written");
        std::fs::write(server.directory().join("file.gz"), &packed).expect("written");
        let mut client = server.connect();
        assert!(client.get("/file?0,").body == content, "{args:?}");
        assert!(client.get("/file?1000000,").body == content[1_000_000..], "{args:?}");
        assert!(client.get("/file?5,7").body == content[5..12], "{args:?}");
        assert!(client.get("/file?3000000,").body.is_empty(), "{args:?}");
        assert!(client.get("/gzip").body == content, "what is read is not what is in the file");
        let head = client.send("HEAD /file?0, HTTP/1.1\r\n\r\n").response("HEAD");
        assert_eq!(head.field("content-length").unwrap_or("3000000"), "3000000");
        assert_eq!(client.get("/").text(), "hello", "the connection goes on");
        assert!(!server.connect().get("/file?2999990,20").whole, "a file that is too short is not taken for the whole");
    }
}

#[test]
fn early_hints_come_before_the_answer() {
    let server = builder().start();
    let mut client = server.connect();
    client.send("GET /hints HTTP/1.1\r\nConnection: close\r\n\r\n");
    let all = String::from_utf8(client.read_all()).expect("text");
    let (hints, rest) = all.split_once("HTTP/1.1 200 OK").expect("an answer");
    let expected = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
                    HTTP/1.1 103 Early Hints\r\nlink: </b.js>\r\n\r\n";
    assert_eq!(hints, expected);
    assert!(rest.ends_with("refused"), "{rest}");
    let mut old = server.connect();
    old.send("GET /hints HTTP/1.0\r\n\r\n");
    assert_eq!(old.response("GET").text(), "refused", "a client of HTTP/1.0 knows no interim answers, and gets none");
}

#[test]
fn a_request_has_a_deadline_and_its_worker_lives_on() {
    let server = builder().args(["--request-timeout", "3"]).start();
    let worker = server.worker();
    let mut client = server.connect();
    assert_eq!(client.get("/stuck").status, 503);
    assert!(client.is_closed());
    server.wait_for_output("RequestTimeout\n");
    server.wait_for_log("REQUEST TIMEOUT (pid:");
    server.wait_for_log("in app");
    let mut client = server.connect();
    client.send("GET /stuck-in-the-middle HTTP/1.1\r\n\r\n");
    let begun = client.response("GET");
    assert!(begun.status == 200 && !begun.whole, "an answer that has begun is cut");
    for _ in 0..20 {
        assert_eq!(server.connect().get("/").text(), "hello");
    }
    assert_eq!(server.worker(), worker);
    assert!(!server.stdout().contains("an Exception"));
}

/// Telling where a request is takes Python's time, the first time most of all, and the request may end meanwhile.
#[test]
fn a_request_that_ends_while_it_is_told_where_it_is_costs_the_next_one_nothing() {
    let app = "
import sys, time
def app(environ, start_response):
    begun = time.monotonic()
    if environ['PATH_INFO'] == '/late':
        while 'traceback' not in sys.modules and time.monotonic() < begun + 30:
            pass
    while environ['PATH_INFO'] == '/next' and time.monotonic() < begun + 1.5:
        pass
    start_response('200 OK', [])
    return [b'done']
";
    let server = Server::of(app).args(["app:app", "--request-timeout", "8"]).start();
    assert_eq!(server.connect().get("/").text(), "done");
    let (mut late, mut next) = (server.connect(), server.connect());
    late.send("GET /late HTTP/1.1\r\nHost: test\r\n\r\n");
    // It has its own eight seconds, and is to wait for the app when those of the first are over.
    thread::sleep(Duration::from_secs(6));
    next.send("GET /next HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(late.response("GET").status, 503);
    assert_eq!(next.response("GET").text(), "done", "{}", server.stderr());
}

#[test]
fn whatever_an_app_raises_costs_its_request_and_no_more() {
    let server = builder().start();
    let worker = server.worker();
    for what in ["exit", "interrupt", "generator"] {
        assert_eq!(server.connect().get(&format!("/exit?{what}")).status, 500, "{what}");
        assert_eq!(server.connect().get("/").text(), "hello", "{what}");
    }
    assert_eq!(server.worker(), worker);
}
