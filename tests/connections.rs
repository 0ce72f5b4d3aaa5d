//! Connections and app threads have separate lives: who waits, who does not, and what it costs in memory.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{Client, Server, process};

/// Blocks in `/wait` until `/go` is called. No clock is involved.
const WAITS: &str = "
import os, threading
go = threading.Event()
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/wait':
        os.write(1, b'waiting\\n')
        go.wait()
    elif path == '/go':
        go.set()
    start_response('200 OK', [])
    return [path.encode()]
";

fn ask(client: &mut Client, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

#[test]
fn three_requests_that_wait_do_not_hold_up_a_fourth_on_any_connection() {
    let server = Server::of(WAITS).args(["app:app", "--threads", "4"]).start();
    let mut kept = server.connect();
    assert_eq!(kept.get("/before").text(), "/before");
    let mut waiting = [server.connect(), server.connect(), server.connect()];
    for client in &mut waiting {
        ask(client, "/wait");
    }
    server.wait_for_output(&"waiting\n".repeat(3));
    assert_eq!(kept.get("/kept").text(), "/kept");
    assert_eq!(server.connect().get("/new").text(), "/new");
    ask(&mut kept, "/one");
    ask(&mut kept, "/two");
    assert_eq!((kept.response("GET").text(), kept.response("GET").text()), ("/one".into(), "/two".into()));
    assert_eq!(server.connect().get("/go").text(), "/go");
    for client in &mut waiting {
        assert_eq!(client.response("GET").text(), "/wait");
    }
}

#[test]
fn a_request_that_finds_no_thread_free_is_answered_when_one_is() {
    let app = "
import os, time
def app(environ, start_response):
    os.write(1, b'waiting\\n')
    while not os.path.exists('go'):
        time.sleep(0.005)
    start_response('200 OK', [])
    return [environ['PATH_INFO'].encode()]
";
    let server = Server::of(app).args(["app:app", "--threads", "2"]).start();
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        ask(client, "/wait");
    }
    server.wait_for_output(&"waiting\n".repeat(2));
    assert_eq!(server.stdout(), "waiting\n".repeat(2), "no more than two at a time");
    std::fs::write(server.directory().join("go"), "").expect("the file can be written");
    for client in &mut clients {
        assert_eq!(client.response("GET").text(), "/wait");
    }
}

#[test]
fn with_one_thread_the_app_runs_on_the_main_thread() {
    let app = "
import threading
def app(environ, start_response):
    start_response('200 OK', [])
    return [threading.current_thread().name.encode()]
";
    let server = Server::of(app).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").text(), "MainThread");
}

/// A descriptor for each of many connections, here and in the servers that are started from here.
fn many_descriptors() {
    let pid = std::process::id().to_string();
    let limits = Command::new("prlimit").args(["--pid", &pid, "--nofile=8192:"]).output().expect("prlimit is there");
    assert!(limits.status.success(), "{}", String::from_utf8_lossy(&limits.stderr));
}

#[test]
fn idle_and_slow_clients_cost_no_thread_and_do_not_delay_a_fast_one() {
    many_descriptors();
    let app = "
def app(environ, start_response):
    body = environ['wsgi.input'].read()
    start_response('200 OK', [])
    return [body or b'hello']
";
    // However long a busy machine takes for all of them: nobody is sent away for being slow.
    let patient = ["--keep-alive", "600", "--header-timeout", "0", "--body-min-rate", "0"];
    let server = Server::of(app).args(["app:app", "--threads", "1"]).args(patient).start();
    let mut fast = server.connect();
    assert_eq!(fast.get("/").text(), "hello");
    let (threads, memory) = (process::threads(server.worker()), process::resident_kib(server.worker()));

    let mut idle: Vec<Client> = (0..1000).map(|_| server.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").text(), "hello");
    }
    let grown = process::resident_kib(server.worker()).saturating_sub(memory);
    assert!(grown < 1000 * 8, "{grown} KiB for a thousand connections");
    let head = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut slow_heads: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    let body = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 30\r\n\r\n";
    let mut slow_bodies: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for client in &mut slow_bodies {
        client.send(body);
    }
    // A byte of each, and then a whole request of the fast client: it is answered each time, with one app thread.
    for byte in head {
        for client in &mut slow_heads {
            client.send([*byte]);
        }
        for client in &mut slow_bodies {
            client.send("x");
        }
        assert_eq!(fast.get("/").text(), "hello");
        assert_eq!(server.connect().get("/").text(), "hello");
        assert_eq!(process::threads(server.worker()), threads, "no connection has a thread of its own");
    }
    for client in &mut slow_bodies {
        assert_eq!(client.response("POST").text(), "x".repeat(30));
    }
    for client in &mut slow_heads {
        assert_eq!(client.response("GET").text(), "hello");
    }
    for client in &mut idle {
        assert_eq!(client.get("/").text(), "hello", "an idle connection is still there");
    }
}

