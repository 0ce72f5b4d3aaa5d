//! The connection's end of an answer: the body that hyper sends, and the line in the access log once it is sent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::{
    desk::Desk,
    log_entry::LogEntry,
    responder::{AnswerBody, Piece},
};

/// The body of a response.
pub struct ResponseBody {
    kind: Kind,
    /// The app broke off, and hyper has been given a turn to send what came before.
    broken: bool,
    sent: u64,
    log: Option<Box<LogEntry>>,
    desk: Arc<Desk>,
}

enum Kind {
    /// None belongs to this answer, whatever its Content-Length says.
    Absent,
    Whole(Option<Bytes>),
    Pieces(tokio::sync::mpsc::Receiver<Piece>),
}

/// The app broke off: the connection must be cut, so that what was sent is not taken for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the app broke off its answer")]
pub struct BrokenOff;

impl ResponseBody {
    pub fn new(body: AnswerBody, has_body: bool, log: Option<Box<LogEntry>>, desk: Arc<Desk>) -> Self {
        let kind = match body {
            _ if !has_body => Kind::Absent,
            AnswerBody::Whole(bytes) => Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
            AnswerBody::Pieces(pieces) => Kind::Pieces(pieces),
        };
        Self { kind, broken: false, sent: 0, log, desk }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let piece = match &mut self.kind {
            Kind::Absent => None,
            Kind::Whole(bytes) => bytes.take(),
            Kind::Pieces(pieces) => match ready!(pieces.poll_recv(context)) {
                Some(Piece::Data(bytes)) => Some(bytes),
                Some(Piece::End) => None,
                // An error makes hyper drop what it has not sent yet, the head with it. It sends when there is nothing
                // to poll for, so it gets one turn of that first.
                None if !self.broken => {
                    self.broken = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => return Poll::Ready(Some(Err(BrokenOff))),
            },
        };
        if piece.is_none() {
            self.desk.close();
        }
        self.sent += piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Absent | Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            // hyper would announce a Content-Length of 0 for an exact hint.
            Kind::Absent | Kind::Pieces(_) => SizeHint::default(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.desk.close();
        if let Some(log) = &self.log {
            log.write(self.sent);
        }
    }
}
