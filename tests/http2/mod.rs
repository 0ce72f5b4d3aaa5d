//! HTTP/2, with Python's h2 as the client.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use crate::support::{Builder, Client, Server, environment::venv, process, server::CERTIFICATE};

const APP: &str = "
import hashlib, os, time
CONTENT = bytes(range(251)) * 12_000
open('content', 'wb').write(CONTENT)
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path in ('/early', '/unread'):
        time.sleep(0.5 if path == '/unread' else 0)
        start_response('200 OK', [])
        return [b'not read']
    body = environ['wsgi.input'].read()
    if path[1:] in ('204', '304'):
        start_response(path[1:] + ' Fine', [])
        return []
    if path == '/raise':
        raise ValueError
    if path in ('/exit', '/interrupt'):
        raise SystemExit(3) if path == '/exit' else KeyboardInterrupt
    if path == '/hints':
        environ['wsgi.early_hints']([('Link', '</a.css>; rel=preload')])
    while path == '/wait' and not os.path.exists('go'):
        time.sleep(0.01)
    if path == '/stuck':
        while True:
            time.sleep(0.01)
    start_response('200 OK', [('Content-Length', str(len(CONTENT)))] if path == '/big' else [])
    if path in ('/big', '/part'):
        return [CONTENT[:60_000] if path == '/part' else CONTENT]
    if path == '/hints':
        return [b'hinted']
    if path == '/stuck-in-the-middle':
        return stuck()
    if path == '/echo':
        return [hashlib.sha256(body).hexdigest().encode()]
    if path == '/pieces':
        return (CONTENT[at:at + 10_000] for at in range(0, len(CONTENT), 10_000))
    if path == '/file':
        return environ['wsgi.file_wrapper'](open('content', 'rb'))
    if path == '/broken':
        return broken()
    if path == '/sleep':
        time.sleep(0.1)
        return [environ['QUERY_STRING'].encode()]
    names = ['wsgi.url_scheme', 'REQUEST_METHOD', 'PATH_INFO', 'SCRIPT_NAME', 'QUERY_STRING', 'RAW_URI',
             'SERVER_PROTOCOL', 'CONTENT_TYPE', 'CONTENT_LENGTH', 'REMOTE_ADDR', 'SERVER_NAME']
    names += [name for name in environ if name.startswith('HTTP_')]
    return [repr((sorted((name, environ.get(name)) for name in names), body)).encode()]
def stuck():
    yield b'begun'
    while True:
        time.sleep(0.01)
def broken():
    yield b'x' * 100
    raise ValueError
";

const CLEARTEXT: [&str; 5] = ["app:app", "--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge"];

/// With TLS, and without a proxy that is believed.
const STRANGER: [&str; 5] = ["app:app", "--http-protocols", "h2", "--forwarded-allow-ips", "192.0.2.1"];

fn script(server: &Server, check: &str) -> Command {
    let port = server.address().rsplit(':').next().expect("a port");
    let mut command = Command::new(venv().join("bin/python"));
    command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http2/client.py"), check, port]);
    command
}

#[track_caller]
fn output(command: &mut Command, server: &Server) -> String {
    let output = command.output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", server.stderr());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn check(server: &Server, check: &str) -> String {
    output(&mut script(server, check), server)
}

fn cleartext() -> Builder {
    Server::of(APP).args(CLEARTEXT).args(["--threads", "8"])
}

fn tls(protocols: &str) -> Server {
    Server::of(APP).tls().args(["app:app", "--http-protocols", protocols]).start()
}

#[test]
fn an_app_sees_of_http2_what_it_sees_under_gunicorn() {
    let (ours, theirs) = (cleartext().start(), cleartext().gunicorn().start());
    assert_eq!(check(&ours, "environ"), check(&theirs, "environ"));
}

#[test]
fn tls_agrees_on_the_version_in_the_servers_order() {
    for (protocols, first) in [("h2,h1", "h2"), ("h1,h2", "http/1.1")] {
        let server = tls(protocols);
        let ca = server.directory().join(CERTIFICATE);
        let seen = output(script(&server, "protocols").arg(&ca), &server);
        let expected = format!("h2 h2\nhttp/1.1 http/1.1\nh2,http/1.1 {first}\nhttp/1.1,h2 {first}\n200 True\n");
        assert_eq!(seen, expected);
        output(script(&server, "bodies").arg(&ca), &server);
    }
}

#[test]
fn bodies_of_any_size_go_both_ways_and_what_breaks_off_is_reset() {
    check(&cleartext().start(), "bodies");
    check(&cleartext().args(["--no-buffering"]).start(), "bodies");
}

#[test]
fn a_connection_has_many_requests_at_once() {
    check(&cleartext().start(), "many");
}

