//! Heads of requests, and what a proxy says before them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use rwsgi::{
    http::read_head,
    settings::{HeaderMap, ProxyProtocol, RequestRules},
    wire::{Framing, Head, ProxyHeader, Refusal, Scanner, Trust, Version, is_token, is_value},
    wsgi::{self, Environ, Key, Origin},
};

use super::{choice, cut};

fn rules(bits: u8) -> RequestRules {
    let is_set = |bit: u8| bits & 1 << bit != 0;
    let header_map = [HeaderMap::Drop, HeaderMap::Refuse, HeaderMap::Dangerous, HeaderMap::Drop];
    RequestRules {
        limit_line: is_set(6).then_some(60),
        limit_fields: if is_set(6) { 4 } else { 100 },
        limit_field_size: if is_set(7) { 40 } else { 8190 },
        header_map: header_map[usize::from(bits & 3)],
        permit_obsolete_folding: is_set(2),
        strip_header_spaces: is_set(3),
        permit_unconventional_method: is_set(4),
        permit_unconventional_version: is_set(4),
        casefold_method: is_set(5),
        secure_scheme_headers: vec![("X-FORWARDED-PROTO".to_owned(), "https".to_owned())],
        forwarder_headers: vec!["SCRIPT_NAME".to_owned()],
    }
}

type Found = Result<Option<(usize, usize)>, Refusal>;

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, rules: &RequestRules) -> Found {
    let (mut scanner, mut bytes) = (Scanner::default(), Vec::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        let found = scanner.find_end(&bytes, rules);
        if found != Ok(None) {
            return found;
        }
    }
    Ok(None)
}

