//! What goes to the client: bytes that wait to be written, files behind them, and how long a client may take nothing.

use std::{
    cell::Cell,
    convert::Infallible,
    io::{self, Write as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    http::{
        body::{
            spool::{SLOW, Spool},
            whole::{Spill, WholeBody},
        },
        socket::Socket,
        timer::Timer,
    },
    sys,
};

/// What is not larger than this is copied behind what precedes it, and goes out with it in one piece.
const COPIED: usize = 16 << 10;

/// What waits for the client.
#[derive(Default)]
pub struct Outbox {
    /// Heads, small bodies, and what frames chunks.
    text: Vec<u8>,
    /// So much of it is out.
    written: usize,
    /// What comes behind it, and what puts that into a file.
    whole: Option<WholeBody>,
    spill: Option<Box<Spill>>,
    /// The end of a chunk is to come.
    open_chunk: bool,
    /// Since when the system takes nothing for the client.
    stalled: Option<Instant>,
    /// When it was looked last how much the client's system has not got, and how much that was.
    looked: Option<(Instant, usize)>,
    /// So much had the system taken then.
    sent: u64,
    timer: Timer,
}

thread_local! {
    /// The memory of an outbox that is gone, for the next: most are written at once.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if (1..=2 * COPIED).contains(&self.text.capacity()) {
            self.text.clear();
            SPARE.set(std::mem::take(&mut self.text));
        }
    }
}

/// What may become of bytes for a client that is slow.
pub struct Slowness<'a> {
    /// Where they may wait.
    pub spool: Option<&'a Arc<Spool>>,
    /// How long a client may take nothing.
    pub limit: Option<Duration>,
}

impl Outbox {
    /// What goes out next. More may be added behind it, as long as there is no whole.
    pub fn text(&mut self) -> &mut Vec<u8> {
        if self.text.capacity() == 0 {
            self.text = SPARE.take();
        }
        &mut self.text
    }

    /// A body, or a piece of one, goes out behind the text.
    pub fn add(&mut self, whole: WholeBody) {
        match whole {
            WholeBody::Memory(bytes) if bytes.len() <= COPIED => self.text().extend_from_slice(&bytes),
            whole => self.whole = Some(whole).filter(|whole| whole.left() > 0),
        }
    }

    /// A piece of a body whose length nobody knows goes out behind the text; in a chunk, or not.
    pub fn add_piece(&mut self, piece: Bytes, chunked: bool) {
        if !chunked {
            return self.add(WholeBody::Memory(piece));
        }
        self.close_chunk();
        // Writing to a Vec cannot fail.
        let _ = write!(self.text, "{:X}\r\n", piece.len());
        self.add(WholeBody::Memory(piece));
        self.open_chunk = true;
        if self.whole.is_none() {
            self.close_chunk();
        }
    }

    /// No chunk follows.
    pub fn end_chunks(&mut self) {
        self.close_chunk();
        self.text.extend_from_slice(b"0\r\n\r\n");
    }

    fn close_chunk(&mut self) {
        if std::mem::take(&mut self.open_chunk) {
            self.text.extend_from_slice(b"\r\n");
        }
    }

    /// Whether more may be added before what there is was written.
    pub fn has_room(&self) -> bool {
        self.whole.is_none() && self.text.len() < COPIED
    }

    /// How many bytes of the whole are left.
    pub fn left(&self) -> u64 {
        self.whole.as_ref().map_or(0, WholeBody::left)
    }

    /// Writes everything.
    ///
    /// # Errors
    /// The client is gone, or takes nothing for too long; or what is left cannot be read.
    pub fn poll_write<S: Socket>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
        slowness: &Slowness<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.text.len() || self.whole.is_some() {
            let before = &self.text[self.written..];
            let written = match &mut self.whole {
                Some(whole) => whole.poll_write(socket, context, before),
                None => Pin::new(&mut *socket).poll_write(context, before),
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(size)) => self.advance(size),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.stall(socket, context, slowness).map_ok(|never| match never {}),
            }
        }
        self.written = 0;
        self.text.clear();
        match Pin::new(&mut *socket).poll_flush(context) {
            Poll::Pending => self.stall(socket, context, slowness).map_ok(|never| match never {}),
            Poll::Ready(flushed) => {
                self.goes_on();
                Poll::Ready(flushed)
            }
        }
    }

    fn goes_on(&mut self) {
        (self.stalled, self.looked) = (None, None);
    }

    fn advance(&mut self, size: usize) {
        self.goes_on();
        let text = size.min(self.text.len() - self.written);
        self.written += text;
        if let Some(whole) = &mut self.whole {
            whole.advance(size - text);
            if whole.left() == 0 {
                (self.whole, self.spill) = (None, None);
            }
        }
    }

    /// The system takes nothing for the client. What waits for it in memory is put elsewhere after a while, and after a longer one it
    /// is cut off.
    fn stall<S: Socket>(
        &mut self,
        socket: &S,
        context: &mut Context<'_>,
        slowness: &Slowness<'_>,
    ) -> Poll<io::Result<Infallible>> {
        let sent = socket.sent();
        if std::mem::replace(&mut self.sent, sent) != sent {
            self.goes_on();
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        if let (Some(whole), Some(spool)) = (&mut self.whole, slowness.spool)
            && whole.is_large()
        {
            if !self.timer.is_over(context, Some(since + SLOW)) {
                return Poll::Pending;
            }
            let spill = self.spill.take().or_else(|| Spill::new(whole, spool));
            self.spill = spill.and_then(|spill| spill.go_on(whole));
            if self.spill.is_some() {
                context.waker().wake_by_ref();
            }
        }
        match slowness.limit {
            Some(limit) if self.takes_nothing(socket, context, since, limit) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            _ => Poll::Pending,
        }
    }

    /// Whether the client has taken nothing for this long. The system takes more only once the client has taken a good part
    /// of what it has, a megabyte perhaps: one that is slow takes less in that time, and is not at fault. It is looked for
    /// the first time when the client is slow, since most are not.
    fn takes_nothing<S: Socket>(
        &mut self,
        socket: &S,
        context: &mut Context<'_>,
        since: Instant,
        limit: Duration,
    ) -> bool {
        loop {
            let next = self.looked.map_or(since + SLOW.min(limit), |(looked, _)| looked + limit);
            if !self.timer.is_over(context, Some(next)) {
                return false;
            }
            let left = sys::undelivered(socket.as_raw_fd());
            if self.looked.is_some_and(|(_, before)| left >= before) {
                return true;
            }
            self.looked = Some((Instant::now(), left));
        }
    }
}