#[test]
fn the_limits_of_http1_hold() {
    let server = cleartext().args(["--limit-request-body", "1000", "--header-map", "refuse"]).start();
    check(&server, "limits");
}

#[test]
fn a_method_in_small_letters_is_what_it_is_in_capital_ones_where_that_is_permitted() {
    check(&cleartext().args(["--casefold-http-method"]).start(), "casefold");
}

#[test]
fn what_goes_wrong_costs_its_stream() {
    let server = cleartext().start();
    let worker = server.worker();
    check(&server, "faults");
    check(&server, "trailers");
    check(&cleartext().args(["--request-timeout", "2"]).start(), "deadline");
    assert_eq!(server.worker(), worker);
}

#[test]
fn a_stream_that_is_given_up_before_its_answer_begins_costs_no_thread() {
    let server = Server::of(crate::connections::LEFT).args(CLEARTEXT).args(["--threads", "2"]).start();
    check(&server, "left");
    // Those that nobody waited for when a thread was free were never begun.
    server.wait_for_output("closed\nclosed\n");
}

#[test]
fn a_stream_that_its_client_takes_nothing_of_ends_and_its_connection_goes_on() {
    let args = ["--write-timeout", "1", "--threads", "3"];
    check(&cleartext().args(args).args(["--no-buffering"]).start(), "stalled");
    check(&cleartext().args(args).start(), "stalled");
}

#[test]
fn a_stream_that_its_client_takes_little_of_goes_on() {
    check(&cleartext().args(["--write-timeout", "4"]).start(), "slow");
}

#[test]
fn a_connection_whose_client_takes_little_at_a_time_goes_on() {
    check(&cleartext().args(["--write-timeout", "3"]).start(), "gentle");
}

#[test]
fn a_stream_that_waits_for_others_goes_on_and_one_whose_client_takes_nothing_ends() {
    check(&cleartext().args(["--write-timeout", "4"]).start(), "shared");
}

#[test]
fn a_client_is_told_when_the_rest_of_its_body_is_not_wanted() {
    let limit = ["--limit-request-body", "1000000"];
    let (unbuffered, buffered) = (cleartext().args(["--no-buffering"]), cleartext());
    let unbuffered = unbuffered.args(limit).start();
    check(&unbuffered, "early");
    check(&unbuffered, "unread");
    // Without buffering it is for the app to refuse it.
    check(&buffered.args(limit).start(), "refused");
}

#[test]
fn requests_that_are_cancelled_do_not_wait_for_the_app_without_end() {
    let server = Server::of(APP).tls().args(STRANGER).args(["--threads", "2"]).start();
    let (worker, memory) = (server.worker(), process::resident_kib(server.worker()));
    let ca = server.directory().join(CERTIFICATE);
    let begun = output(script(&server, "cancelled").arg(&ca), &server);
    let begun: usize = begun.trim().parse().expect("a number");
    // Two hundred wait at most, and some that came before the server looked.
    assert!(begun < 1000, "{begun}");
    let grown = process::resident_kib(worker).saturating_sub(memory);
    assert!(grown < 40 << 10, "{grown} KiB more than {memory}");
    let flood = "There was a flood of requests that were cancelled before the app could answer them (HTTP/2)\n";
    server.wait_for_log(flood);
    // Those of a proxy's clients are not let in either.
    check(&cleartext().args(["--threads", "2"]).start(), "crowded");
}

#[test]
fn the_memory_of_a_few_connections_with_many_streams_goes_with_them() {
    let server = cleartext().start();
    check(&server, "settings");
    let now = || process::resident_kib(server.worker());
    let before = now();
    check(&server, "expanding");
    let most = process::most_resident_kib(server.worker());
    assert!(most > before + (50 << 10), "{most} KiB at most, {before} before");
    assert!(process::holds(|| now() < before + (16 << 10)), "{} KiB, {before} before", now());
}

#[test]
fn floods_of_frames_end_their_connection_and_harm_nobody_else() {
    let server = cleartext().start();
    check(&server, "settings");
    let (worker, memory) = (server.worker(), process::resident_kib(server.worker()));
    let seen = check(&server, "floods");
    for flood in ["continuations", "empty_data", "windows", "priorities"] {
        assert!(seen.contains(&format!("{flood} ended calm")), "{seen}");
    }
    // What nobody takes of the answers to these, the reason is part of.
    for flood in ["pings", "all_settings"] {
        assert!(seen.contains(&format!("{flood} ended")), "{seen}");
    }
    let grown = process::resident_kib(worker).saturating_sub(memory);
    assert!(grown < 16 << 10, "{grown} KiB more than {memory}: {seen}");
    assert_eq!(server.worker(), worker);
    let log = server.stderr();
    assert!(!log.contains("panicked"), "{log}");
    let flood = "Invalid request from ip=127.0.0.1: There was a flood of frames that bring nothing (HTTP/2)\n";
    assert!(log.contains(flood), "{log}");
    assert!(log.contains("Invalid request from ip=127.0.0.1: connection error detected: "), "h2's own: {log}");
}

