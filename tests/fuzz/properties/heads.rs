//! Heads of requests, and what a proxy says before them.

use bytes::Bytes;
use rwsgi::{
    settings::{HeaderMap, ProxyProtocol, RequestRules},
    wire::{Framing, Head, ProxyHeader, Refusal, Scanner, Trust, Version, is_token, is_value},
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

/// Once it is said what a connection begins with, more bytes do not change it.
pub fn proxy(mut bytes: &[u8]) {
    let modes = [ProxyProtocol::Off, ProxyProtocol::V1, ProxyProtocol::V2, ProxyProtocol::Auto];
    let mode = modes[usize::from(choice(&mut bytes) & 3)];
    let mut said = Ok(ProxyHeader::Incomplete);
    for end in 1..=bytes.len().min(300) {
        let now = ProxyHeader::read(&bytes[..end], mode);
        if said != Ok(ProxyHeader::Incomplete) {
            assert_eq!(now.is_err(), said.is_err(), "after {end} bytes");
            assert!(now.is_err() || now == said, "{now:?} is not {said:?} after {end} bytes");
        }
        if let Ok(ProxyHeader::Present(_, length)) = now {
            assert!(length <= end);
        }
        said = now;
    }
}
