//! A client that writes bytes and reads bytes, so that tests say exactly what is on the wire.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

/// A connection to a server.
pub struct Client {
    address: String,
    stream: Stream,
    read: Vec<u8>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
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
        let stream = if let Some(path) = address.strip_prefix("unix:") {
            Stream::Unix(UnixStream::connect(path).expect("the socket answers"))
        } else {
            let stream = TcpStream::connect(address).expect("the server answers");
            stream.set_nodelay(true).expect("an option of the socket");
            Stream::Tcp(stream)
        };
        let client = Self { address: address.to_owned(), stream, read: Vec::new() };
        client.set_timeout(super::server::LIMIT);
        client
    }

    /// A new connection to the same address.
    pub fn again(&self) -> Self {
        Self::connect(&self.address)
    }

    /// How long a read waits before the test fails.
    pub fn set_timeout(&self, limit: Duration) {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
        .expect("an option of the socket");
    }

    /// Writes bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("the server reads");
        self
    }

    /// Writes bytes, to a server that may not read them.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Stream::Unix(stream) => stream.write_all(bytes.as_ref()),
        }
    }

    /// Writes bytes in pieces.
    pub fn send_in(&mut self, bytes: &[u8], pieces: Pieces) -> &mut Self {
        pieces.cut(bytes).into_iter().fold(self, |client, piece| client.send(piece))
    }

    /// Ends the client's side; the server may still answer.
    pub fn end(&self) {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
        }
        .expect("the connection is open");
    }

    /// Reads some bytes; none at the end of the connection.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 << 10];
        let size = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut buffer),
            Stream::Unix(stream) => stream.read(&mut buffer),
        }?;
        buffer.truncate(size);
        Ok(buffer)
    }

    /// Reads to the end of the connection, also where it is reset.
    pub fn read_all(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.read);
        loop {
            match self.read_some() {
                Ok(bytes) if bytes.is_empty() => return all,
                Ok(bytes) => all.extend(bytes),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return all,
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
                _ => return (std::mem::take(&mut self.read), false),
            }
        }
        let rest = self.read.split_off(size);
        (std::mem::replace(&mut self.read, rest), true)
    }

    fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                let rest = self.read.split_off(at + end.len());
                return Some(std::mem::replace(&mut self.read, rest));
            }
            match self.read_some() {
                Ok(bytes) if !bytes.is_empty() => self.read.extend(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the server stalls: {error}"),
                _ => return None,
            }
        }
    }
}
