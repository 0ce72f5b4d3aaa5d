//! The head of an answer: what an app may say in `start_response`, and how its body is delimited.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;

use crate::wire::{self, Fields, FieldsWriter};

/// A status line and header fields that may go out.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The text behind the number, as the app wrote it.
    pub reason: Cow<'static, [u8]>,
    /// The app's fields as it wrote them, without those that the server answers for.
    pub fields: Fields,
    /// The length of the body, where the app said it.
    pub content_length: Option<u64>,
}

/// Why a head cannot go out. The offending value is never repeated: it may hold whatever a client sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HeadError {
    #[error("the status is not three digits and a reason")]
    Status,
    #[error("a header name is not a token (RFC 9110 section 5.6.2)")]
    Name,
    #[error("the value of header {0:?} has a control character")]
    Value(String),
    #[error("Content-Length is not one number")]
    ContentLength,
}

/// A head in the making.
pub struct HeadWriter {
    status: StatusCode,
    reason: Cow<'static, [u8]>,
    fields: FieldsWriter,
    content_length: Option<u64>,
}

impl HeadWriter {
    /// Begins with the status that an app passed to `start_response`, to be followed by so many fields. All texts are
    /// latin-1 (PEP 3333).
    ///
    /// # Errors
    /// It is none.
    pub fn new(status: &[u8], fields: usize) -> Result<Self, HeadError> {
        let (status, reason) = parse_status(status)?;
        let usual = status.canonical_reason().map(str::as_bytes).filter(|usual| *usual == reason);
        let reason = usual.map_or_else(|| Cow::Owned(reason.to_vec()), Cow::Borrowed);
        Ok(Self { status, reason, fields: FieldsWriter::for_fields(fields), content_length: None })
    }

    /// Begins with hints of what the answer will have (103, RFC 8297), in so many fields.
    pub fn hints(fields: usize) -> Self {
        let (status, reason) = (StatusCode::EARLY_HINTS, Cow::Borrowed(&b"Early Hints"[..]));
        Self { status, reason, fields: FieldsWriter::for_fields(fields), content_length: None }
    }

    /// Adds a field of the app's.
    ///
    /// # Errors
    /// It does not belong into a head.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        check(name, value)?;
        match kind(name) {
            Kind::App => self.fields.push(name, value.trim_ascii()),
            Kind::Server => {}
            Kind::ContentLength => {
                let length = length(value)?;
                if self.content_length.replace(length).is_some_and(|before| before != length) {
                    return Err(HeadError::ContentLength);
                }
            }
        }
        Ok(())
    }

    /// The head.
    pub fn finish(self) -> Head {
        let Self { status, reason, fields, content_length } = self;
        // A 204 has no length (RFC 9110 section 8.6); a 304 keeps that of the answer it stands for.
        let content_length = content_length.filter(|_| status != StatusCode::NO_CONTENT);
        Head { status, reason, fields: fields.finish(), content_length }
    }
}

impl Head {
    /// Checks what an app passed to `start_response`; texts are latin-1 (PEP 3333).
    ///
    /// # Errors
    /// What does not belong into a head.
    pub fn new<'a>(status: &[u8], fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Self, HeadError> {
        let fields = fields.into_iter();
        let mut writer = HeadWriter::new(status, fields.size_hint().0)?;
        for (name, value) in fields {
            writer.push(name, value)?;
        }
        Ok(writer.finish())
    }

    /// The page that says that the server failed, or refused: gunicorn's.
    pub fn error_page(status: StatusCode, why: &str) -> (Self, Bytes) {
        let reason = status.canonical_reason().unwrap_or("Error");
        let body = wire::page(reason, why);
        let mut fields = FieldsWriter::default();
        fields.push(b"Content-Type", b"text/html");
        let content_length = Some(body.len() as u64);
        let reason = Cow::Borrowed(reason.as_bytes());
        let head = Self { status, reason, fields: fields.finish(), content_length };
        (head, Bytes::from(body))
    }

    /// Whether an answer with this status has a body at all, to a request that is no `HEAD` (RFC 9110 section 6.4.1).
    pub fn has_body(&self) -> bool {
        self.status != StatusCode::NO_CONTENT && self.status != StatusCode::NOT_MODIFIED
    }
}

/// Nothing that would end a line before its end passes.
fn check(name: &[u8], value: &[u8]) -> Result<(), HeadError> {
    if !wire::is_token(name) {
        return Err(HeadError::Name);
    }
    if !wire::is_value(value) {
        return Err(HeadError::Value(String::from_utf8_lossy(name).into_owned()));
    }
    Ok(())
}

