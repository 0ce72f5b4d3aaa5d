//! The parts of a request's target (RFC 9112 section 3.2), as gunicorn splits it.

use std::ops::Range;

use super::{Refusal, syntax::decimal};

/// Where the path and the query of a target are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parts {
    /// The path, not decoded; empty for the authority of a CONNECT.
    pub path: Range<usize>,
    /// What is between the question mark and the fragment.
    pub query: Range<usize>,
    /// The host and port of an absolute target.
    pub host: Option<Range<usize>>,
}

/// Splits a target, which is printable ASCII and not empty.
///
/// # Errors
/// Its form is none of the four, or not one that goes with the method.
pub fn split(target: &[u8], method: &[u8]) -> Result<Parts, Refusal> {
    const FORM: Refusal = Refusal::bad("Invalid request line: the form of the target");
    let mut host = None;
    let start = match target {
        b"*" if method == b"OPTIONS" => 0,
        b"*" => return Err(FORM),
        // An authority, which has no path, and nobody's name before its host.
        _ if method == b"CONNECT" => {
            let (host, port) = host_and_port(target);
            if port.and_then(port_number).is_none_or(|port| port == 0) {
                return Err(Refusal::bad("Invalid request line: CONNECT without a port"));
            }
            check_host(host)?;
            return Ok(Parts { path: 0..0, query: 0..0, host: None });
        }
        [b'/', ..] => 0,
        _ => {
            let colon = target.iter().position(|byte| *byte == b':').ok_or(FORM)?;
            let scheme = &target[..colon];
            let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
                && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
            let rest = target[colon..].strip_prefix(b"://").filter(|_| is_scheme).ok_or(FORM)?;
            let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
            let user = check_authority(&rest[..end])?;
            let (start, end) = (colon + 3, colon + 3 + end);
            host = Some(start + user..end);
            end
        }
    };
    let find = |from: usize, until: usize, wanted: u8| {
        target[from..until].iter().position(|byte| *byte == wanted).map(|at| from + at)
    };
    let end = find(start, target.len(), b'#').unwrap_or(target.len());
    Ok(match find(start, end, b'?') {
        Some(mark) => Parts { path: start..mark, query: mark + 1..end, host },
        None => Parts { path: start..end, query: end..end, host },
    })
}

const HOST: Refusal = Refusal::bad("Invalid request line: the host of the target");

/// The authority of a URI (RFC 3986 section 3.2). Gives the number of bytes before its host.
fn check_authority(authority: &[u8]) -> Result<usize, Refusal> {
    let at = memchr::memchr(b'@', authority);
    let (user, host_and_port) = authority.split_at(at.map_or(0, |at| at + 1));
    let (host, port) = self::host_and_port(host_and_port);
    let is_of_user = |byte: &u8| is_of_name(*byte) || *byte == b':';
    if !user.strip_suffix(b"@").unwrap_or(user).iter().all(is_of_user) {
        return Err(HOST);
    }
    // `http://host:/` has no port, and is valid.
    if port.is_some_and(|port| !port.is_empty() && port_number(port).is_none()) {
        return Err(HOST);
    }
    check_host(host)?;
    Ok(user.len())
}

/// Whether this may be the value of Host (RFC 9112 section 3.2), which is empty where a target has no authority.
pub fn is_host_field(value: &[u8]) -> bool {
    let (host, port) = host_and_port(value);
    let is_port = |port: &[u8]| port.is_empty() || port_number(port).is_some();
    value.is_empty() || port.is_none_or(is_port) && check_host(host).is_ok()
}

/// What is before the colon behind a host, and what is behind it, if there is one.
fn host_and_port(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = if text.starts_with(b"[") {
        memchr::memchr(b']', text).map_or(text.len(), |bracket| bracket + 1)
    } else {
        memchr::memchr(b':', text).unwrap_or(text.len())
    };
    match &text[end..] {
        [b':', port @ ..] => (&text[..end], Some(port)),
        // What stands behind a bracket makes a host that is none.
        _ => (text, None),
    }
}

fn port_number(text: &[u8]) -> Option<u16> {
    decimal(text)?.try_into().ok()
}

/// A name or an address, which must be there (RFC 9110 section 4.2.1). A bracket belongs to an IPv6 address and to nothing
/// else; what is no character of a name, a backslash say, is read by some as the end of it (RFC 3986 section 3.2.2).
fn check_host(host: &[u8]) -> Result<(), Refusal> {
    let fine = match host {
        [b'[', address @ .., b']'] => {
            let address = std::str::from_utf8(address).unwrap_or_default();
            let is_future =
                address.starts_with(['v', 'V']) && address.bytes().all(|byte| is_of_name(byte) || byte == b':');
            is_future || address.parse::<std::net::Ipv6Addr>().is_ok()
        }
        host => !host.is_empty() && host.iter().all(|byte| is_of_name(*byte)),
    };
    if fine { Ok(()) } else { Err(HOST) }
}

fn is_of_name(byte: u8) -> bool {
    OF_NAMES[usize::from(byte)]
}

/// Letters, digits, and what else a name may have: each request has a Host to look through.
const OF_NAMES: [bool; 256] = {
    let (others, mut of_names, mut byte) = (b"-._~!$&'()*+,;=%", [false; 256], 0);
    while byte < 128_u8 {
        of_names[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        of_names[others[at] as usize] = true;
        at += 1;
    }
    of_names
};

#[cfg(test)]
mod tests {
    use super::{is_host_field, split};

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
            ("http://h:/p", "/p", ""),
            ("http://[v1.a:b]/p", "/p", ""),
            ("http://a_b.%41!:65535/p", "/p", ""),
        ] {
            assert_eq!(parts("GET", target), Some((path, query)), "{target}");
        }
        assert_eq!(parts("OPTIONS", "*"), Some(("*", "")));
        assert_eq!(parts("CONNECT", "h:80"), Some(("", "")));
        assert_eq!(parts("CONNECT", "[::1]:80"), Some(("", "")));
    }

    #[test]
    fn a_host_field_is_a_host_and_perhaps_a_port() {
        for value in ["", "localhost", "a_b:8000", "127.0.0.1:", "[::1]:80", "xn--bcher-kva.example", "0.0.0.0=5000"] {
            assert!(is_host_field(value.as_bytes()), "{value}");
        }
        for value in ["a b", "a/../b", "u@h", "h:a", "h:70000", ":80", "[::1", "a\\b", "a\u{e9}", "h:1:2", "a?b", "a#"]
        {
            assert!(!is_host_field(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for target in
            ["*", "h:80", "foo", "a b", "://h/", "1http://h/", "http:/h", "http://[::1/", "http://a]/", "http://[x]/"]
        {
            assert_eq!(parts("GET", target), None, "{target}");
        }
        for authority in [
            "", ":80", "u@", "h:a", "h:+1", "h:65536", "h:1:2", "h\\", "h\\@i", "u@v@h", "[::1]a", "[::1", "[v1.\\]",
            "::1", "h|",
        ] {
            assert_eq!(parts("GET", &format!("http://{authority}/")), None, "{authority}");
        }
        for target in ["[::1", "h", "h:", "h:0", "h:65536", "h:a", ":80", "u@h:80", "h:80/", "/", "http://h:80/", "*"] {
            assert_eq!(parts("CONNECT", target), None, "{target}");
        }
    }
}
