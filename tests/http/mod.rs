//! How requests are read: what reaches the app, what is refused, and how that compares with the real gunicorn.

mod attempts;
mod corpus;
mod differential;
mod mutations;
mod noise;
mod smuggling;

pub use mutations::mutate;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::LazyLock,
};

use regex::bytes::Regex;
use serde_json::Value;

use crate::support::{Builder, Server, client::Pieces, server::LIMIT};

/// Notes what it is called with, and reads the body before it answers. CALLS asks for the notes.
const APP: &str = r"
import json
calls = []
def app(environ, start_response):
    if environ['REQUEST_METHOD'] == 'CALLS':
        answer = json.dumps(calls).encode()
        calls.clear()
    else:
        prefixes = ('HTTP_', 'CONTENT_', 'REQUEST_METHOD', 'RAW_URI', 'PATH_INFO', 'QUERY_STRING', 'SCRIPT_NAME',
                    'SERVER_PROTOCOL', 'REMOTE_ADDR', 'PROXY_', 'wsgi.url_scheme')
        view = {key: value for key, value in environ.items() if key.startswith(prefixes)}
        calls.append(view)
        view['body'] = environ['wsgi.input'].read().decode('latin-1')
        answer = b'seen'
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(answer)))])
    return [answer]
";

/// A server that says what reached its app.
struct Witness {
    server: Server,
}

/// What became of some bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Outcome {
    /// Of the answers, in their order. None of `100 Continue`.
    statuses: Vec<u16>,
    /// What the app was called with. The body is missing where it could not be read.
    calls: Vec<Value>,
}

impl Witness {
    /// rwsgi with these options.
    fn rwsgi<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        Self::start(Server::of(APP), options)
    }

    /// The real gunicorn with these options.
    fn gunicorn<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        Self::start(Server::of(APP).gunicorn(), options)
    }

    fn start<'a>(builder: Builder, options: impl IntoIterator<Item = &'a str>) -> Self {
        Self { server: builder.args(["app:app"]).args(options).start() }
    }

    /// Sends bytes on a new connection, and then nothing more; and waits until the server has closed it.
    #[track_caller]
    fn show(&self, bytes: &[u8], way: Pieces) -> Outcome {
        let read = self.exchange(bytes, way);
        let calls = self.exchange(b"CALLS / HTTP/1.0\r\n\r\n", Pieces::Whole);
        let start = calls.windows(4).position(|four| four == b"\r\n\r\n").expect("the app answers") + 4;
        let calls = serde_json::from_slice(&calls[start..]).expect("the app answers with JSON");
        Outcome { statuses: statuses(&read), calls }
    }

    /// Sends bytes, ends the client's side, and reads all that comes.
    #[track_caller]
    fn exchange(&self, bytes: &[u8], way: Pieces) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.server.address()).expect("the server answers");
        stream.set_nodelay(true).expect("an option of the socket");
        stream.set_read_timeout(Some(LIMIT)).expect("an option of the socket");
        for piece in way.cut(bytes) {
            // A server that has refused what came may have gone.
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        let mut read = Vec::new();
        match stream.read_to_end(&mut read) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("the server neither answers nor closes: {:?}", String::from_utf8_lossy(bytes))
            }
            _ => read,
        }
    }
}

/// The statuses of answers: each begins the connection, or stands behind the body of the app or the page of a refusal.
/// gunicorn's pages show what was sent, but not like this.
fn statuses(read: &[u8]) -> Vec<u16> {
    static STATUS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?-u)(?:^|seen|</html>\n|\r\n\r\n)HTTP/1\.\d (\d{3})\b").expect("a valid expression")
    });
    let found = STATUS.captures_iter(read).map(|found| String::from_utf8_lossy(&found[1]).into_owned());
    found.map(|status| status.parse().expect("three digits")).filter(|status| *status >= 200).collect()
}
