//! Lines for syslog, as gunicorn sends them (Python's `SysLogHandler`): `<PRIORITY>gunicorn.PREFIX.LOG: [PID] message`
//! and a null byte, one datagram or one write each.
//!
//! A syslog that is away or does not keep up costs lines, never the service: nothing waits for longer than [`PATIENCE`],
//! and after that, or after an error, nothing is tried for as long as [`PAUSE`].

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::settings::{self, Level, SyslogAddress};

/// How long a line may wait to be taken.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long nothing is sent after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// Where syslog is, and what lines say of their sender.
#[derive(Debug)]
struct Target {
    address: SyslogAddress,
    facility: u8,
    prefix: String,
}

/// A way to syslog, of one process and one log.
#[derive(Debug)]
pub struct Syslog {
    target: Target,
    log: &'static str,
    sockets: io::Result<Vec<(SockAddr, Type)>>,
    socket: Option<Socket>,
    /// Each process has a connection of its own: writes to a shared one could mix.
    process: u32,
    not_before: Option<Instant>,
}

impl Target {
    fn new(settings: &settings::Syslog, prefix: &str) -> Self {
        Self { address: settings.address.clone(), facility: settings.facility, prefix: prefix.to_owned() }
    }

    /// The sockets to try, in order.
    fn sockets(&self) -> io::Result<Vec<(SockAddr, Type)>> {
        Ok(match &self.address {
            SyslogAddress::Udp(host, port) => vec![(resolve(host, *port)?, Type::DGRAM)],
            SyslogAddress::Tcp(host, port) => vec![(resolve(host, *port)?, Type::STREAM)],
            SyslogAddress::Dgram(path) => vec![(SockAddr::unix(path)?, Type::DGRAM)],
            SyslogAddress::Stream(path) => vec![(SockAddr::unix(path)?, Type::STREAM)],
            SyslogAddress::Unix(path) => {
                vec![(SockAddr::unix(path)?, Type::DGRAM), (SockAddr::unix(path)?, Type::STREAM)]
            }
        })
    }
}

/// Syslog listens at 0.0.0.0 as a rule, and `localhost` has `::1` first on many machines.
fn resolve(host: &str, port: u16) -> io::Result<SockAddr> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    address.map(|address| (*address).into()).ok_or_else(|| io::Error::other(format!("{host} has no address")))
}

impl Syslog {
    /// A way for the lines of a log, `error` or `access`. Nothing is connected before the first line.
    pub fn new(settings: &settings::Syslog, prefix: &str, log: &'static str) -> Self {
        let target = Target::new(settings, prefix);
        // The name of a host is looked up now: that may take long, and nothing waits for it yet.
        let sockets = target.sockets();
        Self { target, log, sockets, socket: None, process: 0, not_before: None }
    }

    /// Sends a line.
    ///
    /// # Errors
    /// It cannot be sent. Only the first failure is reported until something could be sent again.
    pub fn send(&mut self, level: Level, message: &[u8]) -> io::Result<()> {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return Ok(());
        }
        let process = std::process::id();
        if self.process != process {
            self.process = process;
            self.socket = None;
        }
        let severity = match level {
            Level::Debug => 7,
            Level::Info => 6,
            Level::Warning => 4,
            Level::Error => 3,
            Level::Critical => 2,
        };
        let priority = (self.target.facility << 3) | severity;
        let mut line = format!("<{priority}>gunicorn.{}.{}: [{process}] ", self.target.prefix, self.log).into_bytes();
        line.extend_from_slice(message);
        line.push(0);
        // A connection may have ended since the last line, so one more is tried.
        let sent = self.try_send(&line).or_else(|_| {
            self.socket = None;
            self.try_send(&line)
        });
        let failed_before = self.not_before.is_some();
        match sent {
            Ok(()) => {
                self.not_before = None;
                Ok(())
            }
            Err(error) => {
                self.socket = None;
                self.not_before = Some(Instant::now() + PAUSE);
                if failed_before { Ok(()) } else { Err(error) }
            }
        }
    }

    fn try_send(&mut self, line: &[u8]) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => self.socket.insert(connect(&self.sockets)?),
        };
        let mut rest = line;
        while !rest.is_empty() {
            // Rust ignores SIGPIPE, so an end of the connection is an error here.
            let sent = socket.send(rest)?;
            rest = &rest[sent.min(rest.len())..];
        }
        Ok(())
    }
}

fn connect(sockets: &io::Result<Vec<(SockAddr, Type)>>) -> io::Result<Socket> {
    let sockets = sockets.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (address, kind) in sockets {
        match connect_as(address, *kind) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_as(address: &SockAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(address.domain(), kind, None)?;
    // On Linux this bounds connecting as well.
    socket.set_write_timeout(Some(PATIENCE))?;
    if kind == Type::STREAM && address.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    socket.connect(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Instant};

    use super::{Level, PATIENCE, Syslog, SyslogAddress, settings};

    fn syslog(address: SyslogAddress, log: &'static str) -> Syslog {
        Syslog::new(&settings::Syslog { address, prefix: None, facility: 19, access: true }, "app.app", log)
    }

    fn unix(path: &Path) -> SyslogAddress {
        SyslogAddress::Unix(path.to_owned())
    }

    #[test]
    fn a_line_has_priority_sender_process_and_a_null_byte() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("log");
        let listener = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
        syslog(unix(&path), "error").send(Level::Warning, b"hello").expect("it is sent");
        let mut buffer = [0; 100];
        let size = listener.recv(&mut buffer).expect("it arrives");
        let expected = format!("<156>gunicorn.app.app.error: [{}] hello\0", std::process::id());
        assert_eq!(String::from_utf8_lossy(&buffer[..size]), expected);
    }

    #[test]
    fn a_syslog_that_is_stuck_or_away_holds_nothing_up() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("log");
        let listener = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
        let mut stuck = syslog(unix(&path), "access");
        let start = Instant::now();
        let failures = (0..1000).filter(|_| stuck.send(Level::Info, b"line").is_err()).count();
        assert_eq!(failures, 1, "one failure is reported, then it is left alone");
        // A fifth of what it takes where each waits; far more than a busy machine needs where only the first does.
        assert!(start.elapsed() < PATIENCE * 200, "{:?}", start.elapsed());
        drop(listener);
        let mut away = syslog(SyslogAddress::Tcp("127.0.0.1".to_owned(), 1), "access");
        assert!(away.send(Level::Info, b"line").is_err());
        assert!(away.send(Level::Info, b"line").is_ok());
    }
}