/// Size of what is sent up and down, and what memory may grow by, as the issue says.
const LARGE: usize = 200 << 20;
const ALLOWED_KIB: u64 = 32 << 10;

const LARGE_APP: &str = "
import os, time
def app(environ, start_response):
    path = environ['PATH_INFO']
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if path == '/read':
        size = 0
        while piece := environ['wsgi.input'].read(65536):
            size += len(piece)
        return [b'%d' % size]
    if path == '/lines':
        return [b'%d' % sum(len(line) for line in environ['wsgi.input'])]
    if path == '/generate':
        return generate(environ['QUERY_STRING'])
    return [b'ignored' if path == '/ignore' else b'hello']
def generate(gone):
    sent = 0
    try:
        for _ in range(200):
            yield b'x' * (1 << 20)
            sent += 1
            # Not all of it before the client has gone away.
            while gone and sent == 2 and not os.path.exists(gone):
                time.sleep(0.005)
            if gone:
                time.sleep(0.01)
    finally:
        print('ended after', sent, flush=True)
";

/// Does something while the server's memory is watched, and returns by how much it grew at most, in KiB.
fn growth(server: &Server, work: impl FnOnce()) -> u64 {
    let idle = process::resident_kib(server.worker());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = idle;
            while !done.load(Ordering::Relaxed) {
                most = most.max(process::resident_kib(server.worker()));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            most
        });
        work();
        done.store(true, Ordering::Relaxed);
        watch.join().expect("watching does not fail") - idle
    })
}

fn large_server() -> Server {
    large_server_with(&[])
}

fn large_server_with(args: &[&str]) -> Server {
    let server = Server::of(LARGE_APP).args(["app:app"]).args(args.iter().copied()).start();
    for _ in 0..10 {
        assert_eq!(server.connect().get("/").text(), "hello");
    }
    server
}

fn upload(server: &Server, path: &str, chunked: bool) -> String {
    let mut client = server.connect();
    let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {LARGE}") };
    client.send(format!("POST {path} HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n"));
    let mut piece = vec![b'a'; 1 << 20];
    piece.iter_mut().step_by(1000).for_each(|byte| *byte = b'\n');
    for _ in 0..LARGE >> 20 {
        if chunked {
            client.send("100000\r\n").send(&piece).send("\r\n");
        } else {
            client.send(&piece);
        }
    }
    if chunked {
        client.send("0\r\n\r\n");
    }
    let answer = client.response("POST").text();
    assert_eq!(client.get("/").text(), "hello", "the connection goes on");
    answer
}

#[test]
fn a_large_upload_that_the_app_discards_needs_little_memory() {
    let server = large_server();
    for (path, chunked) in [("/read", false), ("/read", true), ("/lines", false)] {
        let grown = growth(&server, || assert_eq!(upload(&server, path, chunked), LARGE.to_string()));
        assert!(grown < ALLOWED_KIB, "{path} {chunked}: {grown} KiB");
    }
}

#[test]
fn a_large_upload_that_the_app_ignores_needs_little_memory() {
    let server = large_server();
    let grown = growth(&server, || assert_eq!(upload(&server, "/ignore", false), "ignored"));
    assert!(grown < ALLOWED_KIB, "{grown} KiB");
}

