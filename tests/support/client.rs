//! A client that writes bytes and reads bytes, so that tests say exactly what is on the wire.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

/// A connection to a server.
pub struct Client {
    stream: Box<dyn Stream>,
    read: BytesMut,
}

/// What bytes go through.
trait Stream: Read + Write + Send {
    fn set_timeout(&self, limit: Duration) -> io::Result<()>;
    fn set_blocking(&self, blocking: bool) -> io::Result<()>;
    /// Ends the client's side.
    fn end(&mut self) -> io::Result<()>;
}

macro_rules! is_stream {
    ($stream:ty) => {
        impl Stream for $stream {
            fn set_timeout(&self, limit: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(limit))
            }

            fn set_blocking(&self, blocking: bool) -> io::Result<()> {
                self.set_nonblocking(!blocking)
            }

            fn end(&mut self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

is_stream!(TcpStream);
is_stream!(UnixStream);

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn set_timeout(&self, limit: Duration) -> io::Result<()> {
        self.sock.set_timeout(limit)
    }

    fn set_blocking(&self, blocking: bool) -> io::Result<()> {
        self.sock.set_blocking(blocking)
    }

    fn end(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.end()
    }
}

/// A response as it was on the wire, its body without chunk framing.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// The whole status line.
    pub status_line: String,
    /// Names as they were written.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body ended as its framing says.
    pub whole: bool,
}

impl Response {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How a request is cut when it is sent.
#[derive(Clone, Copy, Debug)]
pub enum Pieces {
    Whole,
    ByteByByte,
    /// Pieces of sizes that follow from a seed.
    Random(u64),
}

impl Pieces {
    /// The pieces of these bytes.
    pub fn cut(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::ByteByByte => bytes.chunks(1).collect(),
            Self::Random(mut state) => {
                let (mut rest, mut pieces) = (bytes, Vec::new());
                while !rest.is_empty() {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let size = usize::try_from(state >> 59).expect("five bits").clamp(1, rest.len());
                    let (piece, behind) = rest.split_at(size);
                    pieces.push(piece);
                    rest = behind;
                }
                pieces
            }
        }
    }
}

/// Every way of sending that a wire test goes through.
pub const WAYS: [Pieces; 4] = [Pieces::Whole, Pieces::ByteByByte, Pieces::Random(1), Pieces::Random(2)];

impl Client {
    /// Connects to `HOST:PORT` or `unix:PATH`.
    pub fn connect(address: &str) -> Self {
        if let Some(path) = address.strip_prefix("unix:") {
            Self::over(Box::new(UnixStream::connect(path).expect("the socket answers")))
        } else {
            Self::over(Box::new(tcp(address)))
        }
    }

    /// Connects to `HOST:PORT` by TLS, to a server with this certificate, and says this first without TLS.
    pub fn connect_tls(address: &str, certificate: &Path, first: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).expect("a certificate")).expect("a certificate");
        let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = tcp(address);
        stream.write_all(first).expect("the server reads");
        let connection = ClientConnection::new(config, name).expect("a configuration that can be used");
        Self::over(Box::new(StreamOwned::new(connection, stream)))
    }

    fn over(stream: Box<dyn Stream>) -> Self {
        let client = Self { stream, read: BytesMut::new() };
        client.set_timeout(super::server::LIMIT);
        client
    }

    /// How long a read waits before the test fails.
    pub fn set_timeout(&self, limit: Duration) {
        self.stream.set_timeout(limit).expect("an option of the socket");
    }

    /// Writes bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("the server reads");
        self
    }

    /// Writes bytes, to a server that may not read them.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Writes bytes, and takes in what comes meanwhile: a server may answer before it has read all of them.
    #[track_caller]
    pub fn send_and_read(&mut self, mut bytes: &[u8]) -> &mut Self {
        self.stream.set_blocking(false).expect("an option of the socket");
        let mut end = Instant::now() + super::server::LIMIT;
        while !bytes.is_empty() {
            let written = match self.stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                // The server has answered and does not want the rest.
                Err(error) if is_gone(&error) => break,
                written => written.expect("the server reads"),
            };
            bytes = &bytes[written..];
            if self.take_in() > 0 || written > 0 {
                end = Instant::now() + super::server::LIMIT;
            } else {
                assert!(Instant::now() < end, "the server neither reads nor answers");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.stream.set_blocking(true).expect("an option of the socket");
        self
    }

    /// Whether something has come that was not read yet. Does not wait.
    pub fn has_come(&mut self) -> bool {
        self.stream.set_blocking(false).expect("an option of the socket");
        self.take_in();
        self.stream.set_blocking(true).expect("an option of the socket");
        !self.read.is_empty()
    }

    fn take_in(&mut self) -> usize {
        let came = self.read_some().unwrap_or_default();
        self.read.extend_from_slice(&came);
        came.len()
    }

    /// Writes bytes in pieces.
    pub fn send_in(&mut self, bytes: &[u8], pieces: Pieces) -> &mut Self {
        pieces.cut(bytes).into_iter().fold(self, |client, piece| client.send(piece))
    }

    /// Ends the client's side; the server may still answer.
    pub fn end(&mut self) {
        self.stream.end().expect("the connection is open");
    }

    /// Reads some bytes; none at the end of the connection.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 << 10];
        let size = loop {
            match self.stream.read(&mut buffer) {
                // A signal says nothing of the connection.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        buffer.truncate(size);
        Ok(buffer)
    }

    /// Reads to the end of the connection, also where it is reset.
    pub fn read_all(&mut self) -> Vec<u8> {
        let mut all = Vec::from(std::mem::take(&mut self.read));
        loop {
            match self.read_some() {
                Ok(bytes) if bytes.is_empty() => return all,
                Ok(bytes) => all.extend(bytes),
                Err(error) if is_gone(&error) => return all,
                Err(error) => panic!("the server neither answers nor closes: {error}"),
            }
        }
    }

    /// Whether the server has closed the connection and sent nothing more.
    pub fn is_closed(&mut self) -> bool {
        self.read_all().is_empty()
    }

    /// Sends a GET for a path and reads its response.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).response("GET")
    }

    /// Sends a request whose body has this content and reads its response.
    #[track_caller]
    pub fn post(&mut self, path: &str, body: &[u8]) -> Response {
        let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send(head).send(body).response("POST")
    }

    /// Reads the response to a request with this method.
    #[track_caller]
    pub fn response(&mut self, method: &str) -> Response {
        let head = self.take_until(b"\r\n\r\n");
        let head = head.unwrap_or_else(|| panic!("no response, but {:?}", String::from_utf8_lossy(&self.read)));
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().expect("a status line").to_owned();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let fields: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').expect("a field has a colon"))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut response = Response { status, status_line, fields, body: Vec::new(), whole: true };
        if method == "HEAD" || status == 204 || status == 304 || status < 200 {
            return response;
        }
        if response.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            (response.body, response.whole) = self.chunks();
        } else if let Some(length) = response.field("content-length").map(|value| value.parse().expect("a length")) {
            (response.body, response.whole) = self.take(length);
        } else {
            response.body = self.read_all();
        }
        response
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Some(line) = self.take_until(b"\r\n") else { return (body, false) };
            let text = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(text.trim(), 16).expect("the size of a chunk");
            let (data, whole) = self.take(size);
            body.extend(data);
            if !whole || self.take(2) != (b"\r\n".to_vec(), true) {
                return (body, false);
            }
            if size == 0 {
                return (body, true);
            }
        }
    }

    /// Takes so many bytes, fewer only where the connection ends.
    fn take(&mut self, size: usize) -> (Vec<u8>, bool) {
        while self.read.len() < size {
            match self.read_some() {
                Ok(bytes) if !bytes.is_empty() => self.read.extend(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the server stalls: {error}"),
                _ => return (std::mem::take(&mut self.read).into(), false),
            }
        }
        (self.read.split_to(size).into(), true)
    }

    fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return Some(self.read.split_to(at + end.len()).into());
            }
            match self.read_some() {
                Ok(bytes) if !bytes.is_empty() => self.read.extend(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the server stalls: {error}"),
                _ => return None,
            }
        }
    }
}

fn tcp(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server answers");
    stream.set_nodelay(true).expect("an option of the socket");
    stream
}

/// Whether the server has closed the connection without a farewell: by TLS too, where one belongs to it.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
