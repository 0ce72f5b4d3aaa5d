//! Two checkers that others wrote watch the conversation between the server and an app, and have nothing to say.

use crate::support::Server;

/// What both are asked: the request's line and fields, its body, and the answer's status and body.
const REQUESTS: &[(&str, &str, u16, &str)] = &[
    ("GET / HTTP/1.1", "", 200, "hello"),
    ("HEAD / HTTP/1.1", "", 200, ""),
    ("OPTIONS / HTTP/1.1", "", 200, "hello"),
    ("PUT / HTTP/1.1\r\nContent-Length: 3", "abc", 200, "hello"),
    ("DELETE / HTTP/1.1", "", 200, "hello"),
    ("PATCH / HTTP/1.1\r\nContent-Length: 0", "", 200, "hello"),
    ("GET /?a=b&c=%20d HTTP/1.1", "", 200, "hello"),
    ("GET /path/%C3%A9%FF/%20 HTTP/1.1", "", 200, "hello"),
    ("GET //double//slash/ HTTP/1.1", "", 200, "hello"),
    ("GET http://example.org/absolute HTTP/1.1", "", 200, "hello"),
    ("GET / HTTP/1.1\r\nX-A: 1\r\nX-A: 2\r\nX-A: 3", "", 200, "hello"),
    ("GET / HTTP/1.1\r\nCookie: a=1\r\nCookie: b=2", "", 200, "hello"),
    ("GET / HTTP/1.1\r\nX-Latin: caf\u{e9}", "", 200, "hello"),
    ("GET / HTTP/1.1\r\nContent-Type: text/plain", "", 200, "hello"),
    ("GET /list HTTP/1.1", "", 200, "onetwo"),
    ("GET /empty HTTP/1.1", "", 200, ""),
    ("GET /stream HTTP/1.1", "", 200, "0123456789"),
    ("HEAD /stream HTTP/1.1", "", 200, ""),
    ("GET /stream HTTP/1.0", "", 200, "0123456789"),
    ("GET /write HTTP/1.1", "", 200, "written and returned"),
    ("GET /file HTTP/1.1", "", 200, "a file's content"),
    ("HEAD /file HTTP/1.1", "", 200, ""),
    ("GET /none HTTP/1.1", "", 204, ""),
    ("DELETE /none HTTP/1.1", "", 204, ""),
    ("GET /unchanged HTTP/1.1\r\nIf-None-Match: \"e\"", "", 304, ""),
    ("HEAD /unchanged HTTP/1.1", "", 304, ""),
    ("GET /redirect HTTP/1.1", "", 302, "elsewhere"),
    ("GET /cookies HTTP/1.1", "", 200, "set"),
    ("GET /missing HTTP/1.1", "", 404, "missing"),
    ("GET /replaced HTTP/1.1", "", 503, "replaced"),
    ("POST /read HTTP/1.1\r\nContent-Length: 5", "a\nb\nc", 200, "a\nb\nc"),
    ("POST /read HTTP/1.1\r\nContent-Length: 0", "", 200, ""),
    ("POST /read-size HTTP/1.1\r\nContent-Length: 5", "a\nb\nc", 200, "a\nb\nc"),
    ("POST /readline HTTP/1.1\r\nContent-Length: 5", "a\nb\nc", 200, "a\nb\nc"),
    ("POST /readlines HTTP/1.1\r\nContent-Length: 5", "a\nb\nc", 200, "a\nb\nc"),
    ("POST /iterate HTTP/1.1\r\nContent-Length: 5", "a\nb\nc", 200, "a\nb\nc"),
    ("POST /read-size HTTP/1.1\r\nTransfer-Encoding: chunked", "2\r\na\n\r\n3\r\nb\nc\r\n0\r\n\r\n", 200, "a\nb\nc"),
    ("POST /readline HTTP/1.1\r\nTransfer-Encoding: chunked", "5\r\na\nb\nc\r\n0\r\n\r\n", 200, "a\nb\nc"),
    ("POST /iterate HTTP/1.1\r\nTransfer-Encoding: chunked", "0\r\n\r\n", 200, ""),
    ("POST /ignored HTTP/1.1\r\nContent-Length: 5", "a\nb\nc", 404, "missing"),
    ("GET /errors HTTP/1.1", "", 200, "told"),
];

const APP: &str = r#"
import io, sys, warnings
warnings.simplefilter('error')

TEXT = [('Content-Type', 'text/plain; charset=utf-8')]

