//! From the head of a stream to that of a request: it is written out as HTTP/1.1 has it and read by the same code, so that
//! no rule holds for one version only.

use bytes::{BufMut as _, BytesMut};
use http::{HeaderName, header, request::Parts};

use crate::{
    settings::RequestRules,
    wire::{Framing, Head, Refusal, Scanner, Trust, Version},
};

/// Reads a head; `https` is whether the connection speaks TLS, `has_body` whether the stream goes on behind the head.
///
/// # Errors
/// What is wrong with it.
pub fn read(parts: &Parts, rules: &RequestRules, trust: Trust, https: bool, has_body: bool) -> Result<Head, Refusal> {
    let mut text = BytesMut::with_capacity(512);
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let target = match parts.uri.path_and_query() {
        Some(path) => path.as_str(),
        None => authority.unwrap_or("/"),
    };
    if parts.headers.values().any(|value| is_padded(value.as_bytes())) {
        return Err(Refusal::bad("Invalid header value: it begins or ends with white space"));
    }
    put(&mut text, &[parts.method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
    if parts.headers.get_all(header::HOST).iter().nth(1).is_some() {
        return Err(Refusal::bad("Host is given twice"));
    }
    // RFC 9113 section 8.3.1: it takes the place of Host, and names no user.
    if let Some(authority) = authority {
        if authority.contains('@') {
            return Err(Refusal::bad("The authority names a user"));
        }
        let host = parts.headers.get(header::HOST);
        if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
            return Err(Refusal::bad("Host is not what the authority says"));
        }
        put(&mut text, &[b"host: ", authority.as_bytes(), b"\r\n"]);
    }
    let mut cookies = parts.headers.get_all(header::COOKIE).iter();
    if let Some(first) = cookies.next() {
        put(&mut text, &[b"cookie: ", first.as_bytes()]);
        // RFC 9113 section 8.2.3: what was taken apart to be compressed.
        cookies.for_each(|crumb| put(&mut text, &[b"; ", crumb.as_bytes()]));
        text.put_slice(b"\r\n");
    }
    let is_written = |name: &HeaderName| name == header::COOKIE || (name == header::HOST && authority.is_some());
    for (name, value) in parts.headers.iter().filter(|(name, _)| !is_written(name)) {
        // These three cannot be in a value (`HeaderValue`); it is what keeps a line one line, so it is not left to others.
        if value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(Refusal::bad("Invalid header value: it has a control character"));
        }
        put(&mut text, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    text.put_slice(b"\r\n");
    // The limits of lines and fields.
    if Scanner::default().find_end(&text, rules)?.is_none_or(|(_, end)| end != text.len()) {
        return Err(Refusal::bad("Invalid header field"));
    }
    let mut head = Head::parse(text.freeze(), rules, trust)?;
    head.version = Version::HTTP_2;
    if has_body && head.framing.is_empty() && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        // The stream's end is the body's.
        head.framing = Framing::Chunked;
    }
    let claimed = parts.uri.scheme_str().filter(|_| trust == Trust::Proxy);
    head.came_by(claimed.map_or(https, |scheme| scheme == "https"));
    Ok(head)
}

/// Whether there is white space at either end of a value: nothing is dropped from it here, as it is in HTTP/1, so that
/// others may read it with that (RFC 9113 section 8.2.1).
pub fn is_padded(value: &[u8]) -> bool {
    matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

fn put(text: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        text.put_slice(part);
    }
}
