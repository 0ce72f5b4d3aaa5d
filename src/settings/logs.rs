//! What is logged, and how; and where statsd and syslog are.

use std::path::PathBuf;

/// gunicorn's log levels, from the one that says most.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

/// How the logs are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// As gunicorn writes them.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where something listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A host and a port.
    Host(String, u16),
    /// A unix socket.
    Path(PathBuf),
}

impl Address {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH` or `unix://PATH`.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("unix:") {
            // A host may be called unix, and then has a port.
            if let Ok(port) = rest.parse() {
                return Some(Self::Host("unix".to_owned(), port));
            }
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return (!path.is_empty()).then(|| Self::Path(PathBuf::from(path)));
        }
        let (host, port) = if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            (host, rest.strip_prefix(':'))
        } else {
            text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
        };
        let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
        (!host.is_empty()).then(|| Self::Host(host.to_lowercase(), port))
    }
}

/// Where syslog is, and how it is spoken to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SyslogAddress {
    /// Datagrams to a host.
    Udp(String, u16),
    /// A connection to a host.
    Tcp(String, u16),
    /// A unix socket for datagrams.
    Dgram(PathBuf),
    /// A unix socket for connections.
    Stream(PathBuf),
    /// A unix socket, for whichever of the two works.
    Unix(PathBuf),
}

impl SyslogAddress {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("unix://") {
            let (path, kind) = rest.split_once('#').map_or((rest, None), |(path, kind)| (path, Some(kind)));
            let path = Some(path).filter(|path| !path.is_empty()).map(PathBuf::from)?;
            return match kind {
                Some("dgram") => Some(Self::Dgram(path)),
                Some("stream") => Some(Self::Stream(path)),
                Some(_) => None,
                None => Some(Self::Unix(path)),
            };
        }
        let (scheme, rest) = text.split_once("://")?;
        let rest = if rest.is_empty() || rest.starts_with(':') { format!("localhost{rest}") } else { rest.to_owned() };
        match (scheme, Address::parse(&rest, 514)?) {
            ("udp", Address::Host(host, port)) => Some(Self::Udp(host, port)),
            ("tcp", Address::Host(host, port)) => Some(Self::Tcp(host, port)),
            _ => None,
        }
    }
}

/// What is sent to syslog, and where to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Syslog {
    /// Where it is.
    pub address: SyslogAddress,
    /// The program's name in it.
    pub prefix: Option<String>,
    /// The facility's number.
    pub facility: u8,
    /// Whether the access log goes there too.
    pub access: bool,
}

/// The facilities by their numbers (RFC 5424, 6.2.1); an empty name is one that cannot be chosen.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The number of a facility.
pub(super) fn facility(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    // `security` is what `auth` was called before.
    let name = if name == "security" { "auth" } else { name.as_str() };
    let number = FACILITIES.iter().position(|known| !known.is_empty() && *known == name)?;
    u8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::{Address, SyslogAddress, facility};

    #[test]
    fn statsd_is_at_a_host_or_a_socket() {
        let host = |host: &str, port| Some(Address::Host(host.to_owned(), port));
        assert_eq!(Address::parse("Statsd:9125", 8125), host("statsd", 9125));
        assert_eq!(Address::parse("statsd", 8125), host("statsd", 8125));
        assert_eq!(Address::parse("[::1]:1", 8125), host("::1", 1));
        assert_eq!(Address::parse("unix:8125", 8125), host("unix", 8125));
        assert_eq!(Address::parse("unix:///run/s", 8125), Some(Address::Path("/run/s".into())));
        assert_eq!(Address::parse("unix:/run/s", 8125), Some(Address::Path("/run/s".into())));
        assert_eq!(Address::parse("statsd:port", 8125), None);
    }

    #[test]
    fn syslog_is_at_a_host_or_a_socket() {
        let udp = |host: &str, port| Some(SyslogAddress::Udp(host.to_owned(), port));
        assert_eq!(SyslogAddress::parse("udp://localhost:514"), udp("localhost", 514));
        assert_eq!(SyslogAddress::parse("udp://"), udp("localhost", 514));
        assert_eq!(SyslogAddress::parse("tcp://log"), Some(SyslogAddress::Tcp("log".to_owned(), 514)));
        assert_eq!(SyslogAddress::parse("unix:///dev/log"), Some(SyslogAddress::Unix("/dev/log".into())));
        assert_eq!(SyslogAddress::parse("unix:///dev/log#dgram"), Some(SyslogAddress::Dgram("/dev/log".into())));
        for wrong in ["localhost:514", "unix://", "http://x", "unix:///dev/log#what"] {
            assert_eq!(SyslogAddress::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn facilities_have_names() {
        assert_eq!((facility("user"), facility("LOCAL7"), facility("security")), (Some(1), Some(23), Some(4)));
        assert_eq!((facility(""), facility("nobody")), (None, None));
    }
}