def length(body):
    return [('Content-Length', str(len(body)))]

def inner(environ, start_response):
    path, read = environ['PATH_INFO'], environ['wsgi.input']
    def answer(body, status='200 OK', headers=TEXT):
        # A fresh list: the server may not rely on a list that the app goes on using.
        start_response(status, [*headers, *length(body)])
        return [body]
    if path in ('/read', '/read-size', '/readline', '/readlines', '/iterate'):
        # LintMiddleware lets an app call read() with a size and iterate, and warns of everything else.
        pieces = {
            '/read': lambda: [read.read(1 << 20)],
            '/read-size': lambda: iter(lambda: read.read(2), b''),
            '/readline': lambda: read if WERKZEUG else iter(read.readline, b''),
            '/readlines': lambda: list(read) if WERKZEUG else read.readlines(),
            '/iterate': lambda: read,
        }[path]()
        return answer(b''.join(pieces))
    if path == '/list':
        start_response('200 OK', list(TEXT))
        return [b'one', b'two']
    if path == '/empty':
        start_response('200 OK', list(TEXT))
        return []
    if path == '/stream':
        start_response('200 OK', list(TEXT))
        return (b'%d' % number for number in range(10))
    if path == '/write':
        write = start_response('200 OK', list(TEXT))
        write(b'written ')
        return [b'and returned']
    if path == '/file':
        start_response('200 OK', list(TEXT))
        return environ['wsgi.file_wrapper'](io.BytesIO(b"a file's content"), 5)
    if path == '/none':
        # LintMiddleware wants a length of zero, which the server then leaves out (RFC 9110 section 8.6).
        start_response('204 No Content', [('Content-Length', '0')])
        return []
    if path == '/unchanged':
        start_response('304 Not Modified', [('ETag', '"e"')])
        return []
    if path == '/redirect':
        return answer(b'elsewhere', '302 Found', [*TEXT, ('Location', 'http://test/elsewhere')])
    if path == '/cookies':
        return answer(b'set', headers=[*TEXT, ('Set-Cookie', 'a=1; Path=/'), ('Set-Cookie', 'b=2; HttpOnly')])
    if path == '/replaced':
        start_response('200 OK', list(TEXT))
        try:
            raise ValueError('replaced')
        except ValueError:
            start_response('503 Service Unavailable', [*TEXT, *length(b'replaced')], sys.exc_info())
        return [b'replaced']
    if path == '/errors':
        environ['wsgi.errors'].write('told by the app\n')
        environ['wsgi.errors'].flush()
        return answer(b'told')
    if path in ('/', '/absolute', '//double//slash/') or path.startswith('/path/'):
        return answer(b'hello')
    return answer(b'missing', '404 Not Found')
"#;

fn ask_all(server: &Server) {
    let mut client = server.connect();
    for (head, body, status, expected) in REQUESTS {
        let request = format!("{head}\r\nHost: test\r\nConnection: keep-alive\r\n\r\n{body}");
        client.send(request.as_bytes());
        let response = client.response(head.split(' ').next().expect("a method"));
        assert_eq!((response.status, response.text().as_str(), response.whole), (*status, *expected, true), "{head}");
        if head.contains("HTTP/1.0") {
            client = server.connect();
        }
    }
}

fn has_nothing_but_normal_lines(stderr: &str) {
    let odd = stderr.lines().filter(|line| !line.contains("] [INFO] ") && *line != "told by the app");
    let odd: Vec<_> = odd.collect();
    assert!(odd.is_empty(), "{odd:#?}");
    assert!(stderr.contains("told by the app"), "{stderr}");
}

#[test]
fn wsgirefs_validator_has_no_complaint() {
    let app = format!("{APP}\nfrom wsgiref.validate import validator\nWERKZEUG = False\napp = validator(inner)\n");
    for threads in ["1", "3"] {
        let mut server = Server::of(&app).args(["app:app", "--threads", threads]).start();
        ask_all(&server);
        has_nothing_but_normal_lines(&server.stop().stderr);
    }
}

#[test]
fn werkzeugs_lint_middleware_has_no_complaint() {
    let app = format!(
        "{APP}\nfrom werkzeug.middleware.lint import LintMiddleware\nWERKZEUG = True\napp = LintMiddleware(inner)\n"
    );
    for threads in ["1", "3"] {
        let mut server = Server::of(&app).args(["app:app", "--threads", threads]).start();
        ask_all(&server);
        has_nothing_but_normal_lines(&server.stop().stderr);
    }
}
