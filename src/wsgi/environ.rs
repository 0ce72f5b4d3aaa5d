//! From a request to the keys and values of its environ (PEP 3333, RFC 3875 section 4.1), as gunicorn has them.
//!
//! What is the same for every request (`wsgi.version`, say) is not set here: it is in the template that the
//! interpreter's side copies.

use std::{borrow::Cow, collections::HashMap, net::IpAddr};

use percent_encoding::percent_decode;

use super::Request;
use crate::wire::{Field, Fields, Version};

/// `SERVER_SOFTWARE`. Apps on PyPI test whether it begins with `gunicorn/` before they read a chunked body (httpbin
/// does), so the version whose behaviour rwsgi has comes first, as browsers put Mozilla first.
pub const SERVER_SOFTWARE: &str = concat!("gunicorn/27.0.1 rwsgi/", env!("CARGO_PKG_VERSION"));

/// What a listener says of itself in an environ.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// `SERVER_NAME`, unless the socket has no host; then the `Host` field has a say.
    pub name: String,
    /// `SERVER_PORT`; empty for a unix socket.
    pub port: String,
    /// The path that the app is mounted at, `SCRIPT_NAME`.
    pub script_name: String,
}

/// A key of an environ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each is the key of the same name")]
pub enum Key<'a> {
    RequestMethod,
    QueryString,
    RawUri,
    ServerProtocol,
    UrlScheme,
    RemoteAddr,
    RemotePort,
    ServerName,
    ServerPort,
    PathInfo,
    ScriptName,
    ContentType,
    ContentLength,
    ProxyProtocol,
    ProxyAddr,
    ProxyPort,
    /// `HTTP_` and the field's name, which is here as it was sent.
    Header(&'a [u8]),
}

/// Takes the keys and values. A value is bytes, each a character of the `str` that the app sees (PEP 3333: latin-1).
pub trait Environ {
    /// Why a key could not be set.
    type Error;

