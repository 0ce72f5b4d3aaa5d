//! What goes to the client: heads and bodies in the place of hyper's.

use std::{
    convert::Infallible,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{io::AsyncWrite, time::Instant};

use super::{Gate, Parcel, Socket};

/// A client that takes nothing for this long is slow.
const SPILL: Duration = Duration::from_secs(1);

/// What hyper writes next.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Writing {
    Head,
    Body,
    /// It has answered before the body of the request was in.
    Done,
}

impl<S: Socket> Gate<S> {
    /// Takes hyper's head, and puts the real one in its place. Gives the number of bytes that are hyper's.
    fn replace_head(&mut self, written: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.writing == Writing::Head && taken < written.len() {
            let rest = &written[taken..];
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            let end = end.ok_or_else(|| io::Error::other("hyper has written a head in pieces"))?;
            if rest.starts_with(b"HTTP/1.1 100 ") {
                self.outbox.extend_from_slice(&rest[..end]);
            } else {
                let (head, parcel) =
                    self.desk.take_response().ok_or_else(|| io::Error::other("an answer without a head"))?;
                self.outbox.extend_from_slice(&self.desk.take_interim());
                self.outbox.extend_from_slice(&head);
                self.parcel = parcel;
                self.writing = Writing::Body;
            }
            taken += end;
        }
        Ok(taken)
    }

    /// Writes what is in the outbox, and behind it what hyper has but for the first bytes. Gives the number of hyper's.
    fn poll_write_behind_outbox(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
        taken: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            // hyper brings few at a time; those that have no place here come again.
            let mut slices = [IoSlice::new(&[]); 16];
            slices[0] = IoSlice::new(&self.outbox);
            slices[1] = IoSlice::new(&buffers[0][taken..]);
            let count = (buffers.len() - 1).min(slices.len() - 2);
            slices[2..2 + count].copy_from_slice(&buffers[1..=count]);
            let is_enough = slices[1..2 + count].iter().all(|slice| slice.is_empty());
            let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(context, &slices[..2 + count]))?;
            let own = written.min(self.outbox.len());
            self.outbox.advance(own);
            if written > own || is_enough || written == 0 {
                return Poll::Ready(Ok(written - own));
            }
        }
    }

    /// The client takes nothing. What waits for it in memory is put elsewhere after a while, and after a longer one it
    /// is cut off.
    fn stall(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Infallible>> {
        let since = *self.stalled.get_or_insert_with(Instant::now);
        if let (Some(parcel @ Parcel::Memory(_)), Some(spool)) = (&mut self.parcel, &self.spool) {
            if !self.write_patience.is_over(context, Some(since + SPILL)) {
                return Poll::Pending;
            }
            parcel.spill(spool);
        }
        let limit = self.clients.write_timeout.map(|limit| since + limit);
        if self.write_patience.is_over(context, limit) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn poll_outbox(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let written = match Pin::new(&mut self.socket).poll_write(context, &self.outbox) {
                Poll::Ready(written) => written?,
                Poll::Pending => return self.stall(context).map_ok(|never| match never {}),
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.advance(written);
        }
        if self.outbox.capacity() > 0 {
            self.outbox = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Gate<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let buffers: &[IoSlice<'_>] = match buffers.iter().position(|buffer| !buffer.is_empty()) {
            Some(first) => &buffers[first..],
            None => return Poll::Ready(Ok(0)),
        };
        let taken = this.replace_head(&buffers[0])?;
        let count = buffers.iter().map(|buffer| buffer.len()).sum::<usize>() - taken;
        let written = match &mut this.parcel {
            Some(parcel) if count > 0 => parcel.poll_write(&mut this.socket, context, &mut this.outbox, count),
            _ => this.poll_write_behind_outbox(context, buffers, taken),
        };
        match written {
            Poll::Ready(Ok(written)) => {
                this.stalled = None;
                Poll::Ready(Ok(taken + written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if taken > 0 => Poll::Ready(Ok(taken)),
            Poll::Pending => this.stall(context).map_ok(|never| match never {}),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.writing == Writing::Head {
            let interim = this.desk.take_interim();
            this.outbox.extend_from_slice(&interim);
        }
        ready!(this.poll_outbox(context))?;
        if this.writing == Writing::Body && this.desk.is_over() {
            this.answer_is_out();
        }
        Pin::new(&mut this.socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // `close` does that, in its own time.
        Poll::Ready(Ok(()))
    }
}
