//! Connections that end too early.

use super::BAD;
use crate::http::smuggling::Fate::{self, Seen, Unanswered};

/// Connections that end too early. Nothing comes behind these.
pub const ENDS: &[(&[u8], Fate)] = &[
    (b"", Unanswered),
    (b"\r\n", Unanswered),
    (b"G", Unanswered),
    (b"GET / HTTP/1.1", Unanswered),
    (b"GET / HTTP/1.1\r\nHost: a", Unanswered),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", Unanswered),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r", Unanswered),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", Seen(&["GET /"])),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r", BAD),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: a\r\n", BAD),
];
