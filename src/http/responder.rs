//! The app thread's end of an answer.

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    desk::Desk,
    outgoing::{End, Outgoing},
    parcel::Parcel,
    spool::Spool,
};
use crate::{
    wire::Refusal,
    wsgi::{Gone, Head, Responder},
};

/// A body of this size or less goes out with its head, and may wait for a slow client in memory.
const SMALL: usize = 64 << 10;

/// An answer as it reaches the connection.
pub struct Answer {
    pub head: Head,
    pub body: AnswerBody,
}

/// The body of an answer.
pub enum AnswerBody {
    /// All of it, and not large.
    Whole(Bytes),
    /// All of it.
    Parcel(Parcel),
    /// Its pieces as they come.
    Pieces(Arc<Outgoing>),
}

impl Answer {
    pub fn complete(head: Head, body: Bytes) -> Self {
        Self { head, body: AnswerBody::Whole(body) }
    }

    /// The page that says why there is no other.
    pub fn refusal(refusal: Refusal) -> Self {
        let status = http::StatusCode::from_u16(refusal.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let (head, page) = Head::error_page(status, refusal.why);
        Self::complete(head, page)
    }
}

/// Hands an answer to the connection, which lives on another thread.
pub struct ChannelResponder {
    answer: Option<oneshot::Sender<Answer>>,
    pieces: Option<Arc<Outgoing>>,
    desk: Arc<Desk>,
    /// Where pieces may wait; none where nothing is to be buffered.
    spool: Option<Arc<Spool>>,
}

impl ChannelResponder {
    pub fn new(answer: oneshot::Sender<Answer>, desk: Arc<Desk>, spool: Option<Arc<Spool>>) -> Self {
        Self { answer: Some(answer), pieces: None, desk, spool }
    }

    /// A client that is gone is noticed when a piece is sent.
    fn answer(&mut self, answer: Answer) {
        if let Some(sender) = self.answer.take() {
            let _ = sender.send(answer);
        }
    }

    fn end(&mut self, end: End) {
        if let Some(pieces) = self.pieces.take() {
            pieces.end(end);
        }
    }
}

/// What an app says of an answer that must not wait for more of it: nginx's field, which apps know.
fn is_buffered(head: &Head) -> bool {
    head.fields.get("x-accel-buffering").is_none_or(|value| !value.eq_ignore_ascii_case(b"no"))
}

impl Responder for ChannelResponder {
    fn complete(&mut self, head: Head, body: Bytes) {
        if body.len() <= SMALL {
            self.answer(Answer::complete(head, body));
        } else {
            self.answer(Answer { head, body: AnswerBody::Parcel(Parcel::Memory(body)) });
        }
    }

    fn complete_file(&mut self, head: Head, file: File, offset: u64, length: u64) {
        let body = AnswerBody::Parcel(Parcel::File { file, offset, left: length });
        self.answer(Answer { head, body });
    }

    fn begin(&mut self, head: Head) {
        let spool = self.spool.as_ref().filter(|_| is_buffered(&head)).map(Arc::clone);
        let pieces = Outgoing::new(spool);
        self.pieces = Some(Arc::clone(&pieces));
        self.answer(Answer { head, body: AnswerBody::Pieces(pieces) });
    }

    fn interim(&mut self, head: &[u8]) {
        self.desk.bring_interim(head);
    }

    fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
        self.pieces.as_ref().ok_or(Gone)?.send(piece)
    }

    fn is_ready(&self, size: usize) -> bool {
        self.pieces.as_ref().is_none_or(|pieces| !pieces.would_wait(size))
    }

    fn is_wanted(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| !answer.is_closed())
    }

    fn finish(&mut self) {
        self.end(End::Well);
    }

    fn abort(&mut self) {
        self.end(End::Broken);
    }
}

impl Drop for ChannelResponder {
    fn drop(&mut self) {
        self.abort();
    }
}
