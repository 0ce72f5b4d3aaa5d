//! What a connection needs of a socket, and the kinds that the system has.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::{TcpStream, UnixStream},
};

use crate::sys;

/// A socket that a file can be sent to, and whose first byte can be looked at.
pub trait Socket: AsyncRead + AsyncWrite + AsRawFd + Unpin {
    /// Whether it takes files; what goes over TLS has to be read first.
    const TAKES_FILES: bool;

    /// Sends at most `count` bytes of `file` from `offset` on (sendfile(2)).
    fn poll_send_file(
        &self,
        context: &mut Context<'_>,
        file: &File,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>>;

    /// When this is dropped, or before, the client is to see that the connection broke (RFC 9112 section 8), as far as a socket can say
    /// so: one of the kind that has no network has no way.
    fn reset(&self);

    /// The next byte, which stays where it is; none at the end.
    fn poll_peek(&self, context: &mut Context<'_>) -> Poll<io::Result<Option<u8>>>;

    /// How many bytes the system has taken, where what was written may wait within the socket for that.
    fn sent(&self) -> u64 {
        0
    }
}

macro_rules! is_socket {
    ($stream:ty) => {
        impl Socket for $stream {
            const TAKES_FILES: bool = true;

            fn poll_send_file(
                &self,
                context: &mut Context<'_>,
                file: &File,
                offset: u64,
                count: usize,
            ) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.poll_write_ready(context))?;
                    match self.try_io(Interest::WRITABLE, || sys::send_file(self, file, offset, count)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        result => return Poll::Ready(result),
                    }
                }
            }

            fn reset(&self) {
                // At once, whoever else has it: closing it would wait for a process that the app has forked.
                if sys::disconnect(self).is_err() {
                    // There is nothing else to do where it cannot be set.
                    let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
                }
            }

            fn poll_peek(&self, context: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
                loop {
                    ready!(self.poll_read_ready(context))?;
                    match self.try_io(Interest::READABLE, || sys::peek(self)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        result => return Poll::Ready(result),
                    }
                }
            }
        }
    };
}

is_socket!(TcpStream);
is_socket!(UnixStream);
