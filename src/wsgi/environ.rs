//! From a request to the keys and values of its environ (PEP 3333, RFC 3875 section 4.1), as gunicorn has them.
//!
//! What is the same for every request (`wsgi.version`, say) is not set here: it is in the template that the
//! interpreter's side copies.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode;

use super::Request;

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
    /// `HTTP_` and the field's name.
    Header(&'a HeaderName),
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
}

/// Sets everything that `request` decides.
///
/// # Errors
/// The first that `environ` reports.
pub fn fill<E: Environ>(request: &Request, environ: &mut E) -> Result<(), E::Error> {
    let parts = &request.parts;
    environ.set(Key::RequestMethod, parts.method.as_str().as_bytes())?;
    environ.set(Key::QueryString, parts.uri.query().unwrap_or_default().as_bytes())?;
    environ.set(Key::RawUri, raw_uri(&parts.uri).as_bytes())?;
    environ.set(Key::ServerProtocol, super::protocol(parts.version).as_bytes())?;
    set_fields(&parts.headers, environ)?;
    environ.set(Key::UrlScheme, b"http")?;
    match request.peer {
        Some((address, port)) => {
            environ.set(Key::RemoteAddr, address.to_canonical().to_string().as_bytes())?;
            environ.set(Key::RemotePort, port.to_string().as_bytes())?;
        }
        None => environ.set(Key::RemoteAddr, b"")?,
    }
    let (name, port) = server(&request.origin, &parts.headers);
    environ.set(Key::ServerName, name.as_bytes())?;
    environ.set(Key::ServerPort, port.as_bytes())?;
    let path: Cow<'_, [u8]> = percent_decode(path(&parts.uri).as_bytes()).into();
    let script_name = request.origin.script_name.as_bytes();
    // A request outside of the mount point keeps its whole path, as with no SCRIPT_NAME.
    let below = path.strip_prefix(script_name).filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
    environ.set(Key::ScriptName, if below.is_some() { script_name } else { b"" })?;
    environ.set(Key::PathInfo, below.unwrap_or(&path))
}

/// The request's target as it came (gunicorn's `RAW_URI`).
pub fn raw_uri(uri: &http::Uri) -> Cow<'_, str> {
    match (uri.scheme(), uri.path_and_query()) {
        (None, Some(target)) => Cow::Borrowed(target.as_str()),
        _ => Cow::Owned(uri.to_string()),
    }
}

/// `*` stays as it is, and an absolute target without a path means `/` (RFC 9112 section 3.2).
fn path(uri: &http::Uri) -> &str {
    match uri.path() {
        "" => "/",
        path => path,
    }
}

fn set_fields<E: Environ>(headers: &HeaderMap, environ: &mut E) -> Result<(), E::Error> {
    for name in headers.keys() {
        // `X_Forwarded_For` and `X-Forwarded-For` would be one key: whoever is in front cannot tell them apart, so the
        // one that a client can slip past it is dropped (gunicorn's header_map).
        if name.as_str().contains('_') {
            continue;
        }
        let key = match *name {
            header::CONTENT_TYPE => Key::ContentType,
            header::CONTENT_LENGTH => Key::ContentLength,
            _ => Key::Header(name),
        };
        let mut values = headers.get_all(name).iter();
        let first = values.next().map_or(&b""[..], http::HeaderValue::as_bytes);
        match values.next() {
            None => environ.set(key, first)?,
            Some(second) => {
                // A list in one field is separated by commas (RFC 9110 section 5.3), except for cookies (RFC 9113
                // section 8.2.3). gunicorn writes no space.
                let separator: &[u8] = if *name == header::COOKIE { b"; " } else { b"," };
                let mut joined = first.to_vec();
                for value in std::iter::once(second).chain(values) {
                    joined.extend_from_slice(separator);
                    joined.extend_from_slice(value.as_bytes());
                }
                environ.set(key, &joined)?;
            }
        }
    }
    Ok(())
}

/// `SERVER_NAME` and `SERVER_PORT`. A unix socket has no host: there the `Host` field names it, as in gunicorn.
fn server<'a>(origin: &'a Origin, headers: &'a HeaderMap) -> (&'a str, &'a str) {
    if !origin.port.is_empty() {
        return (&origin.name, &origin.port);
    }
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty())
    else {
        return (&origin.name, "");
    };
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
        _ => (host, "80"),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

    use super::{Environ, Key, Origin, Request, fill};

    #[derive(Default)]
    struct Map(BTreeMap<String, Vec<u8>>);

    impl Environ for Map {
        type Error = Infallible;

        fn set(&mut self, key: Key<'_>, value: &[u8]) -> Result<(), Infallible> {
            let name = match key {
                Key::Header(name) => format!("HTTP_{}", name.as_str().to_uppercase().replace('-', "_")),
                key => format!("{key:?}"),
            };
            assert_eq!(self.0.insert(name.clone(), value.to_vec()), None, "{name} is set twice");
            Ok(())
        }
    }

    fn environ(request: http::request::Builder, origin: Origin) -> BTreeMap<String, Vec<u8>> {
        let (parts, ()) = request.body(()).expect("a valid request").into_parts();
        let peer = (!origin.port.is_empty()).then(|| ([192, 0, 2, 1].into(), 4711));
        let mut map = Map::default();
        let Ok(()) = fill(&Request { parts, peer, origin: Arc::new(origin), notes: None }, &mut map);
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
        let request =
            http::Request::post("/a%20b/%C3%A9?x=%20").header("content-type", "text/x").header("content-length", "3");
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
        let request = http::Request::get("/")
            .header("x-a", "1")
            .header("x-a", "2")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x_a", "spoofed");
        let environ = environ(request, tcp());
        check(&environ, &[("HTTP_X_A", "1,2"), ("HTTP_COOKIE", "a=1; b=2")]);
    }

    #[test]
    fn a_unix_socket_takes_its_server_name_from_the_host() {
        let origin = Origin { name: "/run/app.sock".to_owned(), ..Origin::default() };
        let named = environ(http::Request::get("/").header("host", "example.org:81"), origin.clone());
        check(&named, &[("ServerName", "example.org"), ("ServerPort", "81"), ("RemoteAddr", "")]);
        assert!(!named.contains_key("RemotePort"));
        check(
            &environ(http::Request::get("/").header("host", "[::1]"), origin.clone()),
            &[("ServerName", "[::1]"), ("ServerPort", "80")],
        );
        check(&environ(http::Request::get("/"), origin), &[("ServerName", "/run/app.sock"), ("ServerPort", "")]);
    }

    #[test]
    fn the_mount_point_is_cut_from_the_path() {
        let origin = Origin { script_name: "/app".to_owned(), ..tcp() };
        check(&environ(http::Request::get("/app/x"), origin.clone()), &[("ScriptName", "/app"), ("PathInfo", "/x")]);
        check(&environ(http::Request::get("/app"), origin.clone()), &[("ScriptName", "/app"), ("PathInfo", "")]);
        check(&environ(http::Request::get("/apple"), origin), &[("ScriptName", ""), ("PathInfo", "/apple")]);
    }

    #[test]
    fn odd_targets_keep_their_form() {
        check(&environ(http::Request::options("*"), tcp()), &[("PathInfo", "*"), ("RawUri", "*")]);
        let absolute = environ(http::Request::get("http://h/p?q"), tcp());
        check(&absolute, &[("PathInfo", "/p"), ("QueryString", "q"), ("RawUri", "http://h/p?q")]);
        check(&environ(http::Request::get("//evil.example/x"), tcp()), &[("PathInfo", "//evil.example/x")]);
    }
}
