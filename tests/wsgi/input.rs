//! What an app reads from `wsgi.input`.

use crate::support::{
    Server,
    client::{Pieces, WAYS},
};

/// Sends the body back, read in the way that the path names.
const ECHO: &str = "
WAYS = {
    '/read': lambda f: [f.read()],
    '/read-size': lambda f: iter(lambda: f.read(1000), b''),
    '/readline': lambda f: iter(f.readline, b''),
    '/readline-size': lambda f: iter(lambda: f.readline(7), b''),
    '/readlines': lambda f: f.readlines(),
    '/readlines-hint': lambda f: (line for lines in iter(lambda: f.readlines(5000), []) for line in lines),
    '/iterate': iter,
    '/huge': lambda f: [f.read(2**63), f.readline(2**70), f.read(-2**70)],
    '/huge-line': lambda f: iter(lambda: f.readline(2**63), b''),
    '/one-of-each': lambda f: [f.read(3), f.readline(), f.readline(2), *f.readlines(9), f.read(10), *f],
}
def app(environ, start_response):
    body = b''.join(WAYS[environ['PATH_INFO']](environ['wsgi.input']))
    start_response('200 OK', [('Content-Type', 'application/octet-stream')])
    return [body]
";

const PATHS: [&str; 10] = [
    "/read",
    "/read-size",
    "/readline",
    "/readline-size",
    "/readlines",
    "/readlines-hint",
    "/iterate",
    "/huge",
    "/huge-line",
    "/one-of-each",
];

/// Bytes of every value, with lines of many lengths.
fn body(size: usize) -> Vec<u8> {
    (0..size).map(|index| u8::try_from((index.wrapping_mul(2_654_435_761) >> 13) % 256).expect("below 256")).collect()
}

fn with_length(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

/// The body in chunks of many sizes, with an extension and a trailer, which no app gets to see.
fn chunked(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    let mut rest = body;
    for size in [1, 2, 100, 5000, 70_000].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, tail) = rest.split_at(size.min(rest.len()));
        request.extend_from_slice(format!("{:x};name=value\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
        rest = tail;
    }
    request.extend_from_slice(b"0\r\nX-Trailer: 1\r\n\r\n");
    request
}

#[test]
fn a_body_is_read_whole_in_every_way_and_framing() {
    let server = Server::of(ECHO).args(["app:app"]).start();
    let mut client = server.connect();
    for size in [0, 1, 65_535, 65_536, 65_537, 1 << 20] {
        let body = body(size);
        for path in PATHS {
            for request in [with_length(path, &body), chunked(path, &body)] {
                let response = client.send(request).response("POST");
                assert_eq!(response.status, 200, "{path} {size}");
                assert!(response.body == body, "{path} {size}: {} bytes came back", response.body.len());
            }
        }
    }
}

#[test]
fn a_body_is_read_whole_however_it_is_cut() {
    let server = Server::of(ECHO).args(["app:app"]).start();
    let body = body(900);
    for way in WAYS {
        let mut client = server.connect();
        for path in PATHS {
            for request in [with_length(path, &body), chunked(path, &body)] {
                let response = client.send_in(&request, way).response("POST");
                assert!(response.status == 200 && response.body == body, "{path} {way:?}");
            }
        }
    }
}

#[test]
fn every_call_gives_what_a_file_would() {
    let app = "
import io
def app(environ, start_response):
    calls, text = environ['QUERY_STRING'].split('&'), environ['HTTP_X_BODY'].replace('|', '\\n').encode()
    different = []
    for call in calls:
        call = call.replace('%20', ' ')
        ours, files = (eval(call, {'f': f}) for f in (environ['wsgi.input'], environ.setdefault('f', io.BytesIO(text))))
        if ours != files or type(ours) is not type(files):
            different.append((call, ours, files))
    start_response('200 OK', [])
    return [repr(different).encode()]
";
    let server = Server::of(app).args(["app:app"]).start();
    let mut client = server.connect();
    for calls in [
        "f.read(0)&f.read(2)&f.read(-1)&f.read()&f.read(5)",
        "f.read(None)&f.readline()&f.readlines()&f.read(1)",
        "f.readline(0)&f.readline(1)&f.readline(2)&f.readline(3)&f.readline(-1)&f.readline(None)&f.readline(100)",
        "f.readlines(1)&f.readlines(4)&f.readlines(0)&f.readlines()",
        "f.readlines(-1)",
        "f.readlines(None)",
        "f.readlines(1000000)&f.readlines(1)",
        "next(f)&next(iter(f))&f.read(1)&list(f)&list(f)&f.read()",
    ] {
        for text in ["", "a", "|", "||", "abc|", "|abc", "one|two||three", "one line that is longer|and|short|ones|"] {
            client.send(format!(
                "POST /?{calls} HTTP/1.1\r\nHost: test\r\nX-Body: {text}\r\nContent-Length: {}\r\n\r\n{}",
                text.len(),
                text.replace('|', "\n")
            ));
            let response = client.response("POST");
            if calls.contains("next(") && text.split('|').filter(|line| !line.is_empty()).count() < 2 {
                // A file that is at its end has no next line either.
                continue;
            }
            assert_eq!((response.status, response.text().as_str()), (200, "[]"), "{calls} of {text:?}");
        }
    }
}

/// Says on standard output how reading went, as a client that leaves does not hear it.
const TELLS: &str = "
def app(environ, start_response):
    read = getattr(environ['wsgi.input'], environ['PATH_INFO'][1:])
    for attempt in range(2):
        try:
            size = len(b''.join(iter(lambda: read(60000), b'')) if read.__name__ == 'read' else b''.join(read()))
            print('read', size, 'without an error', flush=True)
        except OSError as error:
            print('attempt', attempt, 'OSError', flush=True)
    start_response('200 OK', [])
    return [b'']
";

#[test]
fn a_body_that_ends_early_is_an_oserror_each_time_and_never_a_short_body() {
    let server = Server::of(TELLS).args(["app:app", "--no-buffering"]).start();
    let part = vec![b'\n'; 100_000];
    for (path, broken) in [("/read", &[][..]), ("/readlines", &[])] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n");
        let mut client = server.connect();
        client.send(head).send(&part).send(broken).end();
        client.read_all();
    }
    let chunk = "POST /read HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n";
    for end in [&b""[..], b"\r\n", b"\r\n5\r\nab", b"\r\nnonsense\r\n", b"\r\n-1\r\n", b"\r\n0\r\n"] {
        let mut client = server.connect();
        client.send(chunk).send(&part).send(end).end();
        client.read_all();
    }
    server.wait_for_output(&"attempt 0 OSError\nattempt 1 OSError\n".repeat(8));
    assert!(!server.stdout().contains("without"), "{}", server.stdout());
}

