//! How several app threads share requests. Only one of them can run Python at a time, so one answers request after request
//! while it has the GIL, and only one more stands by for that. It gets the GIL as soon as the first one waits for
//! something, and takes the next request then; and from one that does not wait, after a while. Were every thread to take a
//! request and then ask for the GIL, it would pass from one to another with each request, which costs more than a request.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use crate::{sys, wsgi::Call};

/// So long a thread goes on with the next request, before others that want the GIL get it.
const TURN: Duration = Duration::from_millis(1);

/// So many connections are woken together at most.
const TOGETHER: usize = 16;

/// So long a connection may wait to be woken with others, because an app keeps the GIL.
const LOOK: Duration = Duration::from_millis(4);

/// After so many looks in a row that found no connection waiting, nobody looks until one would.
const LOOKS: u32 = 20;

/// Requests that wait, and the threads that wait for them.
pub struct Turns<C = Call> {
    state: Mutex<State<C>>,
    /// A connection would have waited for others, had anyone looked.
    look: Notify,
    /// Whether all threads are at calls, so that another worker had better take the next connection.
    pub busy: watch::Sender<bool>,
}

struct State<C> {
    calls: VecDeque<C>,
    /// Connections to be woken together: by the thread that is at calls when it has no more to take, by the one that stands
    /// by when it gets the GIL, or by who looks.
    to_wake: Vec<Waker>,
    is_looked_after: bool,
    /// Threads that sleep. The last is the first to be woken: the main thread, since Python's handlers of signals run on no
    /// other, or the last to fall asleep, since what it needs is in the processor's caches.
    idle: Vec<Arc<Sleeper>>,
    stand_by: StandBy,
    /// There are no more calls to come.
    closed: bool,
    /// Places that are taken.
    threads: usize,
    /// The last place was left.
    deserted: bool,
}

/// Who waits for the GIL, to take a call then.
#[derive(Clone, Copy, Eq, PartialEq)]
enum StandBy {
    Nobody,
    /// A thread was woken for it. Another may come before it is awake, and take that on even where no call is left, because
    /// the one that was woken goes to sleep again then.
    Called,
    /// A thread that knows of it.
    Somebody,
}

/// A thread that can sleep.
struct Sleeper {
    thread: Thread,
    is_main: bool,
    /// It was woken to stand by.
    called: AtomicBool,
}

/// One thread's place.
pub struct Turn<C = Call> {
    turns: Arc<Turns<C>>,
    sleeper: Arc<Sleeper>,
    /// Whether this thread is the one that stands by.
    stands_by: bool,
    /// When it got the GIL to take a call.
    since: Option<Instant>,
}

impl<C> Default for Turns<C> {
    fn default() -> Self {
        let state = State {
            calls: VecDeque::new(),
            to_wake: Vec::new(),
            is_looked_after: false,
            idle: Vec::new(),
            stand_by: StandBy::Nobody,
            closed: false,
            threads: 0,
            deserted: false,
        };
        Self { state: Mutex::new(state), look: Notify::new(), busy: watch::Sender::default() }
    }
}

impl<C> Turns<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes a connection: with others that have an answer, while one comes right after the other. To wake their thread for
    /// each costs more than what it does then.
    pub fn wake(&self, connection: Waker) {
        let mut state = self.state();
        if state.stand_by == StandBy::Somebody && state.is_looked_after {
            state.to_wake.push(connection);
            if state.to_wake.len() >= TOGETHER {
                drop(state);
                self.wake_connections();
            }
            return;
        }
        let may_come_again = state.stand_by == StandBy::Somebody;
        drop(state);
        if may_come_again {
            self.look.notify_one();
        }
        connection.wake();
    }

    /// Wakes the connections that have an answer. Gives whether there was one.
    pub fn wake_connections(&self) -> bool {
        let woken = std::mem::take(&mut self.state().to_wake);
        let any = !woken.is_empty();
        woken.into_iter().for_each(Waker::wake);
        any
    }

    /// Sees that no connection waits to be woken for longer than [`LOOK`]. To be run on their own thread.
    pub async fn look_after_connections(&self) {
        loop {
            self.look.notified().await;
            self.state().is_looked_after = true;
            let mut looks = 0;
            while looks < LOOKS {
                sleep(LOOK).await;
                looks = if self.wake_connections() { 0 } else { looks + 1 };
            }
            self.state().is_looked_after = false;
            self.wake_connections();
        }
    }

    /// This thread takes part.
    pub fn join(self: &Arc<Self>) -> Turn<C> {
        let mut state = self.state();
        state.threads += 1;
        state.deserted = false;
        drop(state);
        let sleeper = Arc::new(Sleeper {
            thread: thread::current(),
            is_main: sys::is_main_thread(),
            called: AtomicBool::new(false),
        });
        Turn { turns: Arc::clone(self), sleeper, stands_by: false, since: None }
    }

    /// Adds a call. It is dropped where no thread is left to take it.
    pub fn push(&self, call: C) {
        let mut state = self.state();
        if state.deserted {
            drop(state);
            return drop(call);
        }
        state.calls.push_back(call);
        let woken = state.call_one();
        self.say_busy(state.is_full());
        drop(state);
        woken.iter().for_each(Sleeper::call);
    }

    /// Says whether there is no thread for a further call.
    fn say_busy(&self, busy: bool) {
        // An only worker asks nobody.
        if self.busy.receiver_count() > 0 {
            self.busy.send_if_modified(|said| std::mem::replace(said, busy) != busy);
        }
    }

    /// There are no more to come.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.wake_idle();
    }
}

