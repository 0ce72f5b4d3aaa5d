//! The request, and the head of what is answered. The body is nobody's concern: it may have no end.

use std::io::{self, Read, Write};

use super::place::Place;
use crate::wire::{HEALTHCHECK, HTTP2_WANTED, TLS_WANTED};

/// More of a head than this is not an answer.
const LONGEST: usize = 1 << 16;

/// What came back.
#[derive(Debug, Eq, PartialEq)]
pub enum Reply {
    /// A status: its number, and as it was written.
    Answer { code: u16, status: String },
    /// The server speaks TLS.
    WantsTls,
    /// The server speaks HTTP/2.
    WantsHttp2,
}

impl Reply {
    /// A server that wants to know who asks is there.
    pub fn locked() -> Self {
        Self::Answer { code: 401, status: "a request for a certificate".to_owned() }
    }
}

/// Asks for `path`, and reads the head of the answer.
pub fn put(stream: &mut (impl Read + Write), place: &Place, path: &str) -> io::Result<Reply> {
    let host = place.host();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {HEALTHCHECK}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut bytes = Vec::new();
    loop {
        if let Some(reply) = read(&mut bytes)? {
            return Ok(match reply {
                Reply::Answer { code: 400 | 403, .. } => wanted(stream, bytes).unwrap_or(reply),
                other => other,
            });
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 if bytes.is_empty() => return Err(io::Error::other("it closed the connection without an answer")),
            0 => return Err(io::Error::other("it closed the connection in the middle of an answer")),
            count => bytes.extend(&chunk[..count]),
        }
    }
}

/// The status of a whole head, which is taken out of `bytes`; nothing while there is none.
fn read(bytes: &mut Vec<u8>) -> io::Result<Option<Reply>> {
    let odd = || io::Error::other("what it answered is not HTTP/1");
    loop {
        let start = b"HTTP/1.";
        if bytes.iter().zip(start).any(|(one, other)| one != other) {
            return Err(odd());
        }
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > LONGEST { Err(odd()) } else { Ok(None) };
        };
        let head: Vec<u8> = bytes.drain(..end + 4).collect();
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let status = String::from_utf8_lossy(line.get(9..).unwrap_or_default()).trim().to_owned();
        let code = status.split(' ').next().and_then(|code| code.parse().ok()).ok_or_else(odd)?;
        // Early hints and their like come before the answer.
        if code >= 200 {
            return Ok(Some(Reply::Answer { code, status }));
        }
    }
}

/// What the server wants instead, if that is why it refused.
fn wanted(stream: &mut impl Read, mut body: Vec<u8>) -> Option<Reply> {
    // What does not come is not in there.
    let _ = stream.take(1024).read_to_end(&mut body);
    let says = |text: &str| memchr::memmem::find(&body, text.as_bytes()).is_some();
    if says(TLS_WANTED) { Some(Reply::WantsTls) } else { says(HTTP2_WANTED).then_some(Reply::WantsHttp2) }
}

#[cfg(test)]
mod tests {
    use super::{Reply, read};

    #[test]
    fn the_first_answer_that_is_one_counts() {
        let mut bytes = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n".to_vec();
        let status = "204 No Content".to_owned();
        assert_eq!(read(&mut bytes).unwrap(), Some(Reply::Answer { code: 204, status }));
        assert_eq!(read(&mut b"HTTP/1.1 200 OK\r\nA:".to_vec()).unwrap(), None);
        for odd in ["SSH-2.0-x\r\n", "HTTP/2.0 200\r\n\r\n", "HTTP/1.1 x\r\n\r\n", "\u{15}\u{3}\u{3}"] {
            assert!(read(&mut odd.into()).is_err(), "{odd:?}");
        }
    }
}
