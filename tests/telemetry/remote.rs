//! Logs and metrics that go elsewhere: syslog and statsd, at sockets that the tests listen on.

use std::{
    io::{BufRead as _, BufReader},
    net::{TcpListener, UdpSocket},
    os::unix::net::UnixDatagram,
    time::Instant,
};

use regex::Regex;

use super::{APP, started};
use crate::support::{Client, Server, process, server::LIMIT};

/// Looks at what a server sends to syslog at an address for two requests, as `receive` gets it.
fn check_syslog(address: &str, mut receive: impl FnMut() -> String) {
    let args = ["--log-syslog", "--log-syslog-facility", "daemon", "--log-syslog-to", address];
    let (mut server, mut client) = started(Server::of(APP).args(args));
    assert_eq!(client.get("/missing").status, 404);
    assert_eq!(client.get("/error").status, 500);
    let mut lines = String::new();
    while !(lines.contains("GET /error HTTP/1.1\" 500") && lines.contains("ValueError")) {
        lines.push_str(&receive());
    }
    server.stop();
    for pattern in [
        r"<30>gunicorn\.app\.app\.error: \[\d+\] Listening at: .*\x00",
        r"<30>gunicorn\.app\.app\.error: \[\d+\] Booting worker with pid: \d+\x00",
        "<30>gunicorn\\.app\\.app\\.access: \\[\\d+\\] - - - \\[.*\\] \"GET /missing HTTP/1\\.1\" 404 5 \"-\" \"-\"\\x00",
        r"<27>gunicorn\.app\.app\.error: \[\d+\] Error handling request GET /error\nTraceback",
    ] {
        assert!(Regex::new(pattern).expect("valid").is_match(&lines), "{pattern} is in {lines:?}");
    }
}

#[test]
fn syslog_has_both_logs_whichever_way_it_is_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let mut buffer = vec![0; 64 << 10];

    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("an option");
    check_syslog(&format!("unix://{}#dgram", path.display()), || {
        let size = socket.recv(&mut buffer).expect("a line");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    });

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("an option");
    let address = format!("udp://{}", socket.local_addr().expect("an address"));
    check_syslog(&address, || {
        let size = socket.recv(&mut buffer).expect("a line");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    });

    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = format!("tcp://{}", listener.local_addr().expect("an address"));
    let (sender, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            // Each of the server's processes has a connection, and each log.
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut line = Vec::new();
                while reader.read_until(0, &mut line).is_ok_and(|size| size > 0) {
                    let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                    line.clear();
                }
            });
        }
    });
    check_syslog(&address, || received.recv_timeout(LIMIT).expect("a line"));
}

#[test]
fn the_access_log_can_be_kept_out_of_syslog() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = UnixDatagram::bind(folder.path().join("log")).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("an option");
    let address = format!("unix://{}/log", folder.path().display());
    let args = ["--log-syslog", "--log-syslog-to", &address, "--log-syslog-prefix", "shop"];
    let (mut server, mut client) = started(Server::of(APP).args(args).args(["--disable-redirect-access-to-syslog"]));
    assert_eq!(client.get("/").status, 200);
    server.signal("TERM");
    let (mut lines, mut buffer) = (String::new(), vec![0; 64 << 10]);
    while !lines.contains("Shutting down: Master") {
        let size = socket.recv(&mut buffer).expect("a line");
        lines.push_str(&String::from_utf8_lossy(&buffer[..size]));
    }
    server.wait();
    assert!(lines.contains("<14>gunicorn.shop.error: [") && !lines.contains("gunicorn.shop.access"), "{lines:?}");
}

#[test]
fn a_syslog_that_is_away_or_stuck_holds_nothing_up() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nobody reads from this one, and its queue is short.
    let _stuck = UnixDatagram::bind(folder.path().join("stuck")).expect("a socket");
    for name in ["stuck", "away"] {
        let address = format!("unix://{}/{name}", folder.path().display());
        let args = ["--log-syslog", "--log-syslog-to", &address, "--access-logfile", "access.log"];
        let (mut server, mut client) = started(Server::of(APP).args(args));
        let start = Instant::now();
        for _ in 0..500 {
            assert_eq!(client.get("/").status, 200);
        }
        // It would be 25 s were each line to wait as long as one may.
        assert!(start.elapsed() < LIMIT / 3, "{name}: {:?}", start.elapsed());
        let ended = server.stop();
        let log = std::fs::read_to_string(server.directory().join("access.log")).expect("it is there");
        assert_eq!(log.lines().count(), 500, "the other log has every line");
        assert!(ended.stderr.contains("to syslog: "), "{name} is said to fail: {}", ended.stderr);
    }
}

#[test]
fn statsd_has_gunicorns_metrics() {
    let listener = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    listener.set_read_timeout(Some(LIMIT)).expect("an option");
    let address = listener.local_addr().expect("an address").to_string();
    let args = ["--statsd-host", &address, "--statsd-prefix", "shop", "--dogstatsd-tags", "env:test"];
    let (mut server, mut client) = started(Server::of(APP).args(args).args(["--workers", "2"]));
    assert_eq!(client.get("/missing").status, 404);
    assert_eq!(client.get("/error").status, 500);
    let mut wanted: Vec<Regex> = [
        r"gunicorn\.workers:2\|g",
        r"gunicorn\.requests:1\|c\|@1\.0",
        r"gunicorn\.request\.duration:\d+\.\d+\|ms",
        r"gunicorn\.request\.status\.404:1\|c\|@1\.0",
        r"gunicorn\.request\.status\.500:1\|c\|@1\.0",
        r"gunicorn\.log\.exception:1\|c\|@1\.0",
    ]
    .iter()
    .map(|pattern| Regex::new(&format!(r"^shop\.{pattern}\|#env:test$")).expect("valid"))
    .collect();
    let mut buffer = [0; 1000];
    while !wanted.is_empty() {
        let size = listener.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}; still missing: {wanted:?}"));
        let metric = String::from_utf8_lossy(&buffer[..size]).into_owned();
        wanted.retain(|pattern| !pattern.is_match(&metric));
    }
    server.stop();
}