#[test]
fn a_body_that_ends_early_never_reaches_the_app_where_it_is_buffered() {
    let server = Server::of(TELLS).args(["app:app"]).start();
    for (length, sent) in [(5, 3), (200_000, 100_000)] {
        let mut client = server.connect();
        client.send(format!("POST /read HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"));
        client.send(vec![0; sent]).end();
        let response = client.response("POST");
        assert_eq!((response.status, response.field("connection")), (400, Some("close")));
        assert!(client.is_closed());
    }
    assert_eq!(server.stdout(), "");
}

#[test]
fn an_error_while_reading_that_the_app_does_not_catch_is_told_in_the_log() {
    let server = Server::of(ECHO).args(["app:app", "--no-buffering"]).start();
    let mut client = server.connect();
    client.send("POST /read HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n").send(vec![0; 100_000]).end();
    assert_eq!(client.response("POST").status, 400, "the client's fault, as in gunicorn");
    server.wait_for_log("Error handling request POST /read\n");
    assert_eq!(server.connect().post("/read", b"next").text(), "next");
}

#[test]
fn an_app_may_answer_before_it_reads() {
    let app = "
def app(environ, start_response):
    write = start_response('200 OK', [])
    for line in environ['wsgi.input']:
        yield b'<' + line.strip() + b'>'
";
    let server = Server::of(app).args(["app:app"]).start();
    let body: Vec<u8> = b"line\n".repeat(40_000);
    let response = server.connect().post("/", &body);
    assert!(response.whole && response.body == b"<line>".repeat(40_000), "{} bytes", response.body.len());
}

#[test]
fn a_client_that_waits_to_be_told_to_continue_is_told() {
    let server = Server::of(ECHO).args(["app:app"]).start();
    for (size, way) in [(5, Pieces::Whole), (5, Pieces::ByteByByte), (100_000, Pieces::Whole)] {
        let mut client = server.connect();
        client.send(format!(
            "POST /read HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n\r\n"
        ));
        assert_eq!(client.response("POST").status_line, "HTTP/1.1 100 Continue");
        let response = client.send_in(&body(size), way).response("POST");
        assert!(response.status == 200 && response.body == body(size), "{size}");
    }
}

#[test]
fn an_app_that_reads_nothing_leaves_the_connection_in_order() {
    let app = "
kept = []
def app(environ, start_response):
    kept.append(environ)
    environ['itself'] = environ
    start_response('200 OK', [])
    return [environ['REQUEST_METHOD'].encode()]
";
    let server = Server::of(app).args(["app:app"]).start();
    let mut client = server.connect();
    let body = body(5 << 20);
    for request in [with_length("/", &body), chunked("/", &body)] {
        assert_eq!(client.send(request).response("POST").text(), "POST");
        assert_eq!(client.get("/").text(), "GET");
    }
}

#[test]
fn an_input_that_outlives_its_request_gives_no_other_requests_bytes() {
    let app = "
kept = []
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/keep':
        kept.append(environ['wsgi.input'])
        return [kept[0].read(1)]
    try:
        return [b'read ' + kept[0].read()]
    except OSError:
        return [b'OSError']
";
    let server = Server::of(app).args(["app:app"]).start();
    let mut client = server.connect();
    assert_eq!(client.post("/keep", b"secret").text(), "s");
    assert_eq!(client.post("/later", b"other").text(), "OSError");
}

#[test]
fn arguments_may_be_given_by_their_names() {
    let app = "
import sys
def app(environ, start_response):
    read = environ['wsgi.input']
    body = [read.read(size=2), read.readline(size=2), read.readline(size=-1), *read.readlines(hint=1)]
    start_response('200 OK', [])
    try:
        raise ValueError
    except ValueError:
        start_response('203 Replaced', [], exc_info=sys.exc_info())
    return [repr(body).encode()]
";
    let server = crate::support::Server::of(app).args(["app:app"]).start();
    let response = server.connect().post("/", b"abcdef\ngh\nij");
    assert_eq!((response.status, response.text()), (203, r"[b'ab', b'cd', b'ef\n', b'gh\n']".to_owned()));
}
