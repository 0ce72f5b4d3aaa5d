//! `rwsgi healthcheck`, asking servers of every kind.

use std::process::Command;

use crate::support::{Client, Server, environment::rwsgi};

const APP: &str = "
import threading

def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/hangs':
        threading.Event().wait(60)
    if path == '/raises':
        raise ValueError
    if path == '/hints':
        environ['wsgi.early_hints']([('Link', '</style.css>')])
    if path == '/endless':
        start_response('200 OK', [])
        return iter(lambda: b'more', None)
    start_response({'/moved': '302 Found', '/locked': '401 Unauthorized', '/full': '503 Full'}.get(path, '200 OK'), [])
    return [repr((environ['HTTP_HOST'], environ['QUERY_STRING'])).encode()]
";

/// The exit code, and the one line that was printed.
fn ask(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(rwsgi()).arg("healthcheck").args(arguments).output().expect("it starts");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    (output.status.code().expect("it ends by itself"), text.trim().to_owned())
}

#[test]
fn what_answers_below_500_is_healthy() {
    let server = Server::of(APP).args(["app:app", "--threads", "4"]).start();
    let address = server.address();
    for (path, status) in [
        ("/", "200 OK"),
        ("/?a=b", "200 OK"),
        ("/moved", "302 Found"),
        ("/locked", "401 Unauthorized"),
        ("/hints", "200 OK"),
        ("/endless", "200 OK"),
    ] {
        let (code, text) = ask(&[address, "--path", path]);
        assert_eq!(code, 0, "{text}");
        assert!(text.starts_with(&format!("Healthy: {address} answers GET {path} with {status} after ")), "{text}");
    }
    assert_eq!(ask(&[&format!("http://{address}/moved")]).0, 0);
}

#[test]
fn what_does_not_answer_or_answers_500_is_not() {
    let server = Server::of(APP).args(["app:app", "--threads", "4"]).start();
    let address = server.address();
    let unhealthy = |arguments: &[&str], what: &str| {
        let (code, text) = ask(arguments);
        assert_eq!((code, text.as_str()), (1, format!("Error: Unhealthy: {what}").as_str()));
    };
    let answers =
        |path: &str, status: &str| format!("{address} answers GET {path} with {status}. See the server's log.");
    unhealthy(&[address, "--path", "/raises"], &answers("/raises", "500 Internal Server Error"));
    unhealthy(&[address, "--path", "/full"], &answers("/full", "503 Full"));
    let late = format!("{address} did not answer GET /hangs within 0.5 s.");
    unhealthy(&[address, "--path", "/hangs", "--timeout", "0.5"], &late);
    unhealthy(&["127.0.0.1:9"], "127.0.0.1:9 is not listened at.");
    unhealthy(&["unix:/nonexistent/socket"], "unix:/nonexistent/socket is not listened at.");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = other.local_addr().expect("it has one").to_string();
    let closes = std::thread::spawn(move || drop(other.accept()));
    let (code, text) = ask(&[&place]);
    assert!(code == 1 && text.contains("cannot be asked: "), "{text}");
    closes.join().expect("it accepts");
}

#[test]
fn tls_is_spoken_where_the_server_does() {
    let server = Server::of(APP).args(["app:app"]).tls().start();
    let address = server.address().strip_prefix("https://").expect("TLS");
    assert_eq!(ask(&[address, "--path", "/moved"]).0, 0, "the server says that it wants TLS");
    let told = "This port speaks TLS";
    assert!(!server.stderr().contains(told), "its own health check is no news");
    let refused = Client::connect(address).get("/").text();
    assert!(refused.contains(told), "{refused}");
    server.wait_for_log(told);
    assert_eq!(ask(&[&format!("https://{address}")]).0, 0);
    let (code, text) = ask(&[&format!("https://{address}/raises")]);
    assert!(code == 1 && text.contains("500 Internal Server Error"), "{text}");
    let (code, text) = ask(&[&format!("http://{address}")]);
    assert_eq!((code, text), (1, format!("Error: Unhealthy: {address} speaks TLS. Ask it by https.")));
    let plain = Server::of(APP).args(["app:app"]).start();
    assert_eq!(ask(&[&format!("https://{}", plain.address())]).0, 1);
}

#[test]
fn a_server_that_wants_certificates_is_there() {
    let builder = Server::of(APP).args(["app:app"]).tls();
    let authority = builder.directory().join(crate::support::server::CERTIFICATE);
    let authority = authority.to_str().expect("text").to_owned();
    let server = builder.args(["--cert-reqs", "2", "--ca-certs", &authority]).start();
    let (code, text) = ask(&[server.address()]);
    assert!(code == 0 && text.contains("with a request for a certificate"), "{text}");
}

#[test]
fn unix_sockets_are_asked_too() {
    let builder = Server::of(APP).args(["app:app"]);
    let socket = format!("unix:{}", builder.directory().join("app.sock").display());
    let name = format!("unix:@rwsgi-health-{}", std::process::id());
    let server = builder.without_bind().args(["--bind", &socket, "--bind", &name]).start();
    for address in [&socket, &name] {
        let (code, text) = ask(&[address]);
        assert!(code == 0 && text.contains(address.as_str()), "{text}");
    }
    drop(server);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    for arguments in [
        &["fd://3"][..],
        &["127.0.0.1:http"],
        &["http://127.0.0.1/a", "--path", "/b"],
        &["127.0.0.1:80", "--path", "b"],
        &["127.0.0.1:80", "--path", "/a b"],
    ] {
        assert_eq!(ask(arguments).0, 2, "{arguments:?}");
    }
    let output = Command::new(rwsgi()).args(["healthcheck", "--timeout", "0"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn http2_is_spoken_where_nothing_else_is_taken() {
    let cleartext = ["--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge", "--threads", "4"];
    let builder = Server::of(APP).args(["app:app"]).args(cleartext);
    let socket = format!("unix:{}", builder.directory().join("app.sock").display());
    let server = builder.without_bind().args(["--bind", "127.0.0.1:0", "--bind", &socket]).start();
    let tcp = server.addresses()[0].trim_start_matches("http://").to_owned();
    for address in [&tcp, &socket, &format!("http://{tcp}")] {
        let (code, text) = ask(&[address]);
        assert!(code == 0 && text.contains("answers GET / with 200 OK"), "{text}");
    }
    let (code, text) = ask(&[&tcp, "--path", "/raises"]);
    assert_eq!(
        (code, text),
        (
            1,
            format!(
                "Error: Unhealthy: {tcp} answers GET /raises with 500 Internal Server Error. See the server's log."
            )
        )
    );
    let (code, text) = ask(&[&tcp, "--path", "/hangs", "--timeout", "0.5"]);
    assert_eq!((code, text), (1, format!("Error: Unhealthy: {tcp} did not answer GET /hangs within 0.5 s.")));
}
