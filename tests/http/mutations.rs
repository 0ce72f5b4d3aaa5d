//! Requests that are nearly valid: valid ones with a few seeded mistakes.

use fastrand::Rng;

use super::attempts::SMUGGLED;

const VALID: [&[u8]; 10] = [
    b"GET /a/b?c=d HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://b.example:80/c?d#e HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n",
    b"HEAD /a HTTP/1.1\r\nHost: a\r\nX-A: b\r\nX-A: c\r\nCookie: d=e; f=g\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world",
    b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-A: b\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    b"PATCH /a%20b HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nContent-Length: 0\r\n\r\n",
];

/// Bytes that mean something, or should.
const BYTES: &[u8] = b"\r\n\t :;,=\"\\/?#*@%&+-._0159aAzZ\0\x01\x0b\x0c\x1f\x7f\x80\xa0\xff";

const WORDS: [&[u8]; 20] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r\n ",
    b"chunked",
    b", chunked",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"X_A: b\r\n",
    b"Expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"5\r\n",
    b"HTTP/1.0",
    b"http://",
    b"0x",
    b"gzip, ",
    b"ffffffff",
];

/// So many of them, each with a second request behind it. The same for the same seed.
pub fn mutations(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(seed);
    let mutation = |_| {
        let mut bytes = rng.choice(VALID).expect("there are some").to_vec();
        for _ in 0..rng.usize(1..=3) {
            mutate(&mut bytes, &mut rng);
        }
        // What is cut off does not end inside of what comes behind it.
        if rng.u8(..) < 230 {
            bytes.extend_from_slice(SMUGGLED);
        }
        bytes
    };
    (0..count).map(mutation).collect()
}

/// Changes something.
pub fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    let end = rng.usize(at..=bytes.len().min(at + 12));
    let byte = *rng.choice(BYTES).expect("there are some");
    match rng.u8(..8) {
        0 => bytes.insert(at, byte),
        1 if at < bytes.len() => bytes[at] = byte,
        2 if at < bytes.len() => {
            bytes.remove(at);
        }
        3 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        4 => {
            bytes.drain(at..end);
        }
        5 if rng.u8(..) < 64 => bytes.truncate(at),
        6 => move_line(bytes, rng),
        _ => {
            let word = rng.choice(WORDS).expect("there are some");
            let at = if word.ends_with(b"\n") { line_start(bytes, at) } else { at };
            bytes.splice(at..at, word.iter().copied());
        }
    }
}

/// Where the line begins that has this byte.
fn line_start(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

/// Puts a line elsewhere, or a second time.
fn move_line(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let start = line_start(bytes, rng.usize(..=bytes.len()));
    let end = bytes[start..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |newline| start + newline + 1);
    let line = bytes[start..end].to_vec();
    if rng.bool() {
        bytes.drain(start..end);
    }
    let to = line_start(bytes, rng.usize(..=bytes.len()));
    bytes.splice(to..to, line);
}
