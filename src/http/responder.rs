//! The app thread's end of an answer.

use std::{fs::File, sync::Arc, task::Waker};

use bytes::Bytes;

use super::{
    body::{
        pieces::{End, Outgoing, Pieces, Sent},
        spool::Spool,
        whole::WholeBody,
    },
    slot::Slot,
};
use crate::{
    wire::Refusal,
    wsgi::{App, Gone, Head, Notes, Responder},
};

/// An answer as it reaches the connection.
pub struct Answer {
    pub head: Head,
    pub body: AnswerBody,
}

/// The body of an answer.
pub enum AnswerBody {
    /// All of it.
    Whole(WholeBody),
    /// Its pieces as they come.
    Pieces(Pieces),
}

impl Answer {
    pub fn complete(head: Head, body: Bytes) -> Self {
        Self { head, body: AnswerBody::Whole(WholeBody::Memory(body)) }
    }

    /// The page that says why there is no other.
    pub fn refusal(refusal: Refusal) -> Self {
        let status = http::StatusCode::from_u16(refusal.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let (head, page) = Head::error_page(status, refusal.why);
        Self::complete(head, page)
    }
}

/// Hands an answer to the connection, which lives on another thread, or goes on when this one comes back to it.
pub struct ChannelResponder {
    slot: Arc<Slot>,
    app: Arc<dyn App>,
    pieces: Option<Arc<Outgoing>>,
    /// Where pieces may wait; none where nothing is to be buffered.
    spool: Option<Arc<Spool>>,
    /// How much was sent in pieces.
    sent: usize,
    /// Whether the slot has what it waits for.
    answered: bool,
}

/// More than this in pieces goes out while the app makes the next; what is less goes when the call is over, or lasts.
const AT_ONCE: usize = 32 << 10;

impl ChannelResponder {
    pub fn new(slot: Arc<Slot>, app: Arc<dyn App>, spool: Option<Arc<Spool>>) -> Self {
        Self { slot, app, pieces: None, spool, sent: 0, answered: false }
    }

    fn wake(&self, connection: Option<Waker>) {
        if let Some(connection) = connection {
            self.app.wake(connection);
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.answered = true;
        self.wake(self.slot.answer(answer));
    }

    fn end(&mut self, end: End) {
        if let Some(pieces) = self.pieces.take() {
            self.wake(pieces.end(end));
        }
    }
}

/// What an app says of an answer that must not wait for more of it: nginx's field, which apps know.
fn is_buffered(head: &Head) -> bool {
    head.fields.get("x-accel-buffering").is_none_or(|value| !value.eq_ignore_ascii_case(b"no"))
}

impl Responder for ChannelResponder {
    fn complete(&mut self, head: Head, body: Bytes) {
        // On the app's thread: it is its answers that are too many.
        let body = AnswerBody::Whole(WholeBody::new(body, self.spool.as_deref()));
        self.answer(Answer { head, body });
    }

    fn complete_file(&mut self, head: Head, file: File, offset: u64, length: u64) {
        let body = AnswerBody::Whole(WholeBody::File { file, offset, left: length });
        self.answer(Answer { head, body });
    }

    fn begin(&mut self, head: Head) {
        let spool = self.spool.as_ref().filter(|_| is_buffered(&head)).map(Arc::clone);
        let (outgoing, pieces) = Outgoing::new(spool);
        self.pieces = Some(outgoing);
        self.answer(Answer { head, body: AnswerBody::Pieces(pieces) });
    }

    fn note(&mut self, notes: Notes) {
        self.slot.note(notes);
    }

    fn interim(&mut self, head: &[u8]) {
        self.wake(self.slot.interim(head));
        self.app.hand_over();
    }

    fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
        let pieces = self.pieces.as_ref().ok_or(Gone)?;
        self.sent = self.sent.saturating_add(piece.len());
        if self.sent > AT_ONCE {
            self.app.hand_over();
        }
        let connection = match pieces.send(piece)? {
            Sent::Taken(connection) => connection,
            Sent::Full(piece) => {
                let (mut piece, mut sent) = (Some(piece), Err(Gone));
                self.app
                    .wait(&mut || sent = piece.take().map_or(Err(Gone), |piece| pieces.send_when_there_is_room(piece)));
                sent?
            }
        };
        self.wake(connection);
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        self.slot.is_wanted()
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
        if !self.answered {
            self.wake(self.slot.close());
        }
    }
}
