//! What an app finds in its environ.

use serde_json::{Value, json};

use crate::support::{Client, Server, client::WAYS};

/// Answers with its environ. What JSON has no word for is described.
const ENVIRON: &str = "
import json
def app(environ, start_response):
    def shown(value):
        return value if isinstance(value, (str, bool)) else 'callable' if callable(value) else repr(value)
    body = json.dumps({key: shown(value) for key, value in environ.items()}).encode()
    start_response('200 OK', [('Content-Type', 'application/json')])
    return [body]
";

fn server() -> Server {
    Server::of(ENVIRON).args(["app:app"]).start()
}

#[track_caller]
fn environ(client: &mut Client) -> Value {
    let response = client.response("GET");
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).expect("the app answers with JSON")
}

#[track_caller]
fn environ_of(server: &Server, request: impl AsRef<[u8]>) -> Value {
    environ(server.connect().send(request))
}

#[test]
fn every_key_is_there_however_the_request_is_cut() {
    let server = server();
    let port = server.address().rsplit(':').next().expect("a port");
    for way in WAYS {
        let mut client = server.connect();
        client.send_in(
            b"POST /a%20b/c?d=e%20f&g HTTP/1.1\r\nHost: example.org:80\r\nContent-Type: text/plain\r\n\
              Content-Length: 3\r\nX-Long-Name: value\r\n\r\nabc",
            way,
        );
        let mut environ = environ(&mut client);
        let environ = environ.as_object_mut().expect("a dict");
        let client_port = environ.remove("REMOTE_PORT").expect("a port of the client");
        assert!(client_port.as_str().is_some_and(|port| port.parse::<u16>().is_ok()), "{client_port}");
        for key in ["wsgi.errors", "wsgi.input", "wsgi.file_wrapper", "SERVER_SOFTWARE"] {
            assert!(environ.remove(key).is_some(), "{key} is there");
        }
        let expected = json!({
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a b/c",
            "QUERY_STRING": "d=e%20f&g",
            "RAW_URI": "/a%20b/c?d=e%20f&g",
            "CONTENT_TYPE": "text/plain",
            "CONTENT_LENGTH": "3",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": port,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "example.org:80",
            "HTTP_X_LONG_NAME": "value",
            "wsgi.version": "(1, 0)",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": false,
            "wsgi.multiprocess": false,
            "wsgi.run_once": false,
            "wsgi.input_terminated": true,
            "wsgi.early_hints": "callable",
        });
        assert_eq!(Value::Object(environ.clone()), expected, "{way:?}");
    }
}

#[test]
fn a_target_is_taken_apart_as_gunicorn_does() {
    let server = server();
    let mut client = server.connect();
    for (target, path, query) in [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a?b?c", "/a", "b?c"),
        ("//a//b/", "//a//b/", ""),
        ("/a/../b/./c", "/a/../b/./c", ""),
        ("/%61%2Fb", "/a/b", ""),
        ("/%C3%A9", "/\u{c3}\u{a9}", ""),
        ("/%FF", "/\u{ff}", ""),
        ("/%zz%", "/%zz%", ""),
        ("/a;b=c,d+e~!$&'()*:@", "/a;b=c,d+e~!$&'()*:@", ""),
        ("/?%C3%A9=%FF", "/", "%C3%A9=%FF"),
        ("http://example.org/a?b", "/a", "b"),
    ] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let environ = environ(&mut client);
        assert_eq!((&environ["PATH_INFO"], &environ["QUERY_STRING"]), (&json!(path), &json!(query)), "{target}");
        assert_eq!(environ["RAW_URI"], target);
    }
}

#[test]
fn the_host_of_an_absolute_target_counts() {
    let server = server();
    for (target, host, seen) in [
        ("http://a.example/x", "Host: b.example", "a.example"),
        ("http://u:p@a.example:80/x", "hOsT: b.example:81", "a.example:80"),
        ("http://[::1]?x", "Host:", "[::1]"),
        ("/http://a.example/", "Host: b.example", "b.example"),
    ] {
        let environ = environ_of(&server, format!("GET {target} HTTP/1.1\r\n{host}\r\n\r\n"));
        assert_eq!(environ["HTTP_HOST"], seen, "{target} {host}");
    }
    for version in ["1.1", "1.0"] {
        let none = environ_of(&server, format!("GET http://a.example/ HTTP/{version}\r\nX-A: b\r\n\r\n"));
        assert_eq!((&none["HTTP_HOST"], &none["HTTP_X_A"]), (&"a.example".into(), &"b".into()), "{none}");
    }
}

