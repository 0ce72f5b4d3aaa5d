//! What moves on a connection: how many streams are open, who waits for whom, and since when nothing has moved.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Duplex, frames::Frames};
use crate::http::connection::PREFACE;

/// So many frames may come in a row that bring no part of a request, while nothing of an answer goes out.
const FLOOD: usize = 10_000;

/// A GOAWAY frame with `ENHANCE_YOUR_CALM` (RFC 9113 sections 6.8 and 7). Any stream may have been begun.
const CALM: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11];

/// The state of a connection.
pub struct Pulse {
    moved: Mutex<Instant>,
    begun: AtomicBool,
    streams: AtomicUsize,
    /// Those whose client has to take what there is.
    blocked: AtomicUsize,
    flooded: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            moved: Mutex::new(Instant::now()),
            begun: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
            flooded: AtomicBool::new(false),
        }
    }
}

impl Pulse {
    fn beat(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long nothing has moved.
    pub fn still(&self) -> Duration {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Whether there has been a request.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether nothing but frames came, and too many.
    pub fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Whether a stream waits for its client to take something.
    pub fn wait_for_client(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) > 0
    }
}

/// An open stream, for as long as this lives.
pub struct Open {
    pulse: Arc<Pulse>,
    blocked: bool,
}

impl Open {
    pub fn new(pulse: Arc<Pulse>) -> Self {
        pulse.begun.store(true, Ordering::Relaxed);
        pulse.streams.fetch_add(1, Ordering::Relaxed);
        pulse.beat();
        Self { pulse, blocked: false }
    }

    /// Whether the client has to take something before the stream goes on.
    pub fn set_blocked(&mut self, blocked: bool) {
        self.pulse.beat();
        if blocked && !self.blocked {
            self.pulse.blocked.fetch_add(1, Ordering::Relaxed);
        } else if !blocked && self.blocked {
            self.pulse.blocked.fetch_sub(1, Ordering::Relaxed);
        }
        self.blocked = blocked;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.set_blocked(false);
        self.pulse.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket whose first bytes were read before. It tells when an answer moves, and ends when nothing but frames comes that
/// cost their sender less than this server: h2 bounds what they take of its memory, not of its time.
pub struct Beating {
    socket: Box<dyn Duplex>,
    first: Bytes,
    pulse: Arc<Pulse>,
    read: Frames,
    written: Frames,
}

impl Beating {
    pub fn new(socket: Box<dyn Duplex>, first: Bytes, pulse: Arc<Pulse>) -> Self {
        Self { socket, first, pulse, read: Frames::behind(PREFACE.len()), written: Frames::behind(0) }
    }

    /// Follows what was written, of these.
    fn wrote<'a>(&mut self, written: &Poll<io::Result<usize>>, slices: impl IntoIterator<Item = &'a [u8]>) {
        let Poll::Ready(Ok(mut left)) = *written else { return };
        let mut moved = false;
        for slice in slices {
            let size = slice.len().min(left);
            moved |= self.written.pass(&slice[..size]);
            left -= size;
        }
        if moved {
            self.pulse.beat();
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
        self.pulse.flooded.store(true, Ordering::Relaxed);
        io::Error::other("there was a flood")
    }
}

impl AsyncRead for Beating {
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
        self.read.pass(&buffer.filled()[before..]);
        Poll::Ready(if self.read.empty() > FLOOD { Err(self.calm(context)) } else { Ok(()) })
    }
}

impl AsyncWrite for Beating {
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
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
