//! What moves on a connection: how many streams are open, who waits for whom, and since when nothing has moved.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Duplex;

/// What is written in answer to frames that keep a connection busy, and nothing else, is no longer.
const SMALL: usize = 64;

/// The state of a connection.
pub struct Pulse {
    moved: Mutex<Instant>,
    begun: AtomicBool,
    streams: AtomicUsize,
    /// Those whose client has to take what there is.
    blocked: AtomicUsize,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            moved: Mutex::new(Instant::now()),
            begun: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
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

/// A socket that tells when it moves, and whose first bytes were read before.
pub struct Beating {
    socket: Box<dyn Duplex>,
    first: Bytes,
    pulse: Arc<Pulse>,
}

impl Beating {
    pub fn new(socket: Box<dyn Duplex>, first: Bytes, pulse: Arc<Pulse>) -> Self {
        Self { socket, first, pulse }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(size)) if *size > SMALL) {
            self.pulse.beat();
        }
    }
}

impl AsyncRead for Beating {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let size = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..size]);
        self.first.advance(size);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Beating {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.wrote(&written);
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
