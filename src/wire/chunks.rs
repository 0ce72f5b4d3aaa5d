//! The chunks of a body (RFC 9112 section 7.1) while they come: only what is well-formed passes.

use super::{Refusal, syntax};
use crate::settings::RequestRules;

/// How far a chunked body has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Chunks {
    state: State,
    /// So many bytes of an unfinished line were looked at already.
    seen: usize,
    extensions_size: usize,
    trailers: Trailers,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Size,
    /// So many bytes of the chunk are still to come.
    Data(u64),
    /// The line that ends a chunk's data.
    DataEnd,
    Trailer,
    Done,
}

impl Chunks {
    /// How many of these bytes frame what comes next, and how many of the body's own follow them. Neither where more has
    /// to come first, or nothing will. What is left is to be shown again with what comes behind it.
    ///
    /// # Errors
    /// What is wrong with the framing.
    pub fn next(&mut self, bytes: &[u8], rules: &RequestRules) -> Result<(usize, usize), Refusal> {
        let mut at = 0;
        while self.state != State::Done && at < bytes.len() {
            if let State::Data(left) = self.state {
                let here = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX).min(left);
                self.state = if left == here { State::DataEnd } else { State::Data(left - here) };
                return Ok((at, usize::try_from(here).unwrap_or(usize::MAX)));
            }
            let Some(line) = self.line(&bytes[at..], rules)? else { break };
            let text = &bytes[at..at + line - 2];
            let next = match self.state {
                State::Size => {
                    let (size, extensions) = size(text)?;
                    self.extensions_size += extensions;
                    if self.extensions_size > EXTENSIONS {
                        return Err(Refusal::bad("There are too many chunk extensions"));
                    }
                    if size == 0 { State::Trailer } else { State::Data(size) }
                }
                State::DataEnd if text.is_empty() => State::Size,
                State::DataEnd => return Err(Refusal::bad("A chunk is longer than its size")),
                State::Trailer if text.is_empty() => State::Done,
                State::Trailer => {
                    self.trailers.take_line(text, rules)?;
                    State::Trailer
                }
                state => state,
            };
            self.state = next;
            at += line;
        }
        Ok((at, 0))
    }

    /// Whether the last chunk and what belongs to it have come.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The length of the first line with its end, if it is whole.
    fn line(&mut self, bytes: &[u8], rules: &RequestRules) -> Result<Option<usize>, Refusal> {
        if self.state == State::DataEnd && !matches!(bytes, [b'\r'] | [b'\r', b'\n', ..]) {
            return Err(Refusal::bad("A chunk is longer than its size"));
        }
        let newline = memchr::memchr(b'\n', &bytes[self.seen..]).map(|found| self.seen + found);
        let length = newline.unwrap_or(bytes.len());
        if length > rules.limit_field_size {
            return Err(match self.state {
                State::Trailer => Refusal::new(431, "A trailer field is too long"),
                _ => Refusal::bad("Invalid chunk size: the line is too long"),
            });
        }
        match newline {
            Some(newline) if newline > 0 && bytes[newline - 1] == b'\r' => {
                self.seen = 0;
                Ok(Some(newline + 1))
            }
            Some(_) => Err(Refusal::bad("A line between chunks ends without a carriage return")),
            None => {
                self.seen = bytes.len();
                Ok(None)
            }
        }
    }
}

/// The trailer fields of a body. They are dropped, since the environ has no place for them, and held to the rules of fields
/// all the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trailers {
    count: usize,
    size: usize,
}

impl Trailers {
    /// Takes a field. What its name must be was seen to.
    ///
    /// # Errors
    /// It must not be there, or there are too many.
    pub fn take(&mut self, name: &[u8], value: &[u8], rules: &RequestRules) -> Result<(), Refusal> {
        self.count += 1;
        self.size += name.len() + value.len() + 3;
        if self.count > rules.limit_fields || self.size > TRAILERS {
            return Err(Refusal::new(431, "Too many trailer fields"));
        }
        // They decide how a message is framed, routed or let in (RFC 9110 section 6.5.1): too late here.
        let forbidden = ["host", "content-length", "transfer-encoding", "trailer", "authorization", "te"];
        if forbidden.iter().any(|forbidden| syntax::same_name(name, forbidden.as_bytes())) {
            return Err(Refusal::bad("A field that must not be a trailer field"));
        }
        if !syntax::is_value(value) {
            return Err(Refusal::bad("Invalid value of a trailer field: it has a control character"));
        }
        Ok(())
    }

    /// The same for a line.
    fn take_line(&mut self, line: &[u8], rules: &RequestRules) -> Result<(), Refusal> {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        let (name, value) = line.split_at(colon);
        if !syntax::is_token(name) {
            return Err(Refusal::bad("Invalid name of a trailer field"));
        }
        self.take(name, &value[1..], rules)
    }
}

/// The trailer section may have this many bytes.
const TRAILERS: usize = 16 << 10;

/// All of a body's extensions may have this many bytes. They mean nothing to anybody, and cost the client less than us
/// (RFC 9112 section 7.1.1).
const EXTENSIONS: usize = 16 << 10;

/// A size may have this many digits, with the zeros before them that some write. More mean as little as extensions do.
const DIGITS: usize = 64;

