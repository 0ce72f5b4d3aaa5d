//! The app thread's end of an answer.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::wsgi::{Gone, Head, Responder};

/// So many pieces of a body may wait for a slow client; a piece is at most 64 KiB.
const PIECES: usize = 8;

/// An answer as it reaches the connection.
pub struct Answer {
    pub head: Head,
    pub body: AnswerBody,
}

impl Answer {
    pub fn complete(head: Head, body: Bytes) -> Self {
        Self { head, body: AnswerBody::Whole(body) }
    }
}

/// The body of an answer.
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// Its pieces as they come.
    Pieces(mpsc::Receiver<Piece>),
}

/// What comes through the channel of a body. A channel that closes before its `End` means that the body broke off.
pub enum Piece {
    Data(Bytes),
    End,
}

/// Hands an answer to the connection, which lives on another thread.
pub struct ChannelResponder {
    answer: Option<oneshot::Sender<Answer>>,
    pieces: Option<mpsc::Sender<Piece>>,
}

impl ChannelResponder {
    pub fn new(answer: oneshot::Sender<Answer>) -> Self {
        Self { answer: Some(answer), pieces: None }
    }

    /// A client that is gone is noticed when a piece is sent.
    fn answer(&mut self, answer: Answer) {
        if let Some(sender) = self.answer.take() {
            let _ = sender.send(answer);
        }
    }
}

impl Responder for ChannelResponder {
    fn complete(&mut self, head: Head, body: Bytes) {
        self.answer(Answer::complete(head, body));
    }

    fn begin(&mut self, head: Head) {
        let (sender, receiver) = mpsc::channel(PIECES);
        self.pieces = Some(sender);
        self.answer(Answer { head, body: AnswerBody::Pieces(receiver) });
    }

    fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
        let pieces = self.pieces.as_ref().ok_or(Gone)?;
        pieces.blocking_send(Piece::Data(piece)).map_err(|_| Gone)
    }

    fn finish(&mut self) {
        if let Some(pieces) = self.pieces.take() {
            // Nobody is left to care for the end when this fails.
            let _ = pieces.blocking_send(Piece::End);
        }
    }

    fn abort(&mut self) {
        self.pieces = None;
    }
}
