//! One answer in the making: what PEP 3333 lets an app do with `start_response`, `write` and its iterable, in order.
//!
//! Pure state over a [`Responder`]; the interpreter's side translates its errors into Python's.

use std::fs::File;

use bytes::Bytes;
use http::StatusCode;

use super::{Gone, Head, Notes, Responder};
use crate::wire::Fields;

/// A large piece is sent in steps of this many bytes, so that a slow client bounds what waits in memory.
const STEP: usize = 64 << 10;

/// An answer in the making.
pub struct Exchange {
    /// Whether this answers a `HEAD`, and so has no body.
    to_head: bool,
    state: State,
    sent: u64,
}

enum State {
    /// Nothing was sent: the head may still be replaced.
    Open { responder: Box<dyn Responder>, head: Option<Head> },
    /// The head is out and pieces of the body follow; so many bytes are left of a declared length.
    Streaming { responder: Box<dyn Responder>, left: Option<u64>, cut: bool },
    /// There is nothing more to send.
    Ended,
}

/// A head, and whom it goes to.
type Addressed = (Box<dyn Responder>, Head);

/// What an app did wrong, or that there is no one left to answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ExchangeError {
    #[error("the app did not call start_response before its first piece of the body")]
    NotStarted,
    #[error("start_response was called again without exc_info")]
    AlreadyStarted,
    #[error("start_response was called with exc_info after the head was sent")]
    HeadSent,
    #[error("the body is {0} bytes shorter than its Content-Length")]
    Short(u64),
    #[error("the body was longer than its Content-Length, and was cut")]
    Cut,
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// Whether more of the body is of use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flow {
    /// Go on.
    More,
    /// The client gets no more of it: no body belongs to this answer, or its declared length is reached.
    Enough,
}

impl Exchange {
    /// Answers a request, a `HEAD` or another, through `responder`.
    pub fn new(to_head: bool, responder: Box<dyn Responder>) -> Self {
        Self { to_head, state: State::Open { responder, head: None }, sent: 0 }
    }

    /// One that has nothing more to send.
    pub fn ended() -> Self {
        Self { to_head: false, state: State::Ended, sent: 0 }
    }

    /// `start_response`: sets the head; `replace` is whether it came with `exc_info`.
    ///
    /// # Errors
    /// It was called before, and may not be called again.
    pub fn start(&mut self, new: Head, replace: bool) -> Result<(), ExchangeError> {
        match &mut self.state {
            State::Open { head, .. } if head.is_none() || replace => {
                *head = Some(new);
                Ok(())
            }
            State::Streaming { .. } | State::Ended if replace => Err(ExchangeError::HeadSent),
            _ => Err(ExchangeError::AlreadyStarted),
        }
    }

    /// Whether the head is out.
    pub fn is_head_sent(&self) -> bool {
        !matches!(self.state, State::Open { .. })
    }

    /// How many bytes of the body are out.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The head and whom to send it to, if it is not out. The answer ends with that, unless the caller goes on.
    fn take_head(&mut self) -> Result<Option<Addressed>, ExchangeError> {
        match &self.state {
            State::Open { head: None, .. } => return Err(ExchangeError::NotStarted),
            State::Open { .. } => {}
            State::Streaming { .. } | State::Ended => return Ok(None),
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Open { responder, head: Some(head) } => Ok(Some((responder, head))),
            _ => Ok(None),
        }
    }

    /// Sends a piece of the body, and before the first that is not empty the head. Blocks while the client is slow.
    ///
    /// # Errors
    /// There is no head to send, or no one to send to.
    pub fn write(&mut self, mut piece: Bytes) -> Result<Flow, ExchangeError> {
        if piece.is_empty() {
            return Ok(Flow::More);
        }
        if let Some((mut responder, head)) = self.take_head()? {
            if self.to_head || !head.has_body() {
                responder.complete(head, Bytes::new());
                return Ok(Flow::Enough);
            }
            let left = head.content_length;
            if left == Some(piece.len() as u64) {
                // Frameworks wrap one piece of a known length in an iterator: that is the whole answer already.
                self.sent = piece.len() as u64;
                responder.complete(head, piece);
                self.state = State::Streaming { responder, left: Some(0), cut: false };
                return Ok(Flow::More);
            }
            responder.begin(head);
            self.state = State::Streaming { responder, left, cut: false };
        }
        let State::Streaming { responder, left, cut } = &mut self.state else { return Ok(Flow::Enough) };
        if let Some(left) = left {
            *cut |= piece.len() as u64 > *left;
            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
        }
        let enough = *left == Some(0) && *cut;
        while !piece.is_empty() {
            let step = piece.split_to(piece.len().min(STEP));
            self.sent += step.len() as u64;
            responder.send(step)?;
        }
        Ok(if enough { Flow::Enough } else { Flow::More })
    }