impl<C> State<C> {
    /// Has a thread that sleeps stand by, where there is a reason to and none does. Who is to be called is given back.
    #[must_use]
    fn call_one(&mut self) -> Option<Arc<Sleeper>> {
        if self.calls.is_empty() || self.stand_by != StandBy::Nobody {
            return None;
        }
        let sleeper = self.idle.pop()?;
        self.stand_by = StandBy::Called;
        Some(sleeper)
    }

    fn add_idle(&mut self, sleeper: &Arc<Sleeper>) {
        let is_first = self.idle.last().is_none_or(|last| !last.is_main);
        self.idle.insert(self.idle.len() - usize::from(!is_first), Arc::clone(sleeper));
    }

    /// Has those that sleep see that there is nothing left to wait for.
    fn wake_idle(&self) {
        self.idle.iter().for_each(|sleeper| sleeper.thread.unpark());
    }

    fn needs_stand_by(&self) -> bool {
        match self.stand_by {
            StandBy::Nobody => !self.calls.is_empty(),
            StandBy::Called => true,
            StandBy::Somebody => false,
        }
    }

    /// Whether every thread is at a call, or has one that waits.
    fn is_full(&self) -> bool {
        self.calls.len() >= self.idle.len() + usize::from(self.stand_by != StandBy::Nobody)
    }

    fn is_over(&self) -> bool {
        self.closed && self.calls.is_empty()
    }
}

impl Sleeper {
    fn call(self: &Arc<Self>) {
        self.called.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl<C> Turn<C> {
    /// The next call, if there is one and it is this thread's turn. To be called with the GIL.
    pub fn take(&mut self) -> Option<C> {
        let stood_by = std::mem::take(&mut self.stands_by);
        if !stood_by && self.since.is_none_or(|since| since.elapsed() >= TURN) {
            return None;
        }
        let mut state = self.turns.state();
        if stood_by {
            state.stand_by = StandBy::Nobody;
        }
        let call = state.calls.pop_front();
        let woken = state.call_one();
        if call.is_some() {
            self.turns.say_busy(state.is_full());
        }
        if state.is_over() {
            state.wake_idle();
        }
        drop(state);
        woken.iter().for_each(Sleeper::call);
        if stood_by {
            self.turns.wake_connections();
            self.since = Some(Instant::now());
        }
        call
    }

    /// Waits until it is worth to get the GIL and call [`Turn::take`]. Gives false when there are no more calls to come.
    pub fn wait(&mut self) -> bool {
        self.turns.wake_connections();
        let mut state = self.turns.state();
        while !state.needs_stand_by() {
            if state.is_over() {
                return false;
            }
            state.add_idle(&self.sleeper);
            self.turns.say_busy(false);
            while !self.sleeper.called.swap(false, Ordering::Acquire) {
                if state.is_over() {
                    return false;
                }
                drop(state);
                thread::park();
                state = self.turns.state();
            }
        }
        (state.stand_by, self.stands_by) = (StandBy::Somebody, true);
        // Also where calls wait: else connections that are kept alive could keep all others out.
        self.turns.say_busy(false);
        true
    }
}

impl<C> Drop for Turn<C> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        if self.stands_by {
            state.stand_by = StandBy::Nobody;
        }
        state.threads -= 1;
        state.deserted = state.threads == 0;
        let left = if state.deserted { std::mem::take(&mut state.calls) } else { VecDeque::new() };
        let woken = state.call_one();
        drop(state);
        // Whoever waits for an answer is told that there is none: not under the lock.
        drop(left);
        self.turns.wake_connections();
        woken.iter().for_each(Sleeper::call);
    }
}

#[cfg(test)]
mod tests;
