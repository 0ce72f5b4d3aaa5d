//! The body of an answer that comes in pieces, between the app's thread and the connection.
//!
//! The app's thread is not held up by a slow client: what memory does not hold waits in a file, and only when that is
//! full the thread waits. An answer that is not to be buffered has no file.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::spool::{Spool, Waiting};
use crate::wsgi::Gone;

/// So many bytes of a body wait in memory.
const MEMORY: usize = 64 << 10;

/// A body on its way.
pub struct Outgoing {
    state: Mutex<State>,
    room: Condvar,
    /// None where nothing may wait but in memory.
    spool: Option<Arc<Spool>>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Bytes>,
    queued: usize,
    /// What waits behind the queue.
    file: Option<Waiting>,
    end: Option<End>,
    /// The client takes no more.
    gone: bool,
    connection: Option<Waker>,
}

/// The connection's end of a body. Dropped, it tells the app's side that the client takes no more.
pub struct Pieces(Arc<Outgoing>);

/// What became of a piece.
pub enum Sent {
    /// It is on its way; who is to be woken.
    Taken(Option<Waker>),
    /// There is no room for it now.
    Full(Bytes),
}

/// How a body ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It is whole.
    Well,
    /// It broke off: the connection must be cut, so that what was sent is not taken for the whole.
    Broken,
}

impl Outgoing {
    /// A body, and the connection's end of it.
    pub fn new(spool: Option<Arc<Spool>>) -> (Arc<Self>, Pieces) {
        let outgoing = Arc::new(Self { state: Mutex::default(), room: Condvar::new(), spool });
        (Arc::clone(&outgoing), Pieces(outgoing))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a piece, if there is room for it.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send(&self, piece: Bytes) -> Result<Sent, Gone> {
        let mut state = self.state();
        if state.gone {
            return Err(Gone);
        }
        Ok(match state.add(piece, self.spool.as_ref()) {
            Ok(()) => Sent::Taken(state.connection.take()),
            Err(piece) => Sent::Full(piece),
        })
    }

    /// Adds a piece, as soon as there is room for it. Gives who is to be woken.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send_when_there_is_room(&self, mut piece: Bytes) -> Result<Option<Waker>, Gone> {
        let mut state = self.state();
        while !state.gone {
            match state.add(piece, self.spool.as_ref()) {
                Ok(()) => return Ok(state.connection.take()),
                Err(back) => piece = back,
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Err(Gone)
    }

    /// Nothing comes after this. Gives who is to be woken.
    pub fn end(&self, end: End) -> Option<Waker> {
        let mut state = self.state();
        state.end.get_or_insert(end);
        state.connection.take()
    }
}

impl Pieces {
    /// Nothing comes after this, whatever the app's side does.
    pub fn break_off(&self) {
        // Whoever is to be woken is who calls this.
        let _ = self.0.end(End::Broken);
    }

    /// The next piece.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        let mut state = self.0.state();
        if let Some(piece) = state.queue.pop_front() {
            state.queued -= piece.len();
            self.0.room.notify_one();
            return Poll::Ready(Ok(piece));
        }
        let waiting = state.file.as_mut().map_or(Ok(None), Waiting::pop);
        match (waiting, state.end) {
            (Ok(Some(piece)), _) => {
                self.0.room.notify_one();
                Poll::Ready(Ok(piece))
            }
            (Err(error), _) => {
                tracing::error!("What waited for a slow client cannot be read: {error}.");
                Poll::Ready(Err(End::Broken))
            }
            (Ok(None), Some(end)) => Poll::Ready(Err(end)),
            (Ok(None), None) => {
                state.connection = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.gone = true;
        (state.queue, state.queued, state.file) = (VecDeque::new(), 0, None);
        self.0.room.notify_one();
    }
}

impl State {
    fn has_room(&self, size: usize) -> bool {
        self.file.as_ref().is_none_or(Waiting::is_empty) && (self.queue.is_empty() || self.queued + size <= MEMORY)
    }

    /// Adds a piece, or gives it back where there is no room.
    fn add(&mut self, piece: Bytes, spool: Option<&Arc<Spool>>) -> Result<(), Bytes> {
        if self.has_room(piece.len()) {
            self.queued += piece.len();
            self.queue.push_back(piece);
            return Ok(());
        }
        if self.file.is_none() {
            self.file = spool.and_then(|spool| spool.open());
        }
        let added = self.file.as_mut().is_some_and(|file| file.push(&piece).is_ok());
        if added { Ok(()) } else { Err(piece) }
    }
}
