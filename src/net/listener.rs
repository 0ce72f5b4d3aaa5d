//! Listening sockets.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, ToSocketAddrs as _},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{fs::FileTypeExt as _, net::UnixListener},
    },
    path::PathBuf,
};

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};

use super::Bind;
use crate::{exit::Fatal, sys};

/// The socket of a listener, in non-blocking mode.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where a listener really listens: the port that the kernel chose where port 0 was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Abstract(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

/// A socket that listens. A unix socket's file is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: Socket,
    _file: Option<SocketFile>,
}

/// The file of a unix socket, removed on drop as gunicorn does at its end; not by a worker, which only borrows it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    owner: u32,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            // It may be gone already, and nothing depends on it.
            let _ = fs_err::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Listens at every address that `bind` names: a host name may have several.
    ///
    /// # Errors
    /// The first address that cannot be listened at, with the reason.
    pub fn open(bind: &Bind, backlog: u32) -> Result<Vec<Self>, Fatal> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        match bind {
            Bind::Tcp(host, port) => {
                let addresses = (host.as_str(), *port).to_socket_addrs().map_err(|error| refuse(bind, &error))?;
                // As gunicorn: the first address of a name, so that `localhost` is one listener.
                addresses
                    .take(1)
                    .map(|address| open_tcp(address, backlog).map_err(|error| refuse(bind, &error)))
                    .collect()
            }
            Bind::Unix(path) => {
                let listener = remove_stale(path)
                    .and_then(|()| open_unix(&SockAddr::unix(path)?, backlog))
                    .map_err(|error| refuse(bind, &error))?;
                let path_now = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let file = SocketFile { path: path_now, owner: std::process::id() };
                let address = Address::Unix(path.clone());
                Ok(vec![Self { address, socket: Socket::Unix(listener), _file: Some(file) }])
            }
            Bind::Abstract(name) => {
                let address =
                    std::os::unix::net::SocketAddr::from_abstract_name(name).map_err(|error| refuse(bind, &error))?;
                let listener = UnixListener::bind_addr(&address)
                    .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                    .map_err(|error| refuse(bind, &error))?;
                Ok(vec![Self { address: Address::Abstract(name.clone()), socket: Socket::Unix(listener), _file: None }])
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

fn open_tcp(address: SocketAddr, backlog: i32) -> io::Result<Listener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Inherited by what is accepted: small answers leave at once.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    let listener = TcpListener::from(socket);
    Ok(Listener { address: Address::Tcp(listener.local_addr()?), socket: Socket::Tcp(listener), _file: None })
}

fn open_unix(address: &SockAddr, backlog: i32) -> io::Result<UnixListener> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // gunicorn's default umask is 0: whoever reaches the directory may connect.
    let before = sys::set_umask(0);
    let bound = socket.bind(address);
    sys::set_umask(before);
    bound?;
    socket.listen(backlog)?;
    Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}

/// Removes the socket file of a server that is gone. A server that still answers there, or another kind of file, stays.
fn remove_stale(path: &std::path::Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket is there already"))
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
            Err(_) => std::fs::remove_file(path),
        },
    }
}

fn refuse(bind: &Bind, error: &io::Error) -> Fatal {
    let (reason, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            ("the address is in use".to_owned(), "Stop the program that listens there, or choose another with --bind")
        }
        io::ErrorKind::PermissionDenied => (
            "permission denied".to_owned(),
            "Ports below 1024 and other users' directories need privileges: choose another with --bind",
        ),
        _ => (error.to_string(), "Choose another address with --bind"),
    };
    Fatal::new(format!("Cannot listen at {bind}: {reason}. {hint}."))
}