    /// Sets a key.
    ///
    /// # Errors
    /// As the implementation says.
    fn set(&mut self, key: Key<'_>, value: &[u8]) -> Result<(), Self::Error>;

    /// Sets the client's address and port.
    ///
    /// # Errors
    /// As the implementation says.
    fn set_peer(&mut self, address: IpAddr, port: u16) -> Result<(), Self::Error> {
        self.set(Key::RemoteAddr, address.to_string().as_bytes())?;
        self.set(Key::RemotePort, port.to_string().as_bytes())
    }
}

/// Sets everything that `request` decides.
///
/// # Errors
/// The first that `environ` reports.
pub fn fill<E: Environ>(request: &Request, environ: &mut E) -> Result<(), E::Error> {
    let head = &*request.head;
    let line = head.line();
    environ.set(Key::RequestMethod, line.method)?;
    environ.set(Key::QueryString, line.query)?;
    environ.set(Key::RawUri, line.target)?;
    match head.version {
        Version::HTTP_11 => environ.set(Key::ServerProtocol, b"HTTP/1.1")?,
        Version::HTTP_10 => environ.set(Key::ServerProtocol, b"HTTP/1.0")?,
        version => environ.set(Key::ServerProtocol, version.to_string().as_bytes())?,
    }
    set_fields(&head.fields, environ)?;
    if head.version == Version::HTTP_2 {
        // gunicorn's mark, whatever a field of that name says.
        environ.set(Key::Header(b"version"), b"2")?;
    }
    environ.set(Key::UrlScheme, if head.https { b"https" } else { b"http" })?;
    match request.peer {
        Some((address, port)) => environ.set_peer(address.to_canonical(), port)?,
        None => environ.set(Key::RemoteAddr, b"")?,
    }
    if let Some(proxied) = &request.proxied {
        environ.set(Key::ProxyProtocol, proxied.protocol.as_bytes())?;
        if let Some((_, proxy)) = proxied.addresses {
            environ.set(Key::ProxyAddr, proxy.ip().to_string().as_bytes())?;
            environ.set(Key::ProxyPort, proxy.port().to_string().as_bytes())?;
        }
    }
    let (name, port) = server(request);
    environ.set(Key::ServerName, name)?;
    environ.set(Key::ServerPort, port)?;
    // A request outside of the mount point is refused before it comes here.
    let (script_name, path) = mount(request).unwrap_or((b"", line.path));
    environ.set(Key::ScriptName, script_name)?;
    if memchr::memchr(b'%', path).is_none() {
        return environ.set(Key::PathInfo, path);
    }
    let path: Cow<'_, [u8]> = percent_decode(path).into();
    environ.set(Key::PathInfo, &path)
}

/// The path that the app is mounted at, and what is behind it of the request's path, not decoded. `None` where the
/// request is for another path. A proxy may name the mount point in a field (gunicorn's `forwarder_headers`).
pub fn mount(request: &Request) -> Option<(&[u8], &[u8])> {
    let path = request.head.line().path;
    let named = request.head.fields.all("script_name").next_back();
    let script_name = named.unwrap_or(request.origin.script_name.as_bytes());
    let script_name = script_name.strip_suffix(b"/").unwrap_or(script_name);
    if script_name.is_empty() {
        return Some((script_name, path));
    }
    let below = path.strip_prefix(script_name)?;
    (below.is_empty() || below.starts_with(b"/")).then_some((script_name, below))
}

fn set_fields<E: Environ>(fields: &Fields, environ: &mut E) -> Result<(), E::Error> {
    if may_repeat(fields) {
        return set_repeated(fields, environ);
    }
    for field in fields.iter() {
        environ.set(key(field), field.value)?;
    }
    Ok(())
}

/// Whether names may be the same in a key: they look alike, or there are too many to look at.
fn may_repeat(fields: &Fields) -> bool {
    const MANY: usize = 32;
    let mut marks = [0_u64; MANY];
    if fields.len() > MANY {
        return true;
    }
    for (index, field) in fields.iter().enumerate() {
        let name = field.name;
        // Most names are told apart by their length and what they end in.
        let mut end = [0; 8];
        let tail = &name[name.len().saturating_sub(end.len())..];
        end[..tail.len()].copy_from_slice(tail);
        let mark = u64::from_ne_bytes(end.map(folded)) ^ name.len() as u64;
        if marks[..index].contains(&mark) {
            return true;
        }
        marks[index] = mark;
    }
    false
}

/// The key of a field that is not repeated. What has an underscore in the place of a hyphen is another field: let through,
/// it must not change the length that the app sees.
fn key(field: Field<'_>) -> Key<'_> {
    match field.name.len() {
        12 if field.is("content-type") => Key::ContentType,
        14 if field.is("content-length") => Key::ContentLength,
        _ => Key::Header(field.name),
    }
}

/// Sets each key once, to the values of all fields that have it.
fn set_repeated<E: Environ>(fields: &Fields, environ: &mut E) -> Result<(), E::Error> {
    let mut joined: Vec<(Field<'_>, Cow<'_, [u8]>)> = Vec::with_capacity(fields.len());
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    for field in fields.iter() {
        let key = key(field);
        if !matches!(key, Key::Header(_)) {
            // These were not repeated, and others that look like them in a key have keys of their own.
            environ.set(key, field.value)?;
            continue;
        }
        let name = field.name.iter().map(|byte| folded(*byte)).collect();
        let place = *places.entry(name).or_insert(joined.len());
        if place == joined.len() {
            joined.push((field, Cow::Borrowed(field.value)));
            continue;
        }
        // A list in one field is separated by commas (RFC 9110 section 5.3), except for cookies (RFC 9113 section
        // 8.2.3). gunicorn writes no space.
        let (first, value) = &mut joined[place];
        value.to_mut().extend_from_slice(if first.is("cookie") { b"; " } else { b"," });
        value.to_mut().extend_from_slice(field.value);
    }
    joined.iter().try_for_each(|(field, value)| environ.set(Key::Header(field.name), value))
}

/// A byte of a name as it is in a key.
fn folded(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

/// `SERVER_NAME` and `SERVER_PORT`. A unix socket has no host: there the `Host` field names it, as in gunicorn.
fn server(request: &Request) -> (&[u8], &[u8]) {
    let origin = &request.origin;
    if !origin.port.is_empty() {
        return (origin.name.as_bytes(), origin.port.as_bytes());
    }
    let Some(host) = request.head.fields.get("host").filter(|host| !host.is_empty()) else {
        return (origin.name.as_bytes(), b"");
    };
    let usual: &[u8] = if request.head.https { b"443" } else { b"80" };
    match host.iter().rposition(|byte| *byte == b':').map(|colon| (&host[..colon], &host[colon + 1..])) {
        Some((name, port)) if !port.is_empty() && port.iter().all(u8::is_ascii_digit) => (name, port),
        // A port may be empty (RFC 3986 section 3.2.3).
        Some((name, b"")) => (name, usual),
        _ => (host, usual),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

    use bytes::Bytes;

    use super::{Environ, Key, Origin, Request, fill, mount};
    use crate::{
        settings::{HeaderMap, RequestRules},
        wire::{Head, Trust},
    };

    #[derive(Default)]
    struct Map(BTreeMap<String, Vec<u8>>);

    impl Environ for Map {
        type Error = Infallible;

        fn set(&mut self, key: Key<'_>, value: &[u8]) -> Result<(), Infallible> {
            let name = match key {
                Key::Header(name) => {
                    format!("HTTP_{}", String::from_utf8_lossy(name).to_uppercase().replace('-', "_"))
                }
                key => format!("{key:?}"),
            };
            assert_eq!(self.0.insert(name.clone(), value.to_vec()), None, "{name} is set twice");
            Ok(())
        }
    }

    fn request(text: &str, origin: Origin) -> Request {
        let rules = RequestRules { header_map: HeaderMap::Drop, ..RequestRules::default() };
        let rules = RequestRules { forwarder_headers: vec!["SCRIPT_NAME".to_owned()], ..rules };
        let text = Bytes::from(format!("{text}\r\n\r\n"));
        let head = Arc::new(Head::parse(text, &rules, Trust::Proxy).expect("a valid request"));
        let peer = (!origin.port.is_empty()).then(|| ([192, 0, 2, 1].into(), 4711));
        Request { head, peer, proxied: None, origin: Arc::new(origin), is_watched: false }
    }

    fn environ(text: &str, origin: Origin) -> BTreeMap<String, Vec<u8>> {
        let mut map = Map::default();
        let Ok(()) = fill(&request(text, origin), &mut map);
        map.0
    }

    fn tcp() -> Origin {
        Origin { name: "0.0.0.0".to_owned(), port: "5000".to_owned(), script_name: String::new() }
    }

    #[track_caller]
    fn check(environ: &BTreeMap<String, Vec<u8>>, expected: &[(&str, &str)]) {
        for (key, value) in expected {
            let found = environ.get(*key).map(|value| String::from_utf8_lossy(value).into_owned());
            assert_eq!(found.as_deref(), Some(*value), "{key}");
        }
    }

    #[test]
    fn a_request_over_tcp_has_every_cgi_key() {
        let request = "POST /a%20b/%C3%A9?x=%20 HTTP/1.1\r\nContent-Type: text/x\r\nContent-Length: 3";
        let environ = environ(request, tcp());
        check(
            &environ,
            &[
                ("RequestMethod", "POST"),
                ("QueryString", "x=%20"),
                ("RawUri", "/a%20b/%C3%A9?x=%20"),
                ("ServerProtocol", "HTTP/1.1"),
                ("UrlScheme", "http"),
                ("RemoteAddr", "192.0.2.1"),
                ("RemotePort", "4711"),
                ("ServerName", "0.0.0.0"),
                ("ServerPort", "5000"),
                ("PathInfo", "/a b/é"),
                ("ScriptName", ""),
                ("ContentType", "text/x"),
                ("ContentLength", "3"),
            ],
        );
        assert_eq!(environ.len(), 13, "{environ:?}");
    }

    #[test]
    fn repeated_fields_are_joined_and_underscores_are_dropped() {
        let many = (0..40).map(|number| format!("\r\nN{number}: x")).collect::<Vec<_>>().concat();
        for more in ["", many.as_str()] {
            let fields = "X-A: 1\r\nCookie: a=1\r\nx-a: 2\r\nCOOKIE: b=2\r\nX_A: spoofed";
            let environ = environ(&format!("GET / HTTP/1.1\r\n{fields}{more}"), tcp());
            check(&environ, &[("HTTP_X_A", "1,2"), ("HTTP_COOKIE", "a=1; b=2")]);
        }
    }

    #[test]
    fn a_unix_socket_takes_its_server_name_from_the_host() {
        let origin = Origin { name: "/run/app.sock".to_owned(), ..Origin::default() };
        let named = environ("GET / HTTP/1.1\r\nHost: example.org:81", origin.clone());
        check(&named, &[("ServerName", "example.org"), ("ServerPort", "81"), ("RemoteAddr", "")]);
        assert!(!named.contains_key("RemotePort"));
        check(
            &environ("GET / HTTP/1.1\r\nHost: [::1]", origin.clone()),
            &[("ServerName", "[::1]"), ("ServerPort", "80")],
        );
        let without = environ("GET / HTTP/1.1\r\nHost: example.org:", origin.clone());
        check(&without, &[("ServerName", "example.org"), ("ServerPort", "80")]);
        check(&environ("GET / HTTP/1.1", origin), &[("ServerName", "/run/app.sock"), ("ServerPort", "")]);
    }

    #[test]
    fn the_mount_point_is_cut_from_the_path() {
        let origin = Origin { script_name: "/app".to_owned(), ..tcp() };
        check(&environ("GET /app/x HTTP/1.1", origin.clone()), &[("ScriptName", "/app"), ("PathInfo", "/x")]);
        check(&environ("GET /app HTTP/1.1", origin.clone()), &[("ScriptName", "/app"), ("PathInfo", "")]);
        assert_eq!(mount(&request("GET /apple HTTP/1.1", origin.clone())), None);
        let trailing = Origin { script_name: "/app/".to_owned(), ..tcp() };
        check(&environ("GET /app/x HTTP/1.1", trailing), &[("ScriptName", "/app"), ("PathInfo", "/x")]);
        let named = environ("GET /p/x HTTP/1.1\r\nSCRIPT_NAME: /p", origin);
        check(&named, &[("ScriptName", "/p"), ("PathInfo", "/x")]);
    }

    #[test]
    fn odd_targets_keep_their_form() {
        check(&environ("OPTIONS * HTTP/1.1", tcp()), &[("PathInfo", "*"), ("RawUri", "*")]);
        let absolute = environ("GET http://h/p?q HTTP/1.1", tcp());
        check(&absolute, &[("PathInfo", "/p"), ("QueryString", "q"), ("RawUri", "http://h/p?q")]);
        let other = environ("GET http://u:p@h:80/p HTTP/1.1\r\nX-A: b\r\nHOST: other\r\nX-B: c", tcp());
        check(&other, &[("HTTP_HOST", "h:80"), ("HTTP_X_A", "b"), ("HTTP_X_B", "c")]);
        check(&environ("GET //evil.example/x HTTP/1.1", tcp()), &[("PathInfo", "//evil.example/x")]);
    }
}
