//! What the gate needs of a socket, for those that the system has.

use std::{
    fs::File,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

use super::parcel::Socket;
use crate::sys;

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
                // There is nothing else to do where it cannot be set.
                let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
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
