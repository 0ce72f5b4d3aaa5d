//! Metrics for statsd, gunicorn's by name: datagrams that are sent or lost, and never waited for.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::settings::{Address, Level};

/// A way to statsd.
#[derive(Debug)]
pub struct Statsd {
    socket: Socket,
    prefix: String,
    tags: String,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    /// Sent to by its name each time, so that an agent may start late and restart.
    Unix(UnixDatagram, PathBuf),
}

impl Statsd {
    /// A way to statsd at this address.
    ///
    /// # Errors
    /// A host has no address, or there is no socket to be had: in words.
    pub fn new(address: &Address, prefix: &str, tags: &str) -> Result<Self, String> {
        let (socket, shown) = match address {
            Address::Path(path) => (unix(path), path.display().to_string()),
            Address::Host(host, port) => (udp(host, *port), format!("{host}:{port}")),
        };
        let socket =
            socket.map_err(|error| format!("statsd at {shown} (statsd_host) cannot be spoken to: {error}."))?;
        let tags = if tags.is_empty() { String::new() } else { format!("|#{tags}") };
        Ok(Self { socket, prefix: with_dot(prefix), tags })
    }

    /// A request was answered.
    pub fn request(&self, status: u16, duration: Duration) {
        // A float as Python writes it: with one digit behind the point at least.
        let milliseconds = f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1000.0;
        self.send(&format!("gunicorn.request.duration:{milliseconds:?}|ms"));
        self.increment("gunicorn.requests");
        self.increment(&format!("gunicorn.request.status.{status}"));
    }

    /// Something was said in the error log.
    pub fn logged(&self, level: Level, exception: bool) {
        match level {
            Level::Critical => self.increment("gunicorn.log.critical"),
            Level::Error if exception => self.increment("gunicorn.log.exception"),
            Level::Error => self.increment("gunicorn.log.error"),
            Level::Warning => self.increment("gunicorn.log.warning"),
            Level::Info | Level::Debug => {}
        }
    }

    /// There are so many workers.
    pub fn workers(&self, count: usize) {
        self.send(&format!("gunicorn.workers:{count}|g"));
    }

    /// So many connections wait to be accepted.
    pub fn backlog(&self, count: u32) {
        self.send(&format!("gunicorn.backlog:{count}|h"));
    }

    fn increment(&self, name: &str) {
        self.send(&format!("{name}:1|c|@1.0"));
    }

    /// Sends a metric, `NAME:VALUE|FORM`.
    pub fn send(&self, metric: &str) {
        let datagram = format!("{}{metric}{}", self.prefix, self.tags);
        // Whoever is not there to count it does not miss it either.
        let _ = match &self.socket {
            Socket::Udp(socket) => socket.send(datagram.as_bytes()),
            Socket::Unix(socket, path) => socket.send_to(datagram.as_bytes(), path),
        };
    }
}

fn unix(path: &Path) -> io::Result<Socket> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok(Socket::Unix(socket, std::path::absolute(path)?))
}

fn udp(host: &str, port: u16) -> io::Result<Socket> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
    let local: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    Ok(Socket::Udp(socket))
}

/// A prefix ends in one dot, as gunicorn sees to it: not where it is a single character.
fn with_dot(prefix: &str) -> String {
    let trimmed = prefix.trim_end_matches('.');
    if trimmed.chars().count() > 1 { format!("{trimmed}.") } else { prefix.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::unix::net::UnixDatagram, time::Duration};

    use super::{Address, Level, Statsd, with_dot};

    #[test]
    fn metrics_are_gunicorns() {
        let listener = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = Address::Host("127.0.0.1".to_owned(), listener.local_addr().expect("an address").port());
        let statsd = Statsd::new(&address, "site..", "env:test,b:c").expect("a way");
        statsd.request(404, Duration::from_micros(12_345));
        statsd.logged(Level::Info, false);
        statsd.logged(Level::Error, false);
        statsd.logged(Level::Error, true);
        statsd.logged(Level::Warning, false);
        statsd.logged(Level::Critical, false);
        statsd.workers(3);
        statsd.backlog(2);
        for expected in [
            "gunicorn.request.duration:12.345|ms",
            "gunicorn.requests:1|c|@1.0",
            "gunicorn.request.status.404:1|c|@1.0",
            "gunicorn.log.error:1|c|@1.0",
            "gunicorn.log.exception:1|c|@1.0",
            "gunicorn.log.warning:1|c|@1.0",
            "gunicorn.log.critical:1|c|@1.0",
            "gunicorn.workers:3|g",
            "gunicorn.backlog:2|h",
        ] {
            let mut buffer = [0; 200];
            let size = listener.recv(&mut buffer).expect("it arrives");
            assert_eq!(String::from_utf8_lossy(&buffer[..size]), format!("site.{expected}|#env:test,b:c"));
        }
    }

    #[test]
    fn an_agent_behind_a_unix_socket_may_start_late() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("statsd.sock");
        let statsd = Statsd::new(&Address::Path(path.clone()), "", "").expect("a way");
        statsd.workers(1);
        let listener = UnixDatagram::bind(&path).expect("a socket");
        statsd.workers(2);
        let mut buffer = [0; 100];
        let size = listener.recv(&mut buffer).expect("it arrives");
        assert_eq!(&buffer[..size], b"gunicorn.workers:2|g");
    }

    #[test]
    fn a_prefix_ends_in_one_dot() {
        for (prefix, expected) in [("", ""), ("a", "a"), ("ab", "ab."), ("a.b..", "a.b."), ("a.", "a."), ("..", "..")] {
            assert_eq!(with_dot(prefix), expected);
        }
    }

    #[test]
    fn a_host_that_has_no_address_is_refused() {
        let error = Statsd::new(&Address::Host("no such host".to_owned(), 1), "", "").expect_err("no such");
        assert!(error.contains("(statsd_host)"), "{error}");
    }
}
