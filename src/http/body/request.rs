//! A request's body on its way to the app.
//!
//! It is taken in before the app is called, so that a client which sends a byte a second costs no app thread. One that is
//! large, or whose client is slow, waits in a file. What is too much for that too, and all of it where nothing is to be
//! buffered, is read by the app at its own pace, and the connection reads no further than that.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Context,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    coalesced::Coalesced,
    memory_budget::Held,
    spool::{SLOW, Spool, Waiting},
};
use crate::{
    http::{http1::Feed, http2::Intake, timer::Timer},
    wire::Refusal,
    wsgi::{App, BodyError, BodyReader},
};

/// So many bytes of a body wait in memory.
const MEMORY: usize = 64 << 10;

/// And so many while their client is not slow, as long as not too much of all clients does.
const LARGE: usize = 16 << 20;

/// A request's body.
#[derive(Default)]
pub struct RequestBody {
    first: Coalesced,
    size: usize,
    /// That it may, where it is large.
    held: Option<(Held, Instant)>,
    /// What comes behind that.
    waiting: Option<Waiting>,
    /// What comes behind that: the piece that had no room.
    last: Option<Bytes>,
    /// What is still to come, and for whom waiting for it is no work.
    rest: Option<(Rest, Arc<dyn App>)>,
}

/// A body that is not there.
pub struct NoBody;

impl BodyReader for NoBody {
    fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        Ok(None)
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// What is still to come.
enum Rest {
    /// From a connection of HTTP/1.
    Feed(Arc<Feed>),
    /// From a stream of HTTP/2.
    Stream(Box<Intake>),
}

/// What the app leaves unread of a body is read and dropped for this long: a client of HTTP/1 then brings its next request on
/// the connection, and one of HTTP/2 may not read its answer before it has sent all.
pub const DRAIN_TIME: Duration = Duration::from_secs(30);

pub const TOO_LARGE: Refusal = Refusal::new(413, "The body is larger than it may be");
pub const TOO_SLOW: Refusal = Refusal::new(408, "The client is too slow");

impl RequestBody {
    /// Takes the body of a stream in, as much of it as there is room for. Without a spool the app gets it as it comes.
    ///
    /// # Errors
    /// It ended early, was malformed, too large or too slow.
    pub async fn receive(mut intake: Intake, app: &Arc<dyn App>, spool: Option<&Spool>) -> Result<Self, Refusal> {
        let mut body = Self::default();
        while !intake.is_over() {
            if let Some(spool) = spool {
                let Some(piece) = body.patiently(intake.next(), spool).await? else { break };
                if body.take_in(piece, spool) {
                    continue;
                }
            }
            body.rest = Some((Rest::Stream(Box::new(intake)), Arc::clone(app)));
            break;
        }
        Ok(body)
    }

    /// Waits for the next piece. What came before it waits in memory for no longer than a client may be slow.
    pub async fn patiently<T>(&mut self, next: impl Future<Output = T>, spool: &Spool) -> T {
        let (mut next, mut timer) = (pin!(next), Timer::default());
        poll_fn(|context: &mut Context<'_>| {
            let polled = next.as_mut().poll(context);
            if polled.is_pending()
                && let Some((_, since)) = &self.held
                && timer.is_over(context, Some(*since + SLOW))
            {
                self.spill(spool);
            }
            polled
        })
        .await
    }

    /// Takes the next piece in. False where there is no room for another.
    pub fn take_in(&mut self, piece: Bytes, spool: &Spool) -> bool {
        self.size += piece.len();
        if self.waiting.is_none() && (self.size <= MEMORY || self.holds(piece.len(), spool)) {
            self.first.push(piece);
            return true;
        }
        if self.waiting.is_none() {
            self.spill(spool);
        }
        let has_room = self.waiting.as_mut().is_some_and(|waiting| waiting.push(&piece).is_ok());
        if !has_room {
            self.last = Some(piece);
        }
        has_room
    }

    /// Whether there is room in memory for another piece of a large body.
    fn holds(&mut self, size: usize, spool: &Spool) -> bool {
        if self.size > LARGE {
            return false;
        }
        if let Some((held, _)) = &mut self.held {
            return held.grow(size as u64);
        }
        self.held = spool.budget().hold(self.size as u64).map(|held| (held, Instant::now()));
        self.held.is_some()
    }

    /// Puts what is in memory into a file. Where that cannot be it stays.
    fn spill(&mut self, spool: &Spool) {
        let Some(mut waiting) = spool.open() else { return };
        if self.first.iter().all(|piece| waiting.push(piece).is_ok()) {
            self.first.clear();
            (self.waiting, self.held) = (Some(waiting), None);
        }
    }

    /// The rest comes through `feed`, as the app reads it.
    pub fn goes_on(&mut self, feed: Arc<Feed>, app: &Arc<dyn App>) {
        self.rest = Some((Rest::Feed(feed), Arc::clone(app)));
    }

    /// What is there already.
    fn taken_in(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(piece) = self.first.pop() {
            return Ok(Some(piece));
        }
        if let Some(waiting) = &mut self.waiting {
            match waiting.pop() {
                Ok(Some(piece)) => return Ok(Some(piece)),
                Ok(None) => self.waiting = None,
                Err(error) => {
                    let why = format!("what was put aside of it is lost: {error}");
                    return Err(BodyError { status: 500, why });
                }
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
        let Some((rest, app)) = &mut self.rest else { return Ok(None) };
        let mut piece = Ok(None);
        match rest {
            Rest::Feed(feed) if feed.is_ready() => piece = feed.next(),
            Rest::Feed(feed) => app.wait(&mut || piece = feed.next()),
            Rest::Stream(intake) => app.wait(&mut || piece = intake.wait()),
        }
        let piece = piece.map_err(|refusal| BodyError { status: refusal.status, why: refusal.why.to_owned() });
        if !matches!(piece, Ok(Some(_))) {
            self.let_go();
        }
        piece
    }

    fn is_ready(&self) -> bool {
        self.waiting.is_none() && self.rest.is_none()
    }
}

impl RequestBody {
    /// Reads no more.
    fn let_go(&mut self) {
        match self.rest.take() {
            None => {}
            Some((Rest::Feed(feed), _)) => feed.close(),
            Some((Rest::Stream(intake), _)) => intake.let_go(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.let_go();
    }
}
