//! The head of an answer: what an app may say in `start_response`, and how its body is delimited.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

/// A status line and header fields that may go out.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The text behind the number, as the app wrote it.
    pub reason: Vec<u8>,
    /// The app's fields in its order, without those that the server answers for.
    pub fields: Vec<(HeaderName, HeaderValue)>,
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

impl Head {
    /// Checks what an app passed to `start_response`; texts are latin-1 (PEP 3333).
    ///
    /// # Errors
    /// What does not belong into a head.
    pub fn new<'a>(status: &[u8], fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Self, HeadError> {
        let (code, reason) = parse_status(status)?;
        let mut head = Self { status: code, reason: reason.to_vec(), fields: Vec::new(), content_length: None };
        for (name, value) in fields {
            head.push(name, value)?;
        }
        // A 204 has no length (RFC 9110 section 8.6); a 304 keeps that of the answer it stands for.
        if code == StatusCode::NO_CONTENT || code.is_informational() {
            head.content_length = None;
        }
        Ok(head)
    }

    fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        let name = HeaderName::from_bytes(name).map_err(|_| HeadError::Name)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::Value(name.as_str().to_owned()))?;
        if name == header::CONTENT_LENGTH {
            let text = value.to_str().unwrap_or_default().trim_matches([' ', '\t']);
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let length = text.parse().ok().filter(|_| digits).ok_or(HeadError::ContentLength)?;
            if self.content_length.replace(length).is_some_and(|before| before != length) {
                return Err(HeadError::ContentLength);
            }
        } else if !is_the_servers(&name) {
            self.fields.push((name, value));
        }
        Ok(())
    }

    /// The page that says that the server failed, or refused: gunicorn's.
    pub fn error_page(status: StatusCode) -> (Self, Bytes) {
        let reason = status.canonical_reason().unwrap_or("Error");
        let body = format!(
            "<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n    <h1><p>{reason}</p></h1>\n    \n  \
             </body>\n</html>\n"
        );
        let fields = vec![(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))];
        let head = Self { status, reason: reason.as_bytes().to_vec(), fields, content_length: Some(body.len() as u64) };
        (head, Bytes::from(body))
    }

    /// Whether an answer to `method` with this status has a body at all (RFC 9110 section 6.4.1).
    pub fn has_body(&self, method: &Method) -> bool {
        let status = self.status;
        *method != Method::HEAD
            && !status.is_informational()
            && status != StatusCode::NO_CONTENT
            && status != StatusCode::NOT_MODIFIED
    }
}

/// Hop-by-hop fields are not an app's to set (PEP 3333); Date and Server are the server's, as in gunicorn.
fn is_the_servers(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 10] = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::DATE,
        header::SERVER,
    ];
    NAMES.contains(name) || name.as_str() == "trailers"
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
    use http::Method;

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
        assert_eq!(head("200 OK", &[("X-A", "a\r\nSet-Cookie: x=1")]), Err(HeadError::Value("x-a".to_owned())));
        assert_eq!(head("200 OK", &[("X-A", "a\0")]), Err(HeadError::Value("x-a".to_owned())));
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
        assert_eq!(head.fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn head_204_and_304_have_no_body() {
        assert!(head("200 OK", &[]).expect("valid").has_body(&Method::GET));
        assert!(!head("200 OK", &[]).expect("valid").has_body(&Method::HEAD));
        assert!(!head("204 No Content", &[]).expect("valid").has_body(&Method::GET));
        assert!(!head("304 Not Modified", &[]).expect("valid").has_body(&Method::GET));
    }
}