#[test]
fn a_percent_encoded_null_byte_is_a_character_like_any_other() {
    assert_eq!(environ_of(&server(), "GET /a%00b HTTP/1.1\r\nHost: test\r\n\r\n")["PATH_INFO"], "/a\0b");
}

#[test]
fn repeated_fields_are_joined_and_cookies_by_their_own_rule() {
    let environ = environ_of(
        &server(),
        "GET / HTTP/1.1\r\nHost: test\r\nX-A: 1\r\nCookie: a=1\r\nx-a: 2\r\nX-A: 3, 4\r\ncookie: b=2\r\n\r\n",
    );
    assert_eq!(environ["HTTP_X_A"], "1,2,3, 4");
    assert_eq!(environ["HTTP_COOKIE"], "a=1; b=2");
}

#[test]
fn values_are_the_characters_of_their_bytes() {
    let environ = environ_of(&server(), b"GET / HTTP/1.1\r\nHost: test\r\nX-A: \t caf\xc3\xa9 \xff \t\r\nX-B:\r\n\r\n");
    assert_eq!(environ["HTTP_X_A"], "caf\u{c3}\u{a9} \u{ff}");
    assert_eq!(environ["HTTP_X_B"], "");
}

#[test]
fn names_with_an_underscore_are_dropped() {
    let environ =
        environ_of(&server(), "GET / HTTP/1.1\r\nHost: test\r\nX-Real: 1\r\nX_Real: 2\r\nContent_Type: x\r\n\r\n");
    assert_eq!(environ["HTTP_X_REAL"], "1");
    assert!(environ.get("HTTP_CONTENT_TYPE").is_none() && environ.get("CONTENT_TYPE").is_none(), "{environ}");
}

#[test]
fn type_and_length_of_the_body_have_no_http_in_front() {
    let server = server();
    let request = "POST / HTTP/1.1\r\nHost: test\r\ncontent-type: a/b\r\ncontent-length: 0\r\n\r\n";
    let with = environ_of(&server, request);
    assert_eq!((&with["CONTENT_TYPE"], &with["CONTENT_LENGTH"]), (&json!("a/b"), &json!("0")));
    let without = environ_of(&server, "GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let chunked = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let chunked = environ_of(&server, chunked);
    assert_eq!(chunked["HTTP_TRANSFER_ENCODING"], "chunked");
    for (environ, keys) in [
        (with, &["HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"][..]),
        (without, &["CONTENT_TYPE", "CONTENT_LENGTH"]),
        (chunked, &["CONTENT_LENGTH"]),
    ] {
        for key in keys {
            assert!(environ.get(key).is_none(), "{key} in {environ}");
        }
    }
}

#[test]
fn the_version_of_the_protocol_is_the_clients() {
    let environ = environ_of(&server(), "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(environ["SERVER_PROTOCOL"], "HTTP/1.0");
    assert!(environ.get("HTTP_HOST").is_none(), "a client that names no host is not given one");
}

#[test]
fn an_app_is_told_of_several_threads_and_processes() {
    let server = Server::of(ENVIRON).args(["app:app", "--threads", "2"]).start();
    let environ = environ_of(&server, "GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((&environ["wsgi.multithread"], &environ["wsgi.multiprocess"]), (&true.into(), &false.into()));
    let server = Server::of(ENVIRON).args(["app:app", "--workers", "2"]).start();
    let environ = environ_of(&server, "GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((&environ["wsgi.multithread"], &environ["wsgi.multiprocess"]), (&false.into(), &true.into()));
}

#[test]
fn methods_of_any_name_reach_the_app() {
    let server = server();
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "M-SEARCH", "BREW"] {
        let environ = environ_of(&server, format!("{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(environ["REQUEST_METHOD"], method);
    }
}

#[test]
fn an_environ_is_a_dict_of_its_own_for_each_request() {
    let app = "
def app(environ, start_response):
    kind = type(environ) is dict and all(type(key) is str for key in environ)
    seen = 'seen' in environ
    environ['seen'] = True
    environ['wsgi.version'] = environ['SERVER_SOFTWARE'] = None
    start_response('200 OK', [])
    return [repr((kind, seen)).encode()]
";
    let server = Server::of(app).args(["app:app"]).start();
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "(True, False)");
    }
}

#[test]
fn wsgi_errors_is_a_text_file_that_ends_up_in_the_log() {
    let app = "
def app(environ, start_response):
    errors = environ['wsgi.errors']
    errors.write('written \\u00e9\\n')
    errors.writelines(['one\\n', 'two\\n'])
    print('printed', file=errors)
    errors.flush()
    start_response('200 OK', [])
    return [b'']
";
    let server = Server::of(app).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").status, 200);
    server.wait_for_log("written \u{e9}\none\ntwo\nprinted\n");
}