fn length(value: &[u8]) -> Result<u64, HeadError> {
    let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(HeadError::ContentLength)
}

/// Whose a field is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    App,
    ContentLength,
    Server,
}

/// Hop-by-hop fields are not an app's to set (PEP 3333); Date and Server are the server's, as in gunicorn.
fn kind(name: &[u8]) -> Kind {
    let names: &[&str] = match name.len() {
        2 => &["te"],
        4 => &["date"],
        6 => &["server"],
        7 => &["trailer", "upgrade"],
        8 => &["trailers"],
        10 => &["connection", "keep-alive"],
        14 if name.eq_ignore_ascii_case(b"content-length") => return Kind::ContentLength,
        16 => &["proxy-connection"],
        17 => &["transfer-encoding"],
        18 => &["proxy-authenticate"],
        19 => &["proxy-authorization"],
        _ => &[],
    };
    if names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) { Kind::Server } else { Kind::App }
}

fn parse_status(status: &[u8]) -> Result<(StatusCode, &[u8]), HeadError> {
    let (code, rest) = status.split_at_checked(3).ok_or(HeadError::Status)?;
    let reason = match rest {
        [] => rest,
        [b' ', reason @ ..] => reason,
        _ => return Err(HeadError::Status),
    };
    let visible = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    if !code.iter().all(u8::is_ascii_digit) || !reason.iter().all(visible) {
        return Err(HeadError::Status);
    }
    let code = StatusCode::from_bytes(code).map_err(|_| HeadError::Status)?;
    // An interim status would leave the client waiting for the answer proper.
    if code.is_informational() { Err(HeadError::Status) } else { Ok((code, reason)) }
}

#[cfg(test)]
mod tests {
    use super::{Head, HeadError};

    fn head(status: &str, fields: &[(&str, &str)]) -> Result<Head, HeadError> {
        Head::new(status.as_bytes(), fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[test]
    fn a_status_is_three_digits_and_a_reason() {
        for status in ["200 OK", "404 Not Found", "299 \u{e9}", "200", "200 ", "999 x"] {
            assert!(head(status, &[]).is_ok(), "{status}");
        }
        for status in ["", "20", "2000", "abc OK", "200OK", "200 O\r\nK", "200 \0", "-20 x", "100 Continue", "099 x"] {
            assert_eq!(head(status, &[]), Err(HeadError::Status), "{status}");
        }
    }

    #[test]
    fn nothing_that_would_split_the_head_passes() {
        assert_eq!(head("200 OK", &[("X-A", "a\r\nSet-Cookie: x=1")]), Err(HeadError::Value("X-A".to_owned())));
        assert_eq!(head("200 OK", &[("X-A", "a\0")]), Err(HeadError::Value("X-A".to_owned())));
        for name in ["X A", "X:A", "", "X\r\nY"] {
            assert_eq!(head("200 OK", &[(name, "a")]), Err(HeadError::Name), "{name:?}");
        }
    }

    #[test]
    fn content_length_is_one_number() {
        assert_eq!(head("200 OK", &[("Content-Length", "12")]).expect("valid").content_length, Some(12));
        assert_eq!(head("204 No Content", &[("Content-Length", "12")]).expect("valid").content_length, None);
        assert_eq!(head("304 Not Modified", &[("Content-Length", "12")]).expect("valid").content_length, Some(12));
        for value in ["", "-1", "+1", "1.0", "0x1", "1, 1", "99999999999999999999"] {
            assert_eq!(head("200 OK", &[("Content-Length", value)]), Err(HeadError::ContentLength), "{value:?}");
        }
        let twice = [("Content-Length", "1"), ("content-length", "2")];
        assert_eq!(head("200 OK", &twice), Err(HeadError::ContentLength));
    }

    #[test]
    fn fields_of_the_connection_and_the_server_are_left_out() {
        let given = ["Connection", "Keep-Alive", "TE", "Transfer-Encoding", "Upgrade", "Date", "Server", "X-Kept"];
        let given: Vec<_> = given.iter().map(|name| (*name, "x")).collect();
        let head = head("200 OK", &given).expect("valid");
        assert_eq!(head.fields.iter().map(|field| field.name).collect::<Vec<_>>(), [b"X-Kept"]);
    }

    #[test]
    fn a_204_and_a_304_have_no_body() {
        assert!(head("200 OK", &[]).expect("valid").has_body());
        assert!(!head("204 No Content", &[]).expect("valid").has_body());
        assert!(!head("304 Not Modified", &[]).expect("valid").has_body());
    }
}