/// A head ends at the same place in whatever pieces it comes; and what is let in means the same when it is written down
/// and read again.
pub fn head(mut bytes: &[u8]) {
    let (rules, seed) = (rules(choice(&mut bytes)), choice(&mut bytes));
    let found = scan([bytes], &rules);
    for pieces in [cut(bytes, seed.into()), bytes.chunks(1).collect()] {
        // Which of two mistakes is seen first may depend on the pieces, but not that there is one.
        assert_eq!(scan(pieces, &rules).ok(), found.ok(), "in pieces");
    }
    let Ok(Some((start, end))) = found else { return };
    let trust = if seed & 1 == 0 { Trust::Stranger } else { Trust::Proxy };
    let Ok(head) = Head::parse(Bytes::copy_from_slice(&bytes[start..end]), &rules, trust) else { return };
    let again = Head::parse(written(&head), &rules, trust).expect("what was let in is let in again");
    assert_eq!(meaning(&head), meaning(&again));
    assert!(head.framing != Framing::Chunked || head.version >= Version::HTTP_11);
    assert!(head.framing != Framing::Chunked || head.fields.get("content-length").is_none());
    for field in head.fields.iter() {
        assert!(is_token(field.name) && is_value(field.value));
        assert!(rules.header_map == HeaderMap::Dangerous || !field.name.contains(&b'_') || field.is("script_name"));
    }
    assert!(head.target().bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(head.method() == "CONNECT" || head.path() == "*" || head.path().starts_with('/'), "{:?}", head.path());
    assert!(head.target().contains(head.query()));
}

fn written(head: &Head) -> Bytes {
    let mut text = format!("{} {} {}\r\n", head.method(), head.target(), head.version).into_bytes();
    for field in head.fields.iter() {
        text.extend([field.name, b": ", field.value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    text.into()
}

fn meaning(head: &Head) -> impl PartialEq + std::fmt::Debug {
    let fields: Vec<_> = head.fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
    let line = [head.method(), head.target(), head.path(), head.query()].map(str::to_owned);
    (line, head.version, fields, head.framing, head.keep_alive, head.expects_continue, head.https)
}

/// An environ that notes what it is given.
#[derive(Default)]
struct Noted(BTreeMap<String, Vec<u8>>);

impl Environ for Noted {
    type Error = std::convert::Infallible;

    fn set(&mut self, key: Key<'_>, value: &[u8]) -> Result<(), Self::Error> {
        let name = match key {
            Key::Header(name) => format!("HTTP_{}", String::from_utf8_lossy(name).to_uppercase().replace('-', "_")),
            key => format!("{key:?}"),
        };
        assert!(matches!(key, Key::PathInfo) || is_value(value), "{name} has a control character");
        assert!(self.0.insert(name.clone(), value.to_vec()).is_none(), "{name} is set twice");
        Ok(())
    }
}

/// No key of an environ is set twice, and its two parts of the path are the path.
pub fn environ(mut bytes: &[u8]) {
    let (rules, seed) = (rules(choice(&mut bytes)), choice(&mut bytes));
    let Ok(Some((start, end))) = scan([bytes], &rules) else { return };
    let trust = if seed & 1 == 0 { Trust::Stranger } else { Trust::Proxy };
    let Ok(head) = Head::parse(Bytes::copy_from_slice(&bytes[start..end]), &rules, trust) else { return };
    let scripts = ["", "/a", "/a/", "a"];
    let (name, port) = if seed & 2 == 0 { ("127.0.0.1", "80") } else { ("/run/socket", "") };
    let script_name = scripts[usize::from(seed >> 2 & 3)].to_owned();
    let request = wsgi::Request {
        head: Arc::new(head),
        peer: None,
        proxied: None,
        origin: Arc::new(Origin { name: name.to_owned(), port: port.to_owned(), script_name }),
        is_watched: false,
    };
    let mut noted = Noted::default();
    let Ok(()) = wsgi::fill(&request, &mut noted);
    if let Some((script, below)) = wsgi::mount(&request) {
        let whole = [script, below].concat();
        assert_eq!(whole, request.head.path().as_bytes());
        assert!(script.is_empty() || below.is_empty() || below[0] == b'/');
    }
}

/// What HTTP/2 brings is held to the rules of HTTP/1, and cannot be more lines than it has fields.
pub fn stream(mut bytes: &[u8]) {
    let (rules, seed) = (rules(choice(&mut bytes)), choice(&mut bytes));
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let [method, target] = [lines.next().unwrap_or_default(), lines.next().unwrap_or_default()];
    let mut request = http::Request::builder().method(method).uri(target);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        request = request.header(&line[..colon], line.get(colon + 1..).unwrap_or_default());
    }
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    let trust = if seed & 1 == 0 { Trust::Stranger } else { Trust::Proxy };
    let Ok(head) = read_head(&parts, &rules, trust, seed & 2 == 0, seed & 4 == 0) else { return };
    assert_eq!(head.version, Version::HTTP_2);
    assert!(head.fields.len() <= parts.headers.len() + 1);
    for field in head.fields.iter() {
        assert!(is_token(field.name) && is_value(field.value));
    }
    assert!(head.target().bytes().all(|byte| byte.is_ascii_graphic()));
}

/// Once it is said what a connection begins with, more bytes do not change it.
pub fn proxy(mut bytes: &[u8]) {
    let modes = [ProxyProtocol::Off, ProxyProtocol::V1, ProxyProtocol::V2, ProxyProtocol::Auto];
    let mode = modes[usize::from(choice(&mut bytes) & 3)];
    let mut said = Ok(ProxyHeader::Incomplete(1));
    for end in 1..=bytes.len().min(300) {
        let now = ProxyHeader::read(&bytes[..end], mode);
        if !matches!(said, Ok(ProxyHeader::Incomplete(_))) {
            assert_eq!(now.is_err(), said.is_err(), "after {end} bytes");
            assert!(now.is_err() || now == said, "{now:?} is not {said:?} after {end} bytes");
        }
        if let Ok(ProxyHeader::Present(_, length)) = now {
            assert!(length <= end);
        }
        said = now;
    }
}