#[test]
fn statsd_is_told_how_many_connections_wait() {
    let app = "
import os, time
while not os.path.exists('go'):
    time.sleep(0.005)
def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '0')])
    return []
";
    let listener = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    listener.set_read_timeout(Some(LIMIT)).expect("an option");
    let address = listener.local_addr().expect("an address").to_string();
    let args = ["app:app", "--statsd-host", &address, "--enable-backlog-metric", "--bind", "unix:app.sock"];
    let mut server = Server::of(app).args(args).start();
    let tcp = server.addresses().iter().find(|address| !address.starts_with("unix:")).expect("one of TCP").clone();
    let until = |metric: &str| {
        let mut buffer = [0; 1000];
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != metric) {
            let size = listener.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}; there were {seen:?}"));
            seen.push(String::from_utf8_lossy(&buffer[..size]).into_owned());
        }
    };
    until("gunicorn.backlog:0|h");
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(&tcp)).collect();
    until("gunicorn.backlog:3|h");
    std::fs::write(server.directory().join("go"), "").expect("the file can be written");
    until("gunicorn.backlog:0|h");
    assert_eq!(clients.iter_mut().map(|client| client.get("/").status).collect::<Vec<_>>(), [200; 3]);
    server.stop();
}

#[test]
fn a_reload_turns_on_that_statsd_is_told_how_many_connections_wait() {
    let listener = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    listener.set_read_timeout(Some(LIMIT)).expect("an option");
    let conf = format!("statsd_host = '{}'\n", listener.local_addr().expect("an address"));
    let server = Server::of_files(&[("app.py", APP), ("gunicorn.conf.py", &conf)]);
    let (mut server, mut client) = started(server);
    assert_eq!(client.get("/missing").status, 404);
    let conf = format!("{conf}enable_backlog_metric = True\n");
    std::fs::write(server.directory().join("gunicorn.conf.py"), conf).expect("the file can be written");
    server.signal("HUP");
    let mut buffer = [0; 1000];
    let mut metric = String::new();
    while metric != "gunicorn.backlog:0|h" {
        let size = listener.recv(&mut buffer).expect("it is told");
        metric = String::from_utf8_lossy(&buffer[..size]).into_owned();
    }
    server.stop();
}

#[test]
fn syslog_has_what_keeps_a_worker_from_booting() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = UnixDatagram::bind(folder.path().join("log")).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("an option");
    let address = format!("unix://{}/log", folder.path().display());
    let ended =
        Server::of("def f():\n    1/0\nf()").args(["app:app", "--log-syslog", "--log-syslog-to", &address]).fail();
    assert_eq!(ended.status.code(), Some(3));
    let (mut lines, mut buffer) = (String::new(), vec![0; 64 << 10]);
    while !lines.contains("Reason: Worker failed to boot.") {
        let size = socket.recv(&mut buffer).expect("a line");
        lines.push_str(&String::from_utf8_lossy(&buffer[..size]));
    }
    assert!(lines.contains("Could not load app:app: ZeroDivisionError") && lines.contains("in f\n"), "{lines:?}");
}

#[test]
fn what_is_logged_is_counted_whatever_the_level_and_workers_as_gunicorn_does() {
    let conf = "
def post_fork(server, worker):
    server.log.warning('w')
    server.log.error('e')
    try:
        1/0
    except ZeroDivisionError:
        server.log.exception('x')
    server.log.log('nolevel', 'i')
    server.log.critical('done')
";
    let listener = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    listener.set_read_timeout(Some(LIMIT)).expect("an option");
    let address = listener.local_addr().expect("an address").to_string();
    let args = ["app:app", "--statsd-host", &address, "--log-level", "critical", "-w", "2"];
    let server = Server::of_files(&[("app.py", APP), ("gunicorn.conf.py", conf)]).args(args);
    let mut server = server.start_at_socket();
    let mut buffer = [0; 1000];
    let mut seen: Vec<String> = Vec::new();
    let mut until = |metric: &str, times: usize| {
        while seen.iter().filter(|seen| *seen == metric).count() < times {
            let size = listener.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}; there were {seen:?}"));
            seen.push(String::from_utf8_lossy(&buffer[..size]).into_owned());
        }
        seen.clone()
    };
    let counted = until("gunicorn.log.critical:1|c|@1.0", 2);
    for level in ["warning", "error", "exception"] {
        let metric = format!("gunicorn.log.{level}:1|c|@1.0");
        assert_eq!(counted.iter().filter(|seen| **seen == metric).count(), 2, "{metric} in {counted:?}");
    }
    // A reload, which has twice as many for a moment, changes nothing, nor does the end.
    until("gunicorn.workers:2|g", 1);
    server.signal("HUP");
    until("gunicorn.log.critical:1|c|@1.0", 4);
    assert!(process::holds(|| process::children(server.pid()).len() == 3), "the old ones are gone");
    server.stop();
    listener.set_nonblocking(true).expect("an option");
    while let Ok(size) = listener.recv(&mut buffer) {
        seen.push(String::from_utf8_lossy(&buffer[..size]).into_owned());
    }
    let workers: Vec<_> = seen.iter().filter(|seen| seen.starts_with("gunicorn.workers")).collect();
    assert_eq!(workers, ["gunicorn.workers:1|g", "gunicorn.workers:2|g"]);
}