#[test]
fn a_large_answer_to_a_slow_client_needs_little_memory() {
    let server = large_server();
    let grown = growth(&server, || {
        let mut stream = TcpStream::connect(server.address()).expect("the server answers");
        stream.write_all(b"GET /generate HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
        let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
        loop {
            let size = stream.read(&mut buffer).expect("it comes");
            if size == 0 {
                break;
            }
            // Slower than the app is, and still the whole of it.
            if total / (4 << 20) != (total + size) / (4 << 20) {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            total += size;
        }
        assert!(total > LARGE, "{total}");
    });
    server.wait_for_output("ended after 200\n");
    assert!(grown < ALLOWED_KIB, "{grown} KiB");
}

/// Of all of them together only so much waits in memory, from the first moment on.
#[test]
fn many_whole_answers_to_clients_that_do_not_read_need_little_memory() {
    let app = "
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'x' * int(environ['QUERY_STRING'])]
";
    for threads in ["1", "4"] {
        // However long the others take, none is cut off.
        let server = Server::of(app).args(["app:app", "--threads", threads, "--write-timeout", "0"]).start();
        assert_eq!(server.connect().get("/?5").text(), "xxxxx");
        let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
        let grown = growth(&server, || {
            for client in &mut clients {
                ask(client, "/?10000000");
            }
            for client in &mut clients {
                assert!(process::holds(|| client.has_come()), "its answer begins");
            }
        });
        // 256 MiB, and what the app makes meanwhile.
        assert!(grown < 352 << 10, "{grown} KiB");
        for client in &mut clients {
            let response = client.response("GET");
            assert!(response.whole && response.body.len() == 10_000_000);
        }
    }
}

/// What the app keeps is in memory in any case, however many wait for it.
#[test]
fn an_answer_that_the_app_gives_to_many_clients_waits_in_memory_once() {
    // Two are more than may wait, whatever memory there is.
    let app = "
KEPT = b'x' * 140_000_000
def app(environ, start_response):
    start_response('200 OK', [])
    return [KEPT if environ['QUERY_STRING'] == 'kept' else bytes(bytearray(KEPT))]
";
    let server = Server::of(app).args(["app:app", "--write-timeout", "0"]).start();
    let files = |query: &str| {
        let mut clients = [server.connect(), server.connect()];
        for client in &mut clients {
            ask(client, &format!("/?{query}"));
            assert!(process::holds(|| client.has_come()), "its answer begins");
        }
        let files = process::files_without_names(server.worker());
        for client in &mut clients {
            let response = client.response("GET");
            assert!(response.whole && response.body.len() == 140_000_000);
        }
        files
    };
    assert!(files("made") > 0, "the second waits in a file");
    // On a busy machine the first may have waited for a second, which puts it into one.
    assert!((0..10).any(|_| files("kept") == 0), "there is no room for the second");
}

/// A body that comes at once is handed on from memory; one whose client is slow does not stay there.
#[test]
fn a_large_upload_waits_in_a_file_only_where_its_client_is_slow() {
    let app = "
import os
def app(environ, start_response):
    names = [os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if os.path.lexists(f'/proc/self/fd/{fd}')]
    files = sum(name.startswith('/tmp') and name.endswith(' (deleted)') for name in names)
    start_response('200 OK', [])
    return [b'%d %d' % (files, len(environ['wsgi.input'].read()))]
";
    let server = Server::of(app).args(["app:app"]).start();
    let files = || process::files_without_names(server.worker());
    let (size, piece) = (4 << 20, vec![b'x'; 2 << 20]);
    let head = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n");
    let mut client = server.connect();
    // On a busy machine a second may pass between the pieces, which makes it a slow client.
    assert!((0..5).any(|_| {
        client.send(&head).send(&piece).send(&piece);
        client.response("POST").text() == format!("0 {size}")
    }));
    client.send(&head).send(&piece);
    assert!(process::holds(|| files() == 1), "it waits in a file");
    client.send(&piece);
    assert_eq!(client.response("POST").text(), format!("1 {size}"));
    assert!(process::holds(|| files() == 0), "the file is gone");
}

#[test]
fn the_memory_of_many_connections_goes_with_them() {
    let app = "
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'x' * int(environ['QUERY_STRING'])]
";
    let server = Server::of(app).args(["app:app", "--threads", "4", "--write-timeout", "0"]).start();
    assert_eq!(server.connect().get("/?5").text(), "xxxxx");
    let before = process::resident_kib(server.worker());
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        ask(client, "/?2000000");
    }
    for client in &mut clients {
        assert!(process::holds(|| client.has_come()), "its answer begins");
    }
    let falls = |mib: u64| {
        let fallen = process::holds(|| process::resident_kib(server.worker()) < before + (mib << 10));
        assert!(fallen, "{before} KiB at first, and {} later", process::resident_kib(server.worker()));
    };
    // What they do not take waits in files.
    falls(32);
    drop(clients);
    falls(16);
}

