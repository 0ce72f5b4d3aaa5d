//! The connection's end of an answer: the body that hyper sends, and the line in the access log once it is sent.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::http::{
    connection::Running,
    log_entry::OwnEntry,
    outgoing::{End, Pieces},
    parcel::Parcel,
    patience::Patience,
};

/// So much is given to hyper at a time: whether a client takes anything shows when it has taken that.
const PIECE: usize = 16 << 10;

/// The body of a response.
pub struct ResponseBody {
    kind: Kind,
    /// What is left of a piece.
    rest: Bytes,
    /// The app broke off, and hyper has been given a turn to send what came before.
    broken: bool,
    patience: Patience,
    sent: u64,
    log: Option<Box<OwnEntry>>,
    /// The request runs until its answer is out.
    _running: Option<Running>,
}

/// What hyper is given of a body.
pub enum Kind {
    /// None belongs to this answer, whatever its Content-Length says.
    Absent,
    /// All of it.
    Whole(Parcel),
    /// Pieces as they come, until this time at the latest while the app has not ended.
    Pieces(Pieces, Option<Instant>),
}

/// The app broke off: the connection must be cut, so that what was sent is not taken for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the app broke off its answer")]
pub struct BrokenOff;

impl ResponseBody {
    pub fn new(kind: Kind, log: Option<Box<OwnEntry>>, running: Option<Running>) -> Self {
        Self { kind, rest: Bytes::new(), broken: false, patience: Patience::default(), sent: 0, log, _running: running }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BrokenOff>> {
        Poll::Ready(Ok(match &mut self.kind {
            Kind::Absent => None,
            Kind::Whole(parcel) => match parcel.next_piece() {
                Ok(piece) => Some(piece).filter(|piece| !piece.is_empty()),
                Err(error) => {
                    tracing::error!("What is left of an answer cannot be read: {error}.");
                    return Poll::Ready(Err(BrokenOff));
                }
            },
            Kind::Pieces(pieces, deadline) => match pieces.poll_next(context) {
                Poll::Ready(Ok(piece)) => Some(piece),
                Poll::Ready(Err(End::Well)) => None,
                Poll::Pending if self.patience.is_over(context, *deadline) => {
                    pieces.break_off();
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
                // An error makes hyper drop what it has not sent yet, the head with it. It sends when there is nothing
                // to poll for, so it gets one turn of that first.
                Poll::Ready(Err(End::Broken)) if !self.broken => {
                    self.broken = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Err(End::Broken)) => return Poll::Ready(Err(BrokenOff)),
            },
        }))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.rest.is_empty() {
            match ready!(self.poll_piece(context)) {
                Ok(Some(piece)) => self.rest = piece,
                Ok(None) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let size = self.rest.len().min(PIECE);
        self.sent += size as u64;
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Absent => true,
            Kind::Whole(parcel) => parcel.left() == 0 && self.rest.is_empty(),
            Kind::Pieces(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(parcel) => SizeHint::with_exact(parcel.left() + self.rest.len() as u64),
            // hyper would announce a Content-Length of 0 for an exact hint.
            Kind::Absent | Kind::Pieces(..) => SizeHint::default(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.write(self.sent);
        }
    }
}
