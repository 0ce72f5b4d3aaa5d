//! The state of a connection: how many streams are open, and since when nothing has moved.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::turns::{Turn, Turns};

/// The state of a connection.
#[derive(Default)]
pub struct Activity {
    state: Mutex<State>,
    /// How many requests wait for the app or are with it, those of streams that are gone too.
    calls: AtomicUsize,
    flood: OnceLock<&'static str>,
}

struct State {
    /// When a whole head came, a piece of a body, or a part of an answer went out.
    moved: Instant,
    begun: bool,
    streams: usize,
    /// A part of a frame has come, and not all of it.
    amid: bool,
    /// Since when the socket takes nothing, and how much it had taken by then.
    jammed: Option<(Instant, u64)>,
    turns: Turns,
}

impl Default for State {
    fn default() -> Self {
        let turns = Turns::default();
        Self { moved: Instant::now(), begun: false, streams: 0, amid: false, jammed: None, turns }
    }
}

impl Activity {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something moves that is to move.
    pub fn touch(&self) {
        self.state().moved = Instant::now();
    }

    /// For how long nothing has moved.
    pub fn still(&self) -> Duration {
        self.state().moved.elapsed()
    }

    /// For how long the socket has taken nothing of what there is for it.
    pub fn jammed(&self) -> Duration {
        self.state().jammed.map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    /// The socket has taken so many bytes, and takes no more if it `is_pending`.
    pub fn wrote(&self, taken: u64, is_pending: bool) {
        let mut state = self.state();
        match state.jammed {
            Some((_, before)) if is_pending && before == taken => {}
            jammed => {
                if jammed.is_some() {
                    state.turns.resume();
                }
                state.jammed = is_pending.then(|| (Instant::now(), taken));
            }
        }
    }

    /// Whether what has come ends amid a frame.
    pub fn set_amid(&self, amid: bool) {
        self.state().amid = amid;
    }

    /// Whether the client is to bring the head of a request: its first, or one that it has begun.
    pub fn awaits_head(&self) -> bool {
        let state = self.state();
        !state.begun || state.amid
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        self.state().streams
    }

    /// A request is for the app, of which there may be so many: a client that cancels them costs it no stream (RFC 9113 section
    /// 5.1.2), but their calls wait until it is their turn.
    pub fn call(self: &Arc<Self>, most: usize) -> Option<Calling> {
        if self.calls.fetch_add(1, Ordering::Relaxed) < most {
            return Some(Calling(Arc::clone(self)));
        }
        self.calls.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// There was too much of this. What was first counts.
    pub fn set_flood(&self, what: &'static str) {
        let _ = self.flood.set(what);
    }

    /// What there was too much of.
    pub fn flood(&self) -> Option<&'static str> {
        self.flood.get().copied()
    }

    /// An answer begins, or begins to wait for its client.
    pub fn ask(&self) -> Turn {
        self.state().turns.ask()
    }

    /// An answer has waited, that had asked `before` that.
    pub fn give(&self, before: Turn) {
        self.state().turns.give(before);
    }

    /// Whether an answer has waited this long because its client takes nothing of it, and not because others are before it.
    pub fn is_stalled(&self, turn: Turn, limit: Duration) -> bool {
        let state = self.state();
        state.turns.is_stalled(turn, limit, state.jammed.is_some())
    }
}

/// A request that waits for the app or is with it, for as long as this lives.
pub struct Calling(Arc<Activity>);

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open stream, for as long as this lives.
pub struct Open(Arc<Activity>);

impl Open {
    /// A request's head has come.
    pub fn new(activity: &Arc<Activity>) -> Self {
        let mut state = activity.state();
        (state.moved, state.begun, state.streams) = (Instant::now(), true, state.streams + 1);
        drop(state);
        Self(Arc::clone(activity))
    }

    /// The connection's.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state();
        (state.moved, state.streams) = (Instant::now(), state.streams - 1);
    }
}