/// The size in a chunk's first line, and how many bytes its extensions have, which must be well-formed, and are dropped.
fn size(line: &[u8]) -> Result<(u64, usize), Refusal> {
    let semicolon = memchr::memchr(b';', line);
    let digits = match semicolon {
        // White space is allowed before an extension, and only there.
        Some(at) => syntax::trim_end(&line[..at]),
        None => line,
    };
    let significant = &digits[digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len())..];
    let valid =
        (1..=DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit) && significant.len() <= 15;
    if !valid {
        return Err(Refusal::bad("Invalid chunk size"));
    }
    if let Some(at) = semicolon
        && !are_extensions(&line[at..])
    {
        return Err(Refusal::bad("Invalid chunk extension"));
    }
    let digit = |digit: &u8| u64::from(char::from(*digit).to_digit(16).unwrap_or(0));
    let size = significant.iter().fold(0, |size, next| size << 4 | digit(next));
    Ok((size, line.len() - digits.len()))
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 section 7.1.1).
fn are_extensions(mut text: &[u8]) -> bool {
    let skip = |text: &mut &[u8]| {
        while let [b' ' | b'\t', rest @ ..] = text {
            *text = rest;
        }
    };
    let token = |text: &mut &[u8]| {
        let length = text.iter().position(|byte| !syntax::is_token(&[*byte])).unwrap_or(text.len());
        *text = &text[length..];
        length > 0
    };
    while !text.is_empty() {
        skip(&mut text);
        let [b';', rest @ ..] = text else { return false };
        text = rest;
        skip(&mut text);
        if !token(&mut text) {
            return false;
        }
        let mut value = text;
        skip(&mut value);
        if let [b'=', rest @ ..] = value {
            text = rest;
            skip(&mut text);
            let valid = match text {
                [b'"', rest @ ..] => quoted(rest).map(|rest| text = rest).is_some(),
                _ => token(&mut text),
            };
            if !valid {
                return false;
            }
        }
    }
    true
}

/// What is behind a quoted string whose first quote is gone (RFC 9110 section 5.6.4).
fn quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if syntax::is_value(&[*escaped]) => text = rest,
            [b'\\', ..] | [] => return None,
            [byte, rest @ ..] if syntax::is_value(&[*byte]) => text = rest,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunks, size};
    use crate::settings::RequestRules;

    /// What is left of the framing in pieces of this size, and whether it has ended; or the status.
    fn pass(text: &str, piece: usize) -> Result<(String, bool), u16> {
        let rules = RequestRules { limit_fields: 2, limit_field_size: 40, ..RequestRules::default() };
        let mut chunks = Chunks::default();
        let (mut waiting, mut passed) = (Vec::new(), Vec::new());
        for piece in text.as_bytes().chunks(piece) {
            waiting.extend_from_slice(piece);
            loop {
                let (skipped, data) = chunks.next(&waiting, &rules).map_err(|refusal| refusal.status)?;
                waiting.drain(..skipped);
                passed.extend(waiting.drain(..data));
                if skipped + data == 0 {
                    break;
                }
            }
        }
        Ok((String::from_utf8(passed).expect("text"), chunks.is_done()))
    }

    #[test]
    fn chunks_pass_in_whatever_pieces_they_come() {
        let text = "5\r\nhello\r\n06;a=b;c=\"d\\\";e\"\t;f\r\n world\r\n0\r\nX-A: b\r\n\r\n";
        let body = "hello world";
        for piece in [1, 2, 3, 7, 100] {
            assert_eq!(pass(text, piece), Ok((body.to_owned(), true)), "{piece}");
            assert_eq!(pass(&format!("{text}GET /"), piece), Ok((body.to_owned(), true)), "{piece}");
        }
        assert_eq!(pass("5\r\nhel", 1), Ok(("hel".to_owned(), false)));
        assert_eq!(pass("5\r", 1), Ok((String::new(), false)), "a line passes when it is whole");
    }

    #[test]
    fn what_is_no_chunk_does_not_pass() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5;\r\n",
            "5;a=\r\n",
            "5;a=\"b\r\n",
            "5;a\rb\r\n",
            "5;a=\"b\rc\"\r\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\n",
            "5\r\nhello\r\r\n",
            "f0000000000000003\r\nabc",
            "0\r\nContent-Length: 1\r\n\r\n",
            "0\r\nX A: 1\r\n\r\n",
            "0\r\nX-A: 1\n\r\n",
            "0\r\n: 1\r\n\r\n",
            "0\r\nX-A: \0\r\n\r\n",
            "0\r\nX: 1\r\n folded\r\n\r\n",
            "5;;a\r\n",
        ] {
            for piece in [1, 3, 100] {
                assert_eq!(pass(text, piece), Err(400), "{text:?} in pieces of {piece}");
            }
        }
        assert_eq!(pass("0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", 1), Err(431));
        assert_eq!(pass(&format!("5;{}", "a".repeat(60)), 1), Err(400), "a line has an end");
    }

    #[test]
    fn sizes_are_hexadecimal() {
        assert_eq!(size(b"0000000000000000000000Ff"), Ok((255, 0)));
        assert_eq!(size(b"fffffffffffffff"), Ok((0x0fff_ffff_ffff_ffff, 0)));
        assert_eq!(size(b"5 ;a"), Ok((5, 3)));
        assert!(size(b"ffffffffffffffff").is_err());
        let padded = |zeros: usize| size(format!("{}1", "0".repeat(zeros)).as_bytes());
        assert_eq!(padded(63), Ok((1, 0)));
        assert!(padded(64).is_err(), "zeros are not for nothing either");
    }

    #[test]
    fn extensions_are_few() {
        let body = |count: usize| "1;a=34567890\r\n.\r\n".repeat(count) + "0\r\n\r\n";
        assert_eq!(pass(&body(1489), 100), Ok((".".repeat(1489), true)), "16379 bytes");
        assert_eq!(pass(&body(1490), 100), Err(400), "16390 bytes");
    }
}
