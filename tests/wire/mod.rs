//! What is on the wire, byte by byte where that matters, on every kind of connection: TCP, unix sockets and TLS, with one
//! app thread and with several, where bodies are buffered and where they are not.

mod answers;
mod breaking;
mod expect;
mod files;
mod limits;
mod pipelines;
mod proxied;
mod streams;

use crate::support::{Builder, Client, Server, client::Response};

const APP: &str = include_str!("app.py");

/// The page that says that the app failed: gunicorn's.
const ERROR_PAGE: &str = "<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n    \
                          <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n";

/// How servers are set up.
const SETUPS: [(&str, &[&str]); 3] = [
    ("one thread", &[]),
    ("four threads", &["--threads", "4"]),
    ("no buffering", &["--threads", "2", "--no-buffering"]),
];

/// A listener of some server.
pub struct Place<'a> {
    pub server: &'a Server,
    pub name: String,
    address: &'a str,
}

impl Place<'_> {
    pub fn connect(&self) -> Client {
        self.server.connect_to(self.address)
    }

    /// Whether bodies wait for slow clients here.
    pub fn is_buffered(&self) -> bool {
        !self.name.contains("no buffering")
    }
}

fn builder() -> Builder {
    Server::of(APP).args(["app:app"])
}

/// Shows every kind of connection, to servers with these arguments and these files.
fn everywhere(args: &[&str], files: &[(&str, &[u8])], mut show: impl FnMut(&Place)) {
    for (setup, more) in SETUPS {
        let plain = builder();
        let socket = format!("unix:{}", plain.directory().join("socket").display());
        let plain = plain.args(["--bind", "127.0.0.1:0", "--bind", &socket]).without_bind();
        for builder in [plain, builder().tls()] {
            for (name, content) in files {
                std::fs::write(builder.directory().join(name), content).expect("the file can be written");
            }
            let server = builder.args(more.iter().chain(args).copied()).start();
            for address in server.addresses() {
                let kind = address.split_once(':').map_or("", |(kind, _)| kind);
                show(&Place { server: &server, name: format!("{kind}, {setup}"), address });
            }
            let log = server.stderr();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// What the app's function of the same name makes.
fn content(size: usize, start: usize) -> Vec<u8> {
    (start..start + size).map(|at| u8::try_from(at % 251).expect("below 251")).collect()
}

/// The answer proper, behind those that precede it.
#[track_caller]
fn answer(client: &mut Client, method: &str) -> Response {
    loop {
        let response = client.response(method);
        if response.status >= 200 {
            return response;
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

fn post(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A body in chunks of several sizes, with extensions and trailers.
fn chunked(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
    let (mut request, mut rest) = (head.into_bytes(), body);
    for size in [3, 1, 40_000, 17].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        request.extend_from_slice(format!("{:X};a=\"b\"\r\n", chunk.len()).as_bytes());
        request.extend([chunk, b"\r\n"].concat());
        rest = behind;
    }
    request.extend_from_slice(b"0\r\nX-Trailer: 1\r\n\r\n");
    request
}
