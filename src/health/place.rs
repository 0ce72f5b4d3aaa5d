//! Where a server is, and how it is spoken to, from a URL or from what `--bind` takes.

use std::{fmt, str::FromStr};

use http::Uri;

use crate::{exit::Fatal, net::Bind};

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// By TLS.
    Https,
}

/// Where a server listens: a host and a port, or a unix socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place(pub Bind);

impl Place {
    /// The same for a client: what listens at all addresses is reached at this machine's own.
    #[must_use]
    pub fn for_clients(self) -> Self {
        Self(match self.0 {
            Bind::Tcp(host, port) if host == "0.0.0.0" => Bind::Tcp("127.0.0.1".to_owned(), port),
            Bind::Tcp(host, port) if host == "::" => Bind::Tcp("::1".to_owned(), port),
            other => other,
        })
    }

    /// For a request's `Host`.
    pub fn host(&self) -> String {
        match &self.0 {
            Bind::Tcp(..) => self.to_string(),
            _ => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was named: a place, and of a URL its scheme and path.
#[derive(Debug, Eq, PartialEq)]
pub struct Named {
    /// Where.
    pub place: Place,
    /// How, if that was said.
    pub scheme: Option<Scheme>,
    /// The path and query, if there are such.
    pub path: Option<String>,
}

impl FromStr for Named {
    type Err = Fatal;

    fn from_str(text: &str) -> Result<Self, Fatal> {
        let refused = |why: &str| {
            Fatal::with_code(
                crate::exit::Code::Usage,
                format!("{text:?} is not an address to ask: {why}. Name HOST:PORT, unix:PATH or an http(s):// URL."),
            )
        };
        let scheme = match text.split_once("://") {
            Some(("http", _)) => Scheme::Http,
            Some(("https", _)) => Scheme::Https,
            _ => {
                let bind = Bind::parse(text).map_err(refused)?;
                if matches!(bind, Bind::Descriptor(_)) {
                    return Err(refused("an open socket is its server's own"));
                }
                return Ok(Self { place: Place(bind).for_clients(), scheme: None, path: None });
            }
        };
        let uri: Uri = text.parse().map_err(|_| refused("it is not a URL"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refused("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if scheme == Scheme::Https { 443 } else { 80 });
        let path = uri.path_and_query().map(ToString::to_string).filter(|path| path != "/");
        Ok(Self { place: Place(Bind::Tcp(host, port)).for_clients(), scheme: Some(scheme), path })
    }
}

#[cfg(test)]
mod tests {
    use super::{Named, Place, Scheme};
    use crate::net::Bind;

    #[test]
    fn addresses_are_urls_or_what_bind_takes() {
        let tcp = |host: &str, port| Place(Bind::Tcp(host.to_owned(), port));
        for (text, place, scheme, path) in [
            ("0.0.0.0:5000", tcp("127.0.0.1", 5000), None, None),
            (":80", tcp("127.0.0.1", 80), None, None),
            ("[::]:80", tcp("::1", 80), None, None),
            ("shop:8080", tcp("shop", 8080), None, None),
            ("http://localhost", tcp("localhost", 80), Some(Scheme::Http), None),
            ("https://[::1]:8443/a?b=c", tcp("::1", 8443), Some(Scheme::Https), Some("/a?b=c")),
            ("unix:/run/app.sock", Place(Bind::Unix("/run/app.sock".into())), None, None),
        ] {
            let named: Named = text.parse().unwrap();
            assert_eq!(named, Named { place, scheme, path: path.map(str::to_owned) }, "{text}");
        }
        for text in ["fd://3", "http://", "127.0.0.1:port", "unix:", "https://a b/"] {
            let error = text.parse::<Named>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is not an address to ask: ")), "{error}");
        }
    }
}
