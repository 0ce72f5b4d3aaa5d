//! What a connection begins with.

use super::{BAD, SECOND};
use crate::http::smuggling::Fate::{self, Seen};

/// What a connection begins with, however many requests that is.
pub const STREAMS: &[(&[u8], Fate)] = &[
    (b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", Seen(&["GET /1", "GET /2", SECOND])),
    (b"POST /1 HTTP/1.1\r\nContent-Length: 1\r\n\r\na\r\n", Seen(&["POST /1 CONTENT_LENGTH=1 a", SECOND])),
    (b"HEAD /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET /trap", Seen(&["HEAD /1 CONTENT_LENGTH=9 GET /trap", SECOND])),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
    (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", BAD),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", BAD),
    (b"\r\n\r\n\r\n", BAD),
    (b"POST /1 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    (b"POST /1 HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    (
        b"POST /1 HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
        Seen(&["POST /1 CONTENT_LENGTH=1 HTTP_CONNECTION=keep-alive a", SECOND]),
    ),
    (b"POST /1 HTTP/1.0\r\nContent-Length: 1\r\n\r\na", Seen(&["POST /1 CONTENT_LENGTH=1 a"])),
    (b"GET /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET /trap", Seen(&["GET /1 CONTENT_LENGTH=9 GET /trap", SECOND])),
    (
        b"DELETE /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET /trap",
        Seen(&["DELETE /1 CONTENT_LENGTH=9 GET /trap", SECOND]),
    ),
    (
        b"TRACE /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET /trap",
        Seen(&["TRACE /1 CONTENT_LENGTH=9 GET /trap", SECOND]),
    ),
    (b"CONNECT b:1 HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET /trap", Seen(&["CONNECT b:1 CONTENT_LENGTH=9 GET /trap"])),
    (
        b"HEAD /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nGET /trap\r\n0\r\n\r\n",
        Seen(&["HEAD /1 HTTP_TRANSFER_ENCODING=chunked GET /trap", SECOND]),
    ),
    (
        b"GET /1 HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
        Seen(&["GET /1 HTTP_CONNECTION=Upgrade, HTTP2-Settings HTTP_HTTP2_SETTINGS=AAA HTTP_UPGRADE=h2c", SECOND]),
    ),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    (b"GET /\r\n", BAD),
    (b"EHLO a\r\n", BAD),
    (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", BAD),
    (b"\xff\xd8\xff\xe0", BAD),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", BAD),
];
