//! Listening sockets.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, ToSocketAddrs as _},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::{fs::FileTypeExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, SockAddr, SockFilter, SockRef, Socket as RawSocket, Type};

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

/// How sockets are opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Whether others may listen at the same port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// The permissions that the file of a unix socket does not get.
    pub umask: u32,
    /// Whom the file of a unix socket belongs to, where that is not this process's user and group.
    pub owner: (Option<u32>, Option<u32>),
}

/// A socket that listens. A unix socket's file is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: Socket,
    file: Option<SocketFile>,
    name: Option<String>,
    /// Whether whoever started this program has opened it, and may go on using it.
    passed: bool,
}

/// The file of a unix socket, removed on drop as gunicorn does at its end; not by a worker, which only borrows it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    owner: u32,
}

impl SocketFile {
    fn at(path: &Path, owner: u32) -> Self {
        // Absolute, because the working directory may change.
        Self { path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()), owner }
    }
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
    /// Listens at the address that `bind` names: the first one of a host name that has several, as gunicorn.
    ///
    /// # Errors
    /// It cannot be listened at, or the name has no address.
    pub fn open(bind: &Bind, options: &Options) -> io::Result<Self> {
        match bind {
            Bind::Tcp(host, port) => {
                let address = (host.as_str(), *port).to_socket_addrs()?.next();
                open_tcp(address.ok_or_else(|| io::Error::other("the name has no address"))?, options)
            }
            Bind::Unix(path) => {
                remove_stale(path)?;
                let listener = open_unix(&SockAddr::unix(path)?, options)?;
                let address = Address::Unix(path.clone());
                let file = Some(SocketFile::at(path, std::process::id()));
                Ok(Self { address, socket: Socket::Unix(listener), file, name: None, passed: false })
            }
            Bind::Descriptor(number) => Self::adopt(*number),
            Bind::Abstract(name) => {
                // The system tells such a name by a zero before it (unix(7)).
                let address = SockAddr::unix(format!("\0{name}"))?;
                let listener = open_unix(&address, options)?;
                Ok(Self {
                    address: Address::Abstract(name.clone()),
                    socket: Socket::Unix(listener),
                    file: None,
                    name: None,
                    passed: false,
                })
            }
        }
    }

    /// Takes over a socket from the arbiter before, for which its settings had this name; none where systemd passed it.
    /// The file of a unix socket that was opened by that name stays in place until [`Listener::own_file`].
    ///
    /// # Errors
    /// It is not a stream socket.
    pub fn inherit(number: i32, name: Option<&str>) -> io::Result<Self> {
        let mut listener = Self::adopt(number)?;
        listener.name = name.map(str::to_owned);
        if let Some(Ok(opened)) = name.map(Bind::parse) {
            listener.passed = matches!(opened, Bind::Descriptor(_));
            if let Bind::Unix(path) = &opened {
                listener.file = Some(SocketFile::at(path, 0));
            }
        }
        Ok(listener)
    }

    /// Takes over a socket that whoever started this program has opened, and perhaps listens at already.
    ///
    /// # Errors
    /// It is not a stream socket.
    pub fn adopt(number: i32) -> io::Result<Self> {
        let socket = RawSocket::from(sys::adopt(number)?);
        if socket.r#type()? != Type::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a stream socket"));
        }
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        if local.as_socket().is_some() {
            // What is no TCP, SCTP say, may not have it.
            let _ = socket.set_tcp_nodelay(true);
        }
        if !socket.is_listener()? {
            socket.listen(i32::from(u16::MAX))?;
        }
        let address = match (local.as_socket(), local.as_pathname(), local.as_abstract_namespace()) {
            (Some(address), ..) => Address::Tcp(address),
            (_, Some(path), _) => Address::Unix(path.to_owned()),
            (.., Some(name)) => Address::Abstract(String::from_utf8_lossy(name).into_owned()),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no address")),
        };
        let descriptor = std::os::fd::OwnedFd::from(socket);
        let socket = match address {
            Address::Tcp(_) => Socket::Tcp(TcpListener::from(descriptor)),
            Address::Unix(_) | Address::Abstract(_) => Socket::Unix(UnixListener::from(descriptor)),
        };
        Ok(Self { address, socket, file: None, name: None, passed: true })
    }

    /// What the settings call it; nothing, where it was passed and they do not name it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Says what the settings call it.
    pub fn set_name(&mut self, name: &str) {
        self.name = Some(name.to_owned());
    }

    /// Leaves a unix socket's file in place when this is dropped: another arbiter listens there.
    pub fn keep_file(&mut self) {
        if let Some(file) = &mut self.file {
            file.owner = 0;
        }
    }

    /// Has a unix socket's file removed when this is dropped by this process: no other arbiter listens there.
    pub fn own_file(&mut self) {
        if let Some(file) = &mut self.file {
            file.owner = std::process::id();
        }
    }

    /// How many connections wait to be accepted. Only those of TCP can be asked.
    pub fn waiting(&self) -> u32 {
        match &self.socket {
            Socket::Tcp(socket) => sys::waiting_connections(socket.as_fd()).unwrap_or_default(),
            Socket::Unix(_) => 0,
        }
    }

    /// Lets nobody connect any more, in no process that shares the socket. What waits to be accepted can be accepted still,
    /// so that it is not lost between the last time that this is looked for and the end of the socket. Who comes later is
    /// not answered, asks again in a second, and is refused when the socket is gone. A socket that was passed to this
    /// program stays as it is, and so does one that is not of TCP.
    pub fn end(&self) {
        if let (Socket::Tcp(socket), false) = (&self.socket, self.passed) {
            // A filter of one instruction: keep 0 bytes of every packet (BPF_RET | BPF_K).
            let nothing = SockFilter::new(0x06, 0, 0, 0);
            // Without it there is only that moment in which a connection may be lost.
            let _ = SockRef::from(socket).attach_filter(&[nothing]);
        }
    }

    /// Its descriptor.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
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

