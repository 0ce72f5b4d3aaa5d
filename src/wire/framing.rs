//! Where a request's body ends (RFC 9112 section 6.3).

use super::{Fields, Refusal, Version, syntax};

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// It has this many bytes; there may be none.
    Length(u64),
    /// It comes in chunks.
    Chunked,
}

impl Framing {
    /// Whether there is a body at all.
    pub fn is_empty(self) -> bool {
        self == Self::Length(0)
    }
}

/// No body is longer: others count in signed numbers of 64 bits.
const LONGEST: u64 = i64::MAX as u64;

/// How a request's body is framed, and whether the connection must close behind it.
///
/// # Errors
/// Whatever two servers could read in two ways: a length beside a coding, a coding under HTTP/1.0, a repeated length.
pub fn framing(fields: &Fields, version: Version) -> Result<(Framing, bool), Refusal> {
    let mut length = None;
    let (mut coded, mut chunked, mut close) = (false, false, false);
    for field in fields.iter() {
        if field.is("content-length") {
            if length.is_some() {
                return Err(Refusal::bad("Content-Length is given twice"));
            }
            let number = syntax::decimal(field.value).filter(|length| *length <= LONGEST);
            length = Some(number.ok_or(Refusal::bad("Content-Length is not a number of bytes"))?);
        } else if field.is("transfer-encoding") {
            coded = true;
            for coding in field.value.split(|byte| *byte == b',').map(syntax::trim) {
                match coding.to_ascii_lowercase().as_slice() {
                    b"chunked" | b"identity" | b"compress" | b"deflate" | b"gzip" if chunked => {
                        return Err(Refusal::bad("Transfer-Encoding has more behind chunked"));
                    }
                    b"chunked" => chunked = true,
                    b"identity" => {}
                    // The app gets the body as it was coded.
                    b"compress" | b"deflate" | b"gzip" => close = true,
                    _ => return Err(Refusal::new(501, "Transfer-Encoding has a coding that is not known")),
                }
            }
        }
    }
    match (coded, chunked, length) {
        (false, _, length) => Ok((Framing::Length(length.unwrap_or(0)), false)),
        (true, false, _) => Err(Refusal::bad("Transfer-Encoding does not end in chunked")),
        (true, true, _) if version < Version::HTTP_11 => Err(Refusal::bad("Transfer-Encoding in HTTP/1.0")),
        (true, true, Some(_)) => Err(Refusal::bad("Content-Length beside Transfer-Encoding")),
        (true, true, None) => Ok((Framing::Chunked, close)),
    }
}
