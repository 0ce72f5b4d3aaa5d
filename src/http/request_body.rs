//! A request's body on its way to the app.
//!
//! It is taken in before the app is called, so that a client which sends a byte a second costs no app thread: what is
//! short waits in memory, the rest in a file. What is too much for that too, and all of it where nothing is to be
//! buffered, is read by the app at its own pace, and the connection reads no further than that.

use std::{collections::VecDeque, error::Error as _, io, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::runtime::Handle;

use super::spool::{Spool, Waiting};
use crate::{
    wire::Refusal,
    wsgi::{BodyError, BodyReader},
};

/// So many bytes of a body wait in memory.
const MEMORY: usize = 64 << 10;

/// What the app leaves unread is read and dropped for this long, so that the client gets to see the answer: a
/// connection that is closed with unread bytes is reset, and the answer with it (RFC 9112 section 9.6).
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// A request's body.
#[derive(Default)]
pub struct RequestBody {
    first: VecDeque<Bytes>,
    /// What comes behind that.
    waiting: Option<Waiting>,
    /// What comes behind that: the piece that had no room.
    last: Option<Bytes>,
    /// What is still to come, and the runtime that it comes on.
    rest: Option<(Incoming, Handle)>,
}

impl RequestBody {
    /// Takes a body in, as much of it as there is room for. Without a spool the app gets it as it comes.
    ///
    /// # Errors
    /// It ended early, or was malformed.
    pub async fn receive(mut incoming: Incoming, spool: Option<&Spool>) -> Result<Self, Refusal> {
        let mut body = Self::default();
        let Some(spool) = spool else {
            body.rest = (!incoming.is_end_stream()).then(|| (incoming, Handle::current()));
            return Ok(body);
        };
        let mut size = 0;
        while !incoming.is_end_stream() {
            let Some(piece) = next(&mut incoming).await? else { return Ok(body) };
            size += piece.len();
            if size <= MEMORY {
                body.first.push_back(piece);
                continue;
            }
            if body.waiting.is_none() {
                body.waiting = spool.open();
            }
            if body.waiting.as_mut().is_none_or(|waiting| waiting.push(&piece).is_err()) {
                body.last = Some(piece);
                body.rest = Some((incoming, Handle::current()));
                return Ok(body);
            }
        }
        Ok(body)
    }

    /// What is there already.
    fn taken_in(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(piece) = self.first.pop_front() {
            return Ok(Some(piece));
        }
        if let Some(waiting) = &mut self.waiting {
            match waiting.pop() {
                Ok(Some(piece)) => return Ok(Some(piece)),
                Ok(None) => self.waiting = None,
                Err(error) => return Err(BodyError(format!("what was put aside of it is lost: {error}"))),
            }
        }
        Ok(self.last.take())
    }
}

impl BodyReader for RequestBody {
    fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(piece) = self.taken_in()? {
            return Ok(Some(piece));
        }
        let Some((incoming, _)) = &mut self.rest else { return Ok(None) };
        let piece = futures_executor::block_on(next(incoming)).map_err(|refusal| BodyError(refusal.why.to_owned()));
        if !matches!(piece, Ok(Some(_))) {
            self.rest = None;
        }
        piece
    }

    fn is_ready(&self) -> bool {
        let is_waiting = self.waiting.as_ref().is_some_and(|waiting| !waiting.is_empty());
        !self.first.is_empty() || is_waiting || self.last.is_some() || self.rest.is_none()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some((mut incoming, runtime)) = self.rest.take() {
            // An app thread is outside of the runtime, where a timer cannot even be made.
            runtime.spawn(async move {
                let drain = async { while let Ok(Some(_)) = next(&mut incoming).await {} };
                // When the time is over the body is dropped, and its connection with it.
                let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
            });
        }
    }
}

/// The next piece of data; trailers are not the app's (PEP 3333 has no place for them).
async fn next(incoming: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| reason(&error))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Why a body broke off: what the gate said, as hyper hands it on.
fn reason(error: &hyper::Error) -> Refusal {
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(refusal) = inner.and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return *refusal;
        }
        source = error.source();
    }
    Refusal::bad("The body ended early")
}
