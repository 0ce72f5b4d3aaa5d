//! A body that the app reads at its own pace, between the connection and the app's thread.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use bytes::Bytes;

use crate::{http::body::coalesced::Coalesced, wire::Refusal};

/// The connection reads ahead by so many bytes.
const AHEAD: usize = 64 << 10;

/// A body on its way to the app.
#[derive(Default)]
pub struct Feed {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    queue: Coalesced,
    queued: usize,
    /// The app has asked for a piece: before that, a client that waits to be told to send is not told.
    wanted: bool,
    end: Option<Result<(), Refusal>>,
    /// The app reads no more.
    closed: bool,
    connection: Option<Waker>,
}

/// What the connection is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Demand {
    /// To bring the next piece.
    More,
    /// To wait until the app wants more.
    Enough,
    /// Nothing more: the app does not read it.
    Closed,
}

impl Feed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece, for the app; `None` at the end. Waits for it.
    ///
    /// # Errors
    /// Why the body broke off.
    pub fn next(&self) -> Result<Option<Bytes>, Refusal> {
        let mut state = self.state();
        loop {
            if let Some(piece) = state.queue.pop() {
                state.queued -= piece.len();
                state.wake();
                return Ok(Some(piece));
            }
            if let Some(end) = state.end {
                return end.map(|()| None);
            }
            state.wanted = true;
            state.wake();
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether `next` answers at once.
    pub fn is_ready(&self) -> bool {
        let state = self.state();
        !state.queue.is_empty() || state.end.is_some()
    }

    /// The app reads no more.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.queue.clear();
        state.wake();
    }

    /// What the connection is to do now. Where that is nothing, its task is woken when it changes.
    pub fn demand(&self, context: &Context<'_>) -> Demand {
        let mut state = self.state();
        if state.closed || state.end.is_some() {
            return Demand::Closed;
        }
        if state.wanted && state.queued < AHEAD {
            return Demand::More;
        }
        state.connection = Some(context.waker().clone());
        Demand::Enough
    }

    /// Brings a piece.
    pub fn push(&self, piece: Bytes) {
        let mut state = self.state();
        state.queued += piece.len();
        state.queue.push(piece);
        self.came.notify_one();
    }

    /// Nothing comes after this.
    pub fn end(&self, end: Result<(), Refusal>) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        self.came.notify_one();
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.connection.take() {
            waker.wake();
        }
    }
}

/// The connection's end. Dropped before the body has come whole, it tells the app so.
pub struct Feeding(pub Arc<Feed>);

impl Drop for Feeding {
    fn drop(&mut self) {
        self.0.end(Err(Refusal::bad("The connection was closed")));
    }
}