#[test]
fn an_app_is_not_ahead_of_a_client_that_does_not_read_where_nothing_is_buffered() {
    let server = large_server_with(&["--no-buffering"]);
    let mut client = server.connect();
    let grown = growth(&server, || {
        ask(&mut client, "/generate");
        client.read_some().expect("it begins");
        // What the sockets hold is the kernel's; the app stands still once they are full.
        let mut before = None;
        let still = process::holds(|| {
            let now = cpu_time(server.worker());
            std::thread::sleep(std::time::Duration::from_millis(50));
            before.replace(now) == Some(now)
        });
        assert!(still, "the server never stands still");
    });
    assert!(grown < ALLOWED_KIB, "{grown} KiB");
    assert_eq!(server.stdout(), "");
    drop(client);
    server.wait_for_output("ended after ");
    let sent: usize =
        server.stdout().trim().rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    assert!(sent < 100, "{sent} of 200 MiB went to a client that read nothing");
}

/// User and system time of a process, in ticks.
fn cpu_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
}

/// An answer that nobody waits for any more when it begins, and that never ends by itself.
pub const LEFT: &str = "
import time
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/ok':
        start_response('200 OK', [])
        return [b'ok']
    for number in range(80 if environ['QUERY_STRING'] else 8):
        if path == '/hint':
            environ['wsgi.early_hints']([('Link', '</a>')])
        time.sleep(0.05)
    start_response('200 OK', [('X-Accel-Buffering', 'no')])
    return endless()
def endless():
    try:
        while True:
            yield b'x' * 30_000
    finally:
        print('closed', flush=True)
";

#[test]
fn a_client_that_goes_away_before_its_answer_begins_costs_no_thread() {
    for threads in ["1", "2"] {
        let server = Server::of(LEFT).args(["app:app", "--threads", threads]).start();
        for (number, path) in ["/hint", "/late"].iter().enumerate() {
            for _ in 0..4 {
                let mut client = server.connect();
                client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
                std::thread::sleep(std::time::Duration::from_millis(60));
                // What it has not read makes it a reset.
                drop(client);
            }
            assert_eq!(server.connect().get("/ok").text(), "ok", "{path} with {threads} threads");
            server.wait_for_output(&"closed\n".repeat(4 * (number + 1)));
        }
    }
}

#[test]
fn a_client_that_goes_away_before_its_answer_begins_has_a_line_in_the_log() {
    let server = Server::of(LEFT).args(["app:app", "--access-logfile", "access.log"]).start();
    let mut client = server.connect();
    client.send("GET /hint?long HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(!client.read_some().expect("the hint comes").is_empty());
    drop(client);
    server.wait_for_output("closed\n");
    let line = process::until(|| {
        let log = std::fs::read_to_string(server.directory().join("access.log")).unwrap_or_default();
        log.ends_with('\n').then_some(log)
    });
    let line = line.expect("a line");
    assert!(line.contains("\"GET /hint?long HTTP/1.1\" 499 0 "), "{line}");
}

#[test]
fn a_client_that_goes_away_ends_what_is_sent_to_it() {
    let server = large_server();
    let mut stream = TcpStream::connect(server.address()).expect("the server answers");
    stream.write_all(b"GET /generate?gone HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
    stream.read_exact(&mut vec![0; 1 << 20]).expect("it begins");
    stream.shutdown(Shutdown::Both).expect("the connection is open");
    drop(stream);
    std::fs::write(server.directory().join("gone"), "").expect("the file can be written");
    server.wait_for_output("ended after ");
    assert!(!server.stdout().contains("ended after 200"), "{}", server.stdout());
    assert_eq!(server.connect().get("/").text(), "hello", "and the one thread is free again");
}
