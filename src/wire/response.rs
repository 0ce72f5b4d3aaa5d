//! The head of an answer as it goes out.

use std::{
    cell::RefCell,
    time::{Duration, UNIX_EPOCH},
};

use super::{Fields, Version};
use crate::sys;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Connection {
    /// It may bring another request.
    KeepAlive,
    /// It ends with this answer.
    Close,
}

/// Writes a head: the server's own fields first, as gunicorn has them, and then the app's.
///
/// The body's length is `length`; without one, the body comes in chunks where `chunked` is set, and otherwise ends with
/// the connection, or there is none.
#[expect(clippy::too_many_arguments, reason = "each is one thing that stands in a head")]
pub fn write_head(
    out: &mut Vec<u8>,
    version: Version,
    status: u16,
    reason: &[u8],
    connection: Connection,
    length: Option<u64>,
    chunked: bool,
    fields: &Fields,
) {
    out.reserve(160 + fields.lines().len());
    out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    decimal(out, status);
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\nServer: rwsgi\r\nDate: ");
    write_date(out);
    out.extend_from_slice(match connection {
        Connection::KeepAlive => b"\r\nConnection: keep-alive\r\n",
        Connection::Close => b"\r\nConnection: close\r\n",
    });
    if let Some(length) = length {
        out.extend_from_slice(b"Content-Length: ");
        decimal(out, length);
        out.extend_from_slice(b"\r\n");
    } else if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(fields.lines());
    out.extend_from_slice(b"\r\n");
}

fn decimal(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes the time now as fields have it (RFC 9110 section 5.6.7), made once a second.
pub fn write_date(out: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let second = sys::coarse_time().as_secs();
    LAST.with_borrow_mut(|(made, text)| {
        if *made != second {
            *made = second;
            *text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        out.extend_from_slice(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::{Connection, write_head};
    use crate::wire::{FieldsWriter, Version};

    #[test]
    fn a_head_has_the_servers_fields_and_the_apps_as_they_are() {
        let mut fields = FieldsWriter::default();
        fields.push(b"ETag", b"\"x\"");
        fields.push(b"set-cookie", b"\xe9");
        let mut out = Vec::new();
        let fields = fields.finish();
        write_head(&mut out, Version::HTTP_11, 200, b"Fine", Connection::KeepAlive, Some(12), false, &fields);
        let text = String::from_utf8_lossy(&out);
        let (before, after) = text.split_once("Date: ").expect("a date");
        assert_eq!(before, "HTTP/1.1 200 Fine\r\nServer: rwsgi\r\n");
        let rest = &after[29..];
        assert_eq!(
            rest,
            "\r\nConnection: keep-alive\r\nContent-Length: 12\r\nETag: \"x\"\r\nset-cookie: \u{fffd}\r\n\r\n"
        );
    }
}
