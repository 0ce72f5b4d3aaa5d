//! A request's body on its way to the app.
//!
//! It is taken in before the app is called, so that a client which sends a byte a second costs no app thread: what is
//! short waits in memory, the rest in a file. What is too much for that too, and all of it where nothing is to be
//! buffered, is read by the app at its own pace, and the connection reads no further than that.

use std::{collections::VecDeque, error::Error as _, io, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::{runtime::Handle, time::timeout_at};

use super::{
    rate::Rate,
    spool::{Spool, Waiting},
};
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
    rest: Option<(Intake, Handle)>,
}

/// A body as it comes, and how it may. With HTTP/1 the gate sees to that, and here everything may.
pub struct Intake {
    incoming: Incoming,
    /// How much more of it may come.
    room: Option<u64>,
    rate: Rate,
}

impl Intake {
    /// Whatever comes.
    pub fn any(incoming: Incoming) -> Self {
        Self { incoming, room: None, rate: Rate::new(None) }
    }

    /// At most `limit` bytes, and at least `rate` of them a second.
    pub fn within(incoming: Incoming, limit: Option<u64>, rate: Option<u64>) -> Self {
        Self { incoming, room: limit, rate: Rate::new(rate) }
    }

    /// The next piece of data; trailers are not the app's (PEP 3333 has no place for them).
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = match self.rate.wait() {
                Some(limit) => timeout_at(limit, self.incoming.frame()).await.map_err(|_| TOO_SLOW)?,
                None => self.incoming.frame().await,
            };
            let Some(frame) = frame else { return Ok(None) };
            if let Ok(data) = frame.map_err(|error| reason(&error))?.into_data()
                && !data.is_empty()
            {
                self.rate.came(data.len());
                if let Some(room) = &mut self.room {
                    *room = room.checked_sub(data.len() as u64).ok_or(TOO_LARGE)?;
                }
                return Ok(Some(data));
            }
        }
    }
}

pub const TOO_LARGE: Refusal = Refusal::new(413, "The body is larger than it may be");
pub const TOO_SLOW: Refusal = Refusal::new(408, "The client is too slow");

impl RequestBody {
    /// Takes a body in, as much of it as there is room for. Without a spool the app gets it as it comes.
    ///
    /// # Errors
    /// It ended early, or was malformed.
    pub async fn receive(mut intake: Intake, spool: Option<&Spool>) -> Result<Self, Refusal> {
        let mut body = Self::default();
        let Some(spool) = spool else {
            body.rest = (!intake.incoming.is_end_stream()).then(|| (intake, Handle::current()));
            return Ok(body);
        };
        let mut size = 0;
        while !intake.incoming.is_end_stream() {
            let Some(piece) = intake.next().await? else { return Ok(body) };
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
                body.rest = Some((intake, Handle::current()));
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
        let Some((intake, runtime)) = &mut self.rest else { return Ok(None) };
        // Its timers are the runtime's.
        let runtime = runtime.clone();
        let _inside = runtime.enter();
        let piece = futures_executor::block_on(intake.next()).map_err(|refusal| BodyError(refusal.why.to_owned()));
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
        if let Some((mut intake, runtime)) = self.rest.take() {
            // An app thread is outside of the runtime, where a timer cannot even be made.
            runtime.spawn(async move {
                let drain = async { while let Ok(Some(_)) = intake.next().await {} };
                // When the time is over the body is dropped, and its connection with it.
                let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
            });
        }
    }
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
