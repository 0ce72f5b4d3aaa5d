//! A request's body on its way to the app.
//!
//! What is short is taken in before the app is called, so that a client which sends a byte a second costs no app
//! thread. The rest is read by the app at its own pace, and the connection reads no further than that.

use std::{collections::VecDeque, error::Error as _, io, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::runtime::Handle;

use crate::{
    wire::Refusal,
    wsgi::{BodyError, BodyReader},
};

/// So many bytes of a body are taken in before the app is called.
const TAKEN_IN: usize = 64 << 10;

/// What the app leaves unread is read and dropped for this long, so that the client gets to see the answer: a
/// connection that is closed with unread bytes is reset, and the answer with it (RFC 9112 section 9.6).
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// A request's body.
pub struct RequestBody {
    taken_in: VecDeque<Bytes>,
    /// What is still to come, and the runtime that it comes on.
    rest: Option<(Incoming, Handle)>,
}

impl RequestBody {
    /// Takes in the beginning of a body, or all of it where it is short.
    ///
    /// # Errors
    /// It ended early, or was malformed.
    pub async fn receive(mut incoming: Incoming) -> Result<Self, Refusal> {
        let mut taken_in = VecDeque::new();
        let mut size = 0;
        while size < TAKEN_IN && !incoming.is_end_stream() {
            let Some(piece) = next(&mut incoming).await? else { break };
            size += piece.len();
            taken_in.push_back(piece);
        }
        let rest = (size >= TAKEN_IN && !incoming.is_end_stream()).then(|| (incoming, Handle::current()));
        Ok(Self { taken_in, rest })
    }
}

impl BodyReader for RequestBody {
    fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(piece) = self.taken_in.pop_front() {
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
        !self.taken_in.is_empty() || self.rest.is_none()
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
