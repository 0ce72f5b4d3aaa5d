//! The parts of a request's target (RFC 9112 section 3.2), as gunicorn splits it.

use std::ops::Range;

use super::Refusal;

/// Where the path and the query of a target are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parts {
    /// The path, not decoded; empty for the authority of a CONNECT.
    pub path: Range<usize>,
    /// What is between the question mark and the fragment.
    pub query: Range<usize>,
}

/// Splits a target, which is printable ASCII and not empty.
///
/// # Errors
/// Its form is none of the four, or not one that goes with the method.
pub fn split(target: &[u8], method: &[u8]) -> Result<Parts, Refusal> {
    const FORM: Refusal = Refusal::bad("Invalid request line: the form of the target");
    let start = match target {
        b"*" if method == b"OPTIONS" => 0,
        b"*" => return Err(FORM),
        [b'/', ..] => 0,
        // An authority, which has no path.
        _ if method == b"CONNECT" => {
            check_authority(target)?;
            return Ok(Parts { path: 0..0, query: 0..0 });
        }
        _ => {
            let colon = target.iter().position(|byte| *byte == b':').ok_or(FORM)?;
            let scheme = &target[..colon];
            let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
                && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
            let rest = target[colon..].strip_prefix(b"://").filter(|_| is_scheme).ok_or(FORM)?;
            let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
            check_authority(&rest[..end])?;
            colon + 3 + end
        }
    };
    let find = |from: usize, until: usize, wanted: u8| {
        target[from..until].iter().position(|byte| *byte == wanted).map(|at| from + at)
    };
    let end = find(start, target.len(), b'#').unwrap_or(target.len());
    Ok(match find(start, end, b'?') {
        Some(mark) => Parts { path: start..mark, query: mark + 1..end },
        None => Parts { path: start..end, query: end..end },
    })
}

/// A bracket belongs to an IPv6 address and to nothing else (RFC 3986 section 3.2.2).
fn check_authority(authority: &[u8]) -> Result<(), Refusal> {
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let fine = match host {
        [b'[', rest @ ..] => match rest.iter().position(|byte| *byte == b']') {
            Some(end) => {
                let address = std::str::from_utf8(&rest[..end]).unwrap_or_default();
                let is_future = address.starts_with(['v', 'V']);
                (is_future || address.parse::<std::net::Ipv6Addr>().is_ok())
                    && matches!(&rest[end + 1..], [] | [b':', ..])
            }
            None => false,
        },
        host => !host.iter().any(|byte| b"[]".contains(byte)),
    };
    if fine { Ok(()) } else { Err(Refusal::bad("Invalid request line: the host of the target")) }
}

#[cfg(test)]
mod tests {
    use super::split;

    fn parts<'a>(method: &str, target: &'a str) -> Option<(&'a str, &'a str)> {
        let parts = split(target.as_bytes(), method.as_bytes()).ok()?;
        Some((&target[parts.path], &target[parts.query]))
    }

    #[test]
    fn a_target_has_a_path_and_a_query() {
        for (target, path, query) in [
            ("/", "/", ""),
            ("/a?b=c?d#e?f", "/a", "b=c?d"),
            ("/a#b?c", "/a", ""),
            ("//evil.example/x", "//evil.example/x", ""),
            ("/a://b", "/a://b", ""),
            ("http://h/p?q", "/p", "q"),
            ("http://h", "", ""),
            ("http://h?q", "", "q"),
            ("http://[::1]:80/p", "/p", ""),
            ("http://u:p@h/p", "/p", ""),
        ] {
            assert_eq!(parts("GET", target), Some((path, query)), "{target}");
        }
        assert_eq!(parts("OPTIONS", "*"), Some(("*", "")));
        assert_eq!(parts("CONNECT", "h:80"), Some(("", "")));
    }

    #[test]
    fn other_forms_are_refused() {
        for target in
            ["*", "h:80", "foo", "a b", "://h/", "1http://h/", "http:/h", "http://[::1/", "http://a]/", "http://[x]/"]
        {
            assert_eq!(parts("GET", target), None, "{target}");
        }
        assert_eq!(parts("CONNECT", "[::1"), None);
    }
}
