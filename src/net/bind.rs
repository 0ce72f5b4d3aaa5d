//! The text of a `--bind`, parsed as gunicorn's `util.parse_address` does.

use std::{fmt, path::PathBuf};

/// The port when a `--bind` names none (gunicorn).
const DEFAULT_PORT: u16 = 8000;

/// An address to listen at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Bind {
    /// A TCP port of a host, which may be a name.
    Tcp(String, u16),
    /// A unix socket in the file system.
    Unix(PathBuf),
    /// A unix socket in Linux's abstract namespace, without the leading `@`.
    Abstract(String),
    /// A socket that is open already, under this number.
    Descriptor(i32),
}

impl Bind {
    /// Reads the text of an address.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.strip_prefix('@') {
                Some("") => Err("unix:@NAME needs a name"),
                Some(name) => Ok(Self::Abstract(name.to_owned())),
                None if path.trim_start_matches('/').is_empty() => Err("unix:PATH needs a path"),
                // unix:///run/app.sock is written as well; both name /run/app.sock.
                None => Ok(Self::Unix(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))),
            };
        }
        if let Some(number) = text.strip_prefix("fd://") {
            let number = number.parse().ok().filter(|number| *number > 2);
            return number.map(Self::Descriptor).ok_or("fd://N needs a number from 3");
        }
        let address = text.strip_prefix("tcp://").unwrap_or(text);
        if address.contains(',') {
            return Err("one address stands here: give --bind more than once, or a list in a configuration file");
        }
        if address.contains("://") || address.contains('/') {
            return Err("write HOST:PORT, without http:// or a path");
        }
        let (host, port) = if let Some(rest) = address.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or("the ] of the IPv6 address is missing")?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err("after ] only :PORT may follow"),
            }
        } else {
            match address.split_once(':') {
                Some((host, rest)) if rest.contains(':') && host.contains(['.', '_']) => {
                    return Err("a host has one port: write HOST:PORT");
                }
                Some((_, rest)) if rest.contains(':') => {
                    return Err("write an IPv6 address in brackets, [::1]:8000");
                }
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            }
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| "the port is not a number from 0 to 65535")?,
            None => DEFAULT_PORT,
        };
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        Ok(Self::Tcp(host.to_ascii_lowercase(), port))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
            Self::Descriptor(number) => write!(f, "fd://{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bind;

    #[test]
    fn every_form_of_gunicorns_is_understood() {
        for (text, expected) in [
            ("0.0.0.0:5000", r#"Tcp("0.0.0.0", 5000)"#),
            ("localhost", r#"Tcp("localhost", 8000)"#),
            (":5000", r#"Tcp("0.0.0.0", 5000)"#),
            ("[::1]:80", r#"Tcp("::1", 80)"#),
            ("[::1]", r#"Tcp("::1", 8000)"#),
            ("tcp://LOCALHOST:1", r#"Tcp("localhost", 1)"#),
            ("unix:/run/app.sock", r#"Unix("/run/app.sock")"#),
            ("unix:///run/app.sock", r#"Unix("/run/app.sock")"#),
            ("unix:app.sock", r#"Unix("app.sock")"#),
            ("unix:@app", r#"Abstract("app")"#),
            ("fd://3", "Descriptor(3)"),
        ] {
            assert_eq!(Bind::parse(text).map(|bind| format!("{bind:?}")).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_bound_is_refused_with_the_reason() {
        for (text, reason) in [
            ("localhost:http", "the port is not a number from 0 to 65535"),
            ("localhost:65536", "the port is not a number from 0 to 65535"),
            (
                "127.0.0.1:1,127.0.0.1:2",
                "one address stands here: give --bind more than once, or a list in a configuration file",
            ),
            ("http://127.0.0.1:1", "write HOST:PORT, without http:// or a path"),
            ("127.0.0.1:1/path", "write HOST:PORT, without http:// or a path"),
            ("127.0.0.1:22:3", "a host has one port: write HOST:PORT"),
            ("::1", "write an IPv6 address in brackets, [::1]:8000"),
            ("[::1", "the ] of the IPv6 address is missing"),
            ("[::1]80", "after ] only :PORT may follow"),
            ("unix:", "unix:PATH needs a path"),
            ("unix:@", "unix:@NAME needs a name"),
            ("fd://2", "fd://N needs a number from 3"),
        ] {
            assert_eq!(Bind::parse(text), Err(reason), "{text}");
        }
    }
}
