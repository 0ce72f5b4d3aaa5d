//! What moves on a connection: which streams are open, which of them wait for their client, and since when nothing has moved.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use super::{Duplex, frames::Frames};
use crate::http::connection::PREFACE;

/// So many frames may come in a row that bring no part of a request, while nothing of an answer goes out.
const FLOOD: usize = 10_000;

/// A GOAWAY frame with `ENHANCE_YOUR_CALM` (RFC 9113 sections 6.8 and 7). Any stream may have been begun.
const CALM: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11];

/// What comes too often.
const EMPTY: &str = "There was a flood of frames that bring nothing";
const CANCELLED: &str = "There was a flood of requests that were cancelled before the app could answer them";

/// The state of a connection.
pub struct Pulse {
    moved: Mutex<Instant>,
    begun: AtomicBool,
    streams: Mutex<Vec<Arc<Stream>>>,
    /// Since when the socket takes nothing, and how much it had taken by then.
    jammed: Mutex<Option<(Instant, u64)>>,
    /// How many requests wait for the app or are with it, those of streams that are gone too.
    calls: AtomicUsize,
    flood: OnceLock<&'static str>,
}

/// What is known of an open stream.
#[derive(Default)]
pub struct Stream {
    /// Since when its client has to take what there is.
    blocked: Mutex<Option<Instant>>,
    /// It ends, whatever it waits for.
    pub end: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            moved: Mutex::new(Instant::now()),
            begun: AtomicBool::new(false),
            streams: Mutex::default(),
            jammed: Mutex::default(),
            calls: AtomicUsize::new(0),
            flood: OnceLock::new(),
        }
    }
}

impl Pulse {
    fn beat(&self) {
        *lock(&self.moved) = Instant::now();
    }

    /// For how long nothing has moved.
    pub fn still(&self) -> Duration {
        lock(&self.moved).elapsed()
    }

    /// For how long the socket has taken nothing of what there is for it.
    pub fn jammed(&self) -> Duration {
        lock(&self.jammed).map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    /// Ends the streams whose clients have taken nothing for this long. Others of their connection go on.
    pub fn end_streams(&self, limit: Duration) {
        for stream in lock(&self.streams).iter() {
            if lock(&stream.blocked).is_some_and(|since| since.elapsed() >= limit) {
                stream.end.notify_one();
            }
        }
    }

    /// A request is for the app, of which there may be so many: a client that cancels them costs it no stream (RFC 9113 section
    /// 5.1.2), but their calls wait until it is their turn.
    pub fn call(self: &Arc<Self>, most: usize) -> Option<Calling> {
        if self.calls.fetch_add(1, Ordering::Relaxed) < most {
            return Some(Calling(Arc::clone(self)));
        }
        self.calls.fetch_sub(1, Ordering::Relaxed);
        let _ = self.flood.set(CANCELLED);
        None
    }

    /// Whether there has been a request.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// What there was too much of.
    pub fn flood(&self) -> Option<&'static str> {
        self.flood.get().copied()
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        lock(&self.streams).len()
    }

    fn wrote(&self, taken: u64, is_pending: bool) {
        let mut jammed = lock(&self.jammed);
        match *jammed {
            Some((_, before)) if is_pending && before == taken => {}
            _ => *jammed = is_pending.then(|| (Instant::now(), taken)),
        }
    }
}

/// A request that waits for the app or is with it, for as long as this lives.
pub struct Calling(Arc<Pulse>);

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open stream, for as long as this lives.
pub struct Open {
    pulse: Arc<Pulse>,
    stream: Arc<Stream>,
}

impl Open {
    pub fn new(pulse: Arc<Pulse>, stream: Arc<Stream>) -> Self {
        pulse.begun.store(true, Ordering::Relaxed);
        lock(&pulse.streams).push(Arc::clone(&stream));
        pulse.beat();
        Self { pulse, stream }
    }

    /// The connection's.
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Whether the client has to take something before the stream goes on. To be said whenever it has.
    pub fn set_blocked(&self, blocked: bool) {
        self.pulse.beat();
        *lock(&self.stream.blocked) = blocked.then(Instant::now);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.pulse.beat();
        lock(&self.pulse.streams).retain(|stream| !Arc::ptr_eq(stream, &self.stream));
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
        self.pulse.wrote(self.socket.taken(), written.is_pending());
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
        // There may have been another one before.
        let _ = self.pulse.flood.set(EMPTY);
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
        if self.read.pass(&buffer.filled()[before..]) {
            self.pulse.beat();
        }
        let is_flood = self.read.empty() > FLOOD || self.pulse.flood().is_some();
        Poll::Ready(if is_flood { Err(self.calm(context)) } else { Ok(()) })
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
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        self.pulse.wrote(self.socket.taken(), flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