    /// Answers with the whole body at once, where nothing was sent before. Does not block.
    ///
    /// # Errors
    /// There is no head to send, or its Content-Length is not that of the body.
    pub fn complete(&mut self, mut body: Bytes) -> Result<(), ExchangeError> {
        let Some((mut responder, mut head)) = self.take_head()? else {
            self.write(body)?;
            return self.finish();
        };
        let length = body.len() as u64;
        if self.to_head || !head.has_body() {
            if head.has_body() && length > 0 {
                // What a GET would be told (RFC 9110 section 9.3.2); an app that saw a HEAD may have sent nothing.
                head.content_length = head.content_length.or(Some(length));
            }
            responder.complete(head, Bytes::new());
            return Ok(());
        }
        let declared = head.content_length.unwrap_or(length);
        if declared > length {
            // The client must not take it for the whole: it gets what there is, and then the connection breaks.
            // The head goes first also where there is no body at all, which `write` would leave to `finish`.
            responder.begin(head);
            self.state = State::Streaming { responder, left: Some(declared), cut: false };
            self.write(body)?;
            return self.finish();
        }
        self.sent = declared;
        body.truncate(usize::try_from(declared).unwrap_or(usize::MAX));
        responder.complete(head, body);
        if declared < length { Err(ExchangeError::Cut) } else { Ok(()) }
    }

    /// Answers with what is in a file from `offset` on, `length` bytes or as many as the app's Content-Length says, where
    /// nothing was sent before. False where that is not so, or the body is not the file's: then nothing was done.
    ///
    /// # Errors
    /// There is no head to send.
    pub fn complete_file(&mut self, file: File, offset: u64, length: u64) -> Result<bool, ExchangeError> {
        // A file that is too short is found out by whoever reads it.
        if let State::Open { head: Some(head), .. } = &self.state
            && head.content_length.is_some_and(|declared| declared > length)
        {
            return Ok(false);
        }
        let Some((mut responder, mut head)) = self.take_head()? else { return Ok(false) };
        if !head.has_body() {
            // No length belongs to such an answer (RFC 9110 section 8.6).
            responder.complete(head, Bytes::new());
            return Ok(true);
        }
        let declared = *head.content_length.get_or_insert(length);
        if self.to_head {
            responder.complete(head, Bytes::new());
        } else {
            self.sent = declared;
            responder.complete_file(head, file, offset, declared);
        }
        Ok(true)
    }

    /// Sends hints of what the answer will have (103, RFC 8297), unless the head is out.
    pub fn hint(&mut self, fields: &Fields) {
        let State::Open { responder, .. } = &mut self.state else { return };
        let mut head = b"HTTP/1.1 103 Early Hints\r\n".to_vec();
        head.extend_from_slice(fields.lines());
        head.extend_from_slice(b"\r\n");
        responder.interim(&head);
    }

    /// Ends the answer after the last piece.
    ///
    /// # Errors
    /// There is no head to send, or its Content-Length is not that of the body. Such a body does not end well: the
    /// connection breaks, so that the client does not take it for the whole.
    pub fn finish(&mut self) -> Result<(), ExchangeError> {
        if !self.is_head_sent() {
            return self.complete(Bytes::new());
        }
        let State::Streaming { mut responder, left, cut } = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(());
        };
        match left {
            Some(left) if left > 0 => {
                responder.abort();
                Err(ExchangeError::Short(left))
            }
            _ => {
                responder.finish();
                if cut { Err(ExchangeError::Cut) } else { Ok(()) }
            }
        }
    }

    /// Leaves what the access log asks for.
    pub fn note(&mut self, notes: Notes) {
        match &mut self.state {
            State::Open { responder, .. } | State::Streaming { responder, .. } => responder.note(notes),
            State::Ended => {}
        }
    }

    /// The app failed: it is answered with this status if nothing was sent, otherwise the answer breaks off.
    pub fn fail(&mut self, status: StatusCode) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Open { mut responder, .. } => {
                let (head, body) = Head::error_page(status, "");
                responder.complete(head, if self.to_head { Bytes::new() } else { body });
            }
            State::Streaming { mut responder, .. } => responder.abort(),
            State::Ended => {}
        }
    }
}

#[cfg(test)]
mod tests;
