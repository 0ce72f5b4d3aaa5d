//! A connection on which nothing lasts beyond a moment that is set beforehand.

use std::{
    io::{self, Read, Write},
    net::ToSocketAddrs as _,
    path::Path,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::place::Place;
use crate::net::Bind;

/// A connection with its end.
pub struct Timed {
    socket: Socket,
    deadline: Instant,
}

impl Timed {
    /// The moment after which nothing lasts.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Its socket.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// Connects, at whichever of a host's addresses takes the connection.
    pub fn connect(place: &Place, deadline: Instant) -> io::Result<Self> {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for (domain, address) in addresses(place)? {
            let socket = Socket::new(domain, Type::STREAM, None)?;
            match left(deadline).and_then(|time| socket.connect_timeout(&address, time)) {
                Ok(()) => return Ok(Self { socket, deadline }),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

fn addresses(place: &Place) -> io::Result<Vec<(Domain, SockAddr)>> {
    Ok(match &place.0 {
        Bind::Tcp(host, port) => (host.as_str(), *port)
            .to_socket_addrs()?
            .map(|address| (Domain::for_address(address), SockAddr::from(address)))
            .collect(),
        Bind::Unix(path) => vec![(Domain::UNIX, SockAddr::unix(path)?)],
        Bind::Abstract(name) => vec![(Domain::UNIX, SockAddr::unix(Path::new(&format!("\0{name}")))?)],
        Bind::Descriptor(_) => Vec::new(),
    })
}

/// The time until `deadline`, while there is some.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A socket's own timeout looks as if it did not block.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.deadline)?))?;
        self.socket.read(buffer).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.deadline)?))?;
        self.socket.write(buffer).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