impl Options {
    fn backlog(&self) -> i32 {
        i32::try_from(self.backlog).unwrap_or(i32::MAX)
    }
}

fn open_tcp(address: SocketAddr, options: &Options) -> io::Result<Listener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(options.reuse_port)?;
    socket.set_nonblocking(true)?;
    // Inherited by what is accepted: small answers leave at once.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog())?;
    let listener = TcpListener::from(socket);
    Ok(Listener {
        address: Address::Tcp(listener.local_addr()?),
        socket: Socket::Tcp(listener),
        file: None,
        name: None,
        passed: false,
    })
}

fn open_unix(address: &SockAddr, options: &Options) -> io::Result<UnixListener> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // gunicorn's default umask is 0: whoever reaches the directory may connect.
    let before = sys::set_umask(options.umask);
    let bound = socket.bind(address);
    sys::set_umask(before);
    bound?;
    if let (Some(path), (Some(_), _) | (_, Some(_))) = (address.as_pathname(), options.owner) {
        std::os::unix::fs::chown(path, options.owner.0, options.owner.1)?;
    }
    socket.listen(options.backlog())?;
    Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}

/// Removes the socket file of a server that is gone. A server that still answers there, or another kind of file, stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket is there already"))
        }
        Ok(_) => {
            let client = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
            // One whose queue is full would have this wait.
            client.set_nonblocking(true)?;
            match client.connect(&SockAddr::unix(path)?) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
                _ => Err(io::Error::from(io::ErrorKind::AddrInUse)),
            }
        }
    }
}

/// Why it cannot be listened at an address, and what to do.
pub fn refuse(bind: &Bind, error: &io::Error) -> Fatal {
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

#[cfg(test)]
mod tests {
    use std::{io, net::SocketAddr, os::fd::IntoRawFd as _};

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::{Listener, Options};
    use crate::net::Bind;

    fn options() -> Options {
        Options { backlog: 2, reuse_port: false, umask: 0, owner: (None, None) }
    }

    #[test]
    fn a_passed_socket_sends_small_answers_at_once_too() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        // As whoever passes it has to.
        socket.set_cloexec(false).unwrap();
        let listener = Listener::adopt(socket.into_raw_fd()).unwrap();
        let address = socket2::SockRef::from(&listener.descriptor()).local_addr().unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.connect(&address).unwrap();
        let accepted = socket2::SockRef::from(&listener.descriptor()).accept().unwrap().0;
        assert!(accepted.tcp_nodelay().unwrap());
    }

    #[test]
    fn a_unix_socket_is_only_taken_over_from_one_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let bind = Bind::Unix(path.clone());
        let address = SockAddr::unix(&path).unwrap();
        let hangs = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        hangs.bind(&address).unwrap();
        hangs.listen(0).unwrap();
        // Nobody takes it, and the next one would wait for that.
        let waits = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        waits.connect(&address).unwrap();
        let error = Listener::open(&bind, &options()).expect_err("it is there");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
        drop(hangs);
        assert!(Listener::open(&bind, &options()).is_ok());
    }

    #[test]
    fn an_abstract_name_has_the_backlog_that_was_asked_for() {
        let name = format!("rwsgi-backlog-{}", std::process::id());
        let _listener = Listener::open(&Bind::Abstract(name.clone()), &options()).unwrap();
        let address = SockAddr::unix(format!("\0{name}")).unwrap();
        let connected = (0..10).map_while(|_| {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            client.connect(&address).is_ok().then_some(client)
        });
        // One more than waits, as Linux counts.
        assert_eq!(connected.collect::<Vec<_>>().len(), 3);
    }
}
