//! Where an answer waits for its connection: an app's thread leaves it here, and the connection's task takes it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::responder::Answer;
use crate::wsgi::Notes;

/// The place for the answer to one request.
#[derive(Default)]
pub struct Slot {
    state: Mutex<State>,
    /// Nobody waits any more. It is set with the state locked, and may be read without.
    gone: AtomicBool,
}

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    /// What the access log asked for.
    notes: Notes,
    /// Heads that go out before the answer (RFC 9110 section 15.2).
    interim: Vec<u8>,
    /// There will be no answer but what is here.
    closed: bool,
    connection: Option<Waker>,
}

/// What the connection finds in its slot.
pub enum Found {
    /// A head that precedes the answer's.
    Interim(Vec<u8>),
    /// The answer.
    Answer(Answer),
    /// The call ended without one: it panicked.
    Nothing,
}

/// The connection's end. Dropped, it tells the app's side that nobody waits.
pub struct Waiting(Arc<Slot>);

impl Slot {
    /// A slot, and the connection's end of it.
    pub fn new() -> (Arc<Self>, Waiting) {
        let slot = Arc::<Self>::default();
        (Arc::clone(&slot), Waiting(slot))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the answer, once; the first one counts. Gives who is to be woken.
    #[must_use]
    pub fn answer(&self, answer: Answer) -> Option<Waker> {
        let mut state = self.state();
        let connection = state.connection.take();
        if !std::mem::replace(&mut state.closed, true) && self.is_wanted() {
            state.answer = Some(answer);
        } else {
            // Where nobody waits, it tells whoever makes it that nobody does, when it is dropped: not under the lock.
            drop(state);
            drop(answer);
        }
        connection
    }

    /// Leaves what the access log asks for.
    pub fn note(&self, notes: Notes) {
        self.state().notes = notes;
    }

    /// Brings a head that precedes the answer's. Gives who is to be woken.
    #[must_use]
    pub fn interim(&self, head: &[u8]) -> Option<Waker> {
        let mut state = self.state();
        state.interim.extend_from_slice(head);
        state.connection.take()
    }

    /// There will be no answer if there is none yet. Gives who is to be woken.
    #[must_use]
    pub fn close(&self) -> Option<Waker> {
        let mut state = self.state();
        state.closed = true;
        state.connection.take()
    }

    /// Whether someone waits.
    pub fn is_wanted(&self) -> bool {
        !self.gone.load(Ordering::Relaxed)
    }
}

impl Waiting {
    /// What was left for the access log.
    pub fn notes(&self) -> Notes {
        std::mem::take(&mut self.0.state().notes)
    }

    /// What is there. Otherwise the task is woken when there is something.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Found> {
        let mut state = self.0.state();
        if !state.interim.is_empty() {
            return Poll::Ready(Found::Interim(std::mem::take(&mut state.interim)));
        }
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(Found::Answer(answer));
        }
        if state.closed {
            return Poll::Ready(Found::Nothing);
        }
        if state.connection.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            state.connection = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.0.state();
        self.0.gone.store(true, Ordering::Relaxed);
        if state.answer.is_some() || state.connection.is_some() {
            let left = (state.answer.take(), state.connection.take());
            // An answer that nobody takes may hold a file, or wake the app's thread: not under the lock.
            drop(state);
            drop(left);
        }
    }
}