#[test]
fn a_flood_of_requests_that_are_cancelled_ends_its_connection_and_harms_nobody_else() {
    let server = Server::of(APP).tls().args(STRANGER).start();
    let ca = server.directory().join(CERTIFICATE);
    let seen = output(script(&server, "floods").arg(&ca), &server);
    assert!(seen.contains("resets ended calm"), "{seen}");
    let log = server.stderr();
    assert!(log.contains("Invalid request from ip=127.0.0.1: connection error detected: "), "h2's own: {log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn the_settings_are_on_the_wire() {
    let args = [
        "--http2-max-concurrent-streams=7",
        "--http2-initial-window-size=70000",
        "--http2-max-frame-size=20000",
        "--http2-max-header-list-size=30000",
    ];
    let seen = check(&cleartext().args(args).start(), "settings");
    for setting in ["(3, 7)", "(4, 70000)", "(5, 20000)", "(6, 30000)"] {
        assert!(seen.contains(setting), "{seen}");
    }
}

#[test]
fn only_a_proxy_that_is_believed_begins_without_tls_and_it_has_to() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let plain = "GET /environ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = |server: &Server, sent: &str| {
        let mut client = Client::connect(server.address());
        client.send(sent);
        String::from_utf8_lossy(&client.read_all()).into_owned()
    };
    let server = cleartext().start();
    assert!(answer(&server, plain).starts_with("HTTP/1.1 400 "));
    let stranger = cleartext().args(["--forwarded-allow-ips", "192.0.2.1"]).start();
    assert!(answer(&stranger, plain).starts_with("HTTP/1.1 200 "));
    assert!(answer(&stranger, preface).starts_with("HTTP/1.1 400 "));
    let off = Server::of(APP).args(["app:app", "--http-protocols", "h2,h1"]).start();
    assert!(answer(&off, plain).starts_with("HTTP/1.1 200 "));
    assert!(answer(&off, preface).starts_with("HTTP/1.1 400 "));
}

#[test]
fn who_says_nothing_where_http2_is_expected_is_not_answered_nor_logged() {
    let server = cleartext().start();
    let mut probe = server.connect();
    probe.end();
    assert_eq!(probe.read_all(), b"");
    let mut begun = server.connect();
    begun.send("PRI");
    begun.end();
    assert!(begun.read_all().starts_with(b"HTTP/1.1 400 "));
    server.wait_for_log("Invalid request");
    assert_eq!(server.stderr().matches("Invalid request").count(), 1, "{}", server.stderr());
}

#[test]
fn a_large_answer_waits_in_a_file_where_its_client_is_slow() {
    let server = cleartext().start();
    let mut client = script(&server, "held").stdin(Stdio::piped()).spawn().expect("Python starts");
    assert!(process::holds(|| process::files_without_names(server.worker()) == 1), "it waits in a file");
    drop(client.stdin.take());
    assert!(client.wait().expect("it ends").success(), "{}", server.stderr());
    assert!(process::holds(|| process::files_without_names(server.worker()) == 0), "the file is gone");
}

#[test]
fn uploads_that_wait_for_the_app_leave_the_others_theirs() {
    check(&cleartext().args(["--threads", "4", "--no-buffering"]).start(), "crowd");
}

#[test]
fn an_app_that_waits_for_a_body_is_told_that_it_takes_too_long() {
    check(&cleartext().args(["--threads", "1", "--no-buffering", "--request-timeout", "2"]).start(), "overdue");
}

#[test]
fn what_one_client_of_a_proxy_sends_does_not_end_the_connection_of_all() {
    check(&cleartext().start(), "odd");
}

#[test]
fn noise_behind_the_preface_harms_no_other_connection() {
    let server = cleartext().start();
    for seed in 0..50_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut client = Client::connect(server.address());
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let noise: Vec<u8> = (0..500).map(|_| random.u8(..)).collect();
        let _ = client.try_send(noise);
    }
    check(&server, "many");
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

#[test]
fn an_idle_connection_is_told_to_go() {
    check(&cleartext().args(["--keep-alive", "1"]).start(), "idle");
}

#[test]
fn a_connection_that_has_the_last_place_does_not_keep_it() {
    let args = ["app:app", "--http-protocols", "h2", "--worker-connections", "1", "--keep-alive", "600"];
    let server = Server::of(APP).tls().args(args).start();
    let ca = server.directory().join(CERTIFICATE);
    output(script(&server, "full").arg(&ca), &server);
}

#[test]
fn a_connection_ends_that_brings_no_whole_head_or_does_not_hear_that_it_ends() {
    let server = cleartext().args(["--keep-alive", "1", "--header-timeout", "2"]).start();
    check(&server, "dripping");
    check(&server, "deaf");
}

