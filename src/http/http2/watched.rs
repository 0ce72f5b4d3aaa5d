//! The socket of a connection, watched: what passes makes the connection's activity.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Duplex, activity::Activity, frames::Frames};
use crate::http::connection::PREFACE;

/// So many frames may come in a row that bring no part of a request, while nothing of an answer goes out.
const FLOOD: usize = 10_000;

const EMPTY: &str = "There was a flood of frames that bring nothing";

/// A GOAWAY frame with `ENHANCE_YOUR_CALM` (RFC 9113 sections 6.8 and 7). Any stream may have been begun.
const CALM: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11];

/// A socket whose first bytes were read before. It tells when an answer moves, and ends when nothing but frames comes that
/// cost their sender less than this server: h2 bounds what they take of its memory, not of its time.
pub struct Watched {
    socket: Box<dyn Duplex>,
    first: Bytes,
    activity: Arc<Activity>,
    read: Frames,
    written: Frames,
}

impl Watched {
    pub fn new(socket: Box<dyn Duplex>, first: Bytes, activity: Arc<Activity>) -> Self {
        Self { socket, first, activity, read: Frames::behind(PREFACE.len()), written: Frames::behind(0) }
    }

    /// Follows what was written, of these.
    fn wrote<'a>(&mut self, written: &Poll<io::Result<usize>>, slices: impl IntoIterator<Item = &'a [u8]>) {
        self.activity.wrote(self.socket.taken(), written.is_pending());
        let Poll::Ready(Ok(mut left)) = *written else { return };
        let mut moved = false;
        for slice in slices {
            let size = slice.len().min(left);
            moved |= self.written.pass(&slice[..size]);
            left -= size;
        }
        if moved {
            self.activity.touch();
            self.read.forget();
        }
    }

    /// Says why nothing more is read, unless a frame is on its way.
    fn calm(&mut self, context: &mut Context<'_>) -> io::Error {
        if self.written.is_between() {
            let mut socket = Pin::new(&mut self.socket);
            // A client that does not take it learns it by the end of the connection.
            let _ = socket.as_mut().poll_write(context, &CALM);
            let _ = socket.poll_flush(context);
        }
        self.activity.set_flood(EMPTY);
        io::Error::other("there was a flood")
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.first.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        } else {
            let size = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..size]);
            self.first.advance(size);
        }
        // Whether this is of use shows when it is whole.
        self.read.pass(&buffer.filled()[before..]);
        self.activity.set_amid(!self.read.is_between());
        let is_flood = self.read.empty() > FLOOD || self.activity.flood().is_some();
        Poll::Ready(if is_flood { Err(self.calm(context)) } else { Ok(()) })
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.wrote(&written, [bytes]);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.wrote(&written, slices.iter().map(|slice| &**slice));
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        self.activity.wrote(self.socket.taken(), flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
