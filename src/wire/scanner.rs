//! Finding the end of a head while it comes, in whatever pieces: what is wrong with its lines is seen as early as it can
//! be, and nothing is looked at twice.

use super::{Refusal, syntax::is_token};
use crate::settings::RequestRules;

/// How far a head has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scanner {
    /// So many bytes were looked at.
    seen: usize,
    /// Where the line begins that is being looked at.
    line: usize,
    /// Where the field begins that the line belongs to: it may go over several (obs-fold).
    field: usize,
    /// The lines before it.
    lines: usize,
    /// An empty line came before the first (RFC 9112 section 2.2).
    skipped: bool,
}

impl Scanner {
    /// Looks at what is new in `bytes`, which begin with the head. Returns where the head begins and ends, once it has.
    ///
    /// # Errors
    /// A line that is too long, that does not end in CRLF, or one too many.
    pub fn find_end(&mut self, bytes: &[u8], rules: &RequestRules) -> Result<Option<(usize, usize)>, Refusal> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let newline = self.seen + found;
            self.seen = newline + 1;
            if newline == self.line || bytes[newline - 1] != b'\r' {
                return Err(Refusal::bad("A line ends without a carriage return"));
            }
            let length = newline - 1 - self.line;
            match (self.lines, length) {
                (0, 0) if self.skipped => return Err(Refusal::bad("Invalid request line: it is empty")),
                (0, 0) => {
                    self.skipped = true;
                    self.line = self.seen;
                    continue;
                }
                (0, _) => check_first(&bytes[self.line..newline], length, rules)?,
                (_, 0) => return Ok(Some((if self.skipped { 2 } else { 0 }, self.seen))),
                _ => {
                    self.begin_line(bytes[self.line]);
                    check_field(self.seen - self.field, rules)?;
                }
            }
            if self.lines > rules.limit_fields + 1 {
                return Err(TOO_MANY);
            }
            self.lines = self.lines.max(1);
            self.line = self.seen;
        }
        self.seen = bytes.len();
        match (self.lines, bytes.get(self.line)) {
            // The CR may be there already.
            (0, _) => check_first(&bytes[self.line..], (self.seen - self.line).saturating_sub(1), rules)?,
            (_, Some(b' ' | b'\t')) => check_field(self.seen - self.field, rules)?,
            _ => check_field(self.seen - self.line, rules)?,
        }
        Ok(None)
    }

    /// A line behind the first begins with this byte.
    fn begin_line(&mut self, first: u8) {
        if !matches!(first, b' ' | b'\t') {
            self.field = self.line;
            self.lines += 1;
        }
    }
}

const TOO_MANY: Refusal = Refusal::new(431, "Too many header fields");

fn check_first(line: &[u8], length: usize, rules: &RequestRules) -> Result<(), Refusal> {
    if rules.limit_line.is_some_and(|limit| length > limit) || length > super::head::LONGEST {
        return Err(Refusal::new(414, "The request line is too long"));
    }
    // What begins like this is TLS, or another protocol whose head may never end.
    match line.first() {
        None | Some(b'\r') => Ok(()),
        Some(first) if is_token(&[*first]) => Ok(()),
        Some(_) => Err(Refusal::bad("Invalid request line: it does not begin with a method")),
    }
}

fn check_field(length: usize, rules: &RequestRules) -> Result<(), Refusal> {
    if length > rules.limit_field_size {
        return Err(Refusal::new(431, "A header field is too long"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Scanner;
    use crate::settings::RequestRules;

    fn rules() -> RequestRules {
        RequestRules { limit_line: Some(20), limit_fields: 2, limit_field_size: 12, ..RequestRules::default() }
    }

    /// The same in one piece and byte by byte.
    fn find(text: &str) -> Result<Option<(usize, usize)>, u16> {
        let whole = Scanner::default().find_end(text.as_bytes(), &rules());
        let mut scanner = Scanner::default();
        let mut bytewise = Ok(None);
        for end in 1..=text.len() {
            bytewise = scanner.find_end(&text.as_bytes()[..end], &rules());
            if bytewise != Ok(None) {
                break;
            }
        }
        assert_eq!(whole.map_err(|refusal| refusal.status), bytewise.map_err(|refusal| refusal.status), "{text:?}");
        whole.map_err(|refusal| refusal.status)
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        assert_eq!(find("GET / HTTP/1.1\r\n\r\nrest"), Ok(Some((0, 18))));
        assert_eq!(find("\r\nGET / HTTP/1.1\r\na: b\r\n\r\n"), Ok(Some((2, 26))));
        for partial in ["", "G", "\r", "\r\n", "GET / HTTP/1.1", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\na: b\r\n\r"] {
            assert_eq!(find(partial), Ok(None), "{partial:?}");
        }
    }

    #[test]
    fn lines_have_limits_whether_they_end_or_not() {
        assert_eq!(find("GET /7890123456789 H\r\n\r\n"), Ok(Some((0, 24))));
        assert_eq!(find("GET /7890123456789 HT\r\n\r\n"), Err(414));
        assert_eq!(find("GET /78901234567890123456789"), Err(414));
        assert_eq!(find("GET / HTTP/1.1\r\na: 4567890\r\n\r\n"), Ok(Some((0, 30))));
        assert_eq!(find("GET / HTTP/1.1\r\na: 45678901\r\n\r\n"), Err(431));
        assert_eq!(find("GET / HTTP/1.1\r\na: 4567890123456"), Err(431));
        assert_eq!(find("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n"), Err(431));
        assert_eq!(find("GET / HTTP/1.1\r\na: 45\r\n 678901234\r\n\r\n"), Err(431), "a folded field is one field");
    }

    #[test]
    fn every_line_ends_in_crlf() {
        for text in ["GET / HTTP/1.1\n", "\n", "GET / HTTP/1.1\r\na: b\n", "GET / HTTP/1.1\r\n\n", "\r\n\r\n"] {
            assert_eq!(find(text), Err(400), "{text:?}");
        }
    }

    #[test]
    fn another_protocol_is_noticed_by_its_first_byte() {
        for text in ["\u{16}\u{3}\u{1}", " GET", "\0", "\r\n\u{16}"] {
            assert_eq!(find(text), Err(400), "{text:?}");
        }
    }
}