#[test]
fn answers_that_are_not_out_are_waited_for_when_a_connection_ends() {
    check(&cleartext().args(["--keep-alive", "1"]).start(), "belated");
}

/// Stops the server once its client has begun, which must end well.
#[track_caller]
fn stop(mut server: Server, client: &mut Command) {
    let mut client = client.stdout(Stdio::piped()).spawn().expect("Python starts");
    let mut line = String::new();
    BufReader::new(client.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says so");
    server.signal("TERM");
    assert!(client.wait().expect("it ends").success(), "{}", server.stderr());
    let ended = server.wait();
    assert!(ended.status.success() && !ended.stderr.contains("cut short"), "{}", ended.stderr);
}

#[test]
fn what_has_begun_is_answered_when_the_server_stops() {
    let server = cleartext().args(["--threads", "2"]).start();
    let client = &mut script(&server, "stop");
    stop(server, client);
}

#[test]
fn what_the_client_has_not_taken_yet_is_not_lost_when_the_server_stops() {
    for check in ["leaving", "talking", "pausing"] {
        let server = cleartext().start();
        let client = &mut script(&server, check);
        stop(server, client);
    }
}

#[test]
fn an_upload_that_goes_on_is_waited_for_when_the_server_stops() {
    let server = cleartext().args(["--body-min-rate", "0"]).start();
    let client = &mut script(&server, "trickle");
    stop(server, client);
}

#[test]
fn a_connection_may_still_bring_its_first_request_when_the_server_stops_and_is_not_waited_for() {
    let server = cleartext().start();
    let client = &mut script(&server, "late");
    stop(server, client);
    let server = tls("h2");
    let client = &mut script(&server, "late");
    client.arg(server.directory().join(CERTIFICATE));
    stop(server, client);
}

#[test]
fn a_client_that_asks_for_nothing_does_not_keep_a_server_from_ending() {
    let server = cleartext().start();
    let client = &mut script(&server, "busy");
    stop(server, client);
}

#[test]
fn a_head_that_does_not_end_does_not_keep_a_server_from_ending() {
    let server = cleartext().start();
    let client = &mut script(&server, "drip_on");
    stop(server, client);
}

#[test]
fn a_reload_loses_no_request() {
    let server = cleartext().start();
    let mut client = script(&server, "load");
    let mut client =
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // The first worker serves, and the client is under way.
    let mut begun = [0; 6];
    let said = client.stdout.as_mut().expect("it has a standard output").read_exact(&mut begun);
    said.expect("it says that it has begun");
    for booted in 2..5 {
        server.signal("HUP");
        server.wait_for_logs("Booting worker", booted);
        server.wait_for_logs("Worker exiting", booted - 1);
    }
    // Its standard input ends here.
    let output = client.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "lost nothing\n", "{said}\n{}", server.stderr());
}

#[test]
fn a_line_in_the_access_log_has_the_version() {
    let server = cleartext().args(["--access-logfile", "-", "--access-logformat", "%(H)s %(r)s %(s)s %(B)s"]).start();
    check(&server, "settings");
    server.wait_for_output("HTTP/2.0 GET /204 HTTP/2.0 204 0");
    check(&server, "gone");
    server.wait_for_output("HTTP/2.0 GET /wait?gone HTTP/2.0 499 0");
    fs_err::write(server.directory().join("go"), "").expect("the app may end");
}

#[test]
fn the_access_log_has_the_bytes_that_the_client_took() {
    let args = ["--write-timeout", "1", "--access-logfile", "-", "--access-logformat", "%(r)s %(s)s %(B)s"];
    let server = cleartext().args(args).start();
    check(&server, "partly");
    server.wait_for_output("GET /big?partly HTTP/2.0 200 100\n");
}

#[test]
fn what_http2_does_not_allow_is_refused_by_name() {
    for (args, said) in [
        (["--http-protocols", "h3"], "neither h1 nor h2"),
        (["--http-protocols", "h2,h2"], "twice"),
        (["--http2-cleartext", "both"], "upgrade from HTTP/1"),
        (["--http2-cleartext", "prior-knowledge"], "--http-protocols h2,h1"),
        (["--http2-max-frame-size", "16383"], "between 16384 and 16777215"),
        (["--http2-initial-window-size", "2147483648"], "more than 2147483647"),
        (["--http2-max-concurrent-streams", "0"], "from 1"),
    ] {
        let ended = Server::of(APP).args(["app:app"]).args(args).fail();
        assert_eq!(ended.status.code(), Some(1), "{args:?}");
        assert!(ended.stderr.contains(said) && ended.stderr.contains(args[0]), "{args:?}: {}", ended.stderr);
    }
}
