//! Who drives the connections of a worker with one app thread: that thread itself while it has no call, so that a request
//! reaches the app, and its answer the client, without a word from one thread to another. Because nobody may be held up
//! by a slow app, another thread stands by, and drives while a call lasts.
//!
//! What drives is tokio's runtime for one thread, which several may drive in turn: whoever asks while it is driven waits.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    sync::{Notify, mpsc::UnboundedReceiver, watch},
    task::{JoinHandle, yield_now},
};

use crate::wsgi::Call;

/// How often the thread that stands by looks whether a call lasts: two looks at the same call, and it drives. Each costs
/// the app thread its processor for a moment.
const LOOK: Duration = Duration::from_millis(4);

/// Calls that come together are answered together for so long.
const TOGETHER: Duration = Duration::from_millis(1);

/// After so many looks at a server without calls it sleeps until there is one.
const LOOKS: u32 = 20;

/// What the app thread and the one that stands by say to each other.
#[derive(Debug, Default)]
pub struct Drive {
    /// Whether a call lasts, so that another worker had better take the next connection.
    pub busy: watch::Sender<bool>,
    state: Mutex<State>,
    /// The state has a wish for the one that stands by, or a call has begun while it sleeps.
    changed: Condvar,
    /// The app thread wants to drive again.
    back: Notify,
    /// Odd while a call is on, and another number for each.
    calls: AtomicU64,
    /// Whether the one that stands by sleeps until it is told of a call.
    asleep: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Connections that have something to do, for whoever drives next.
    woken: Vec<Waker>,
    /// Whether the thread that stands by drives, or is about to.
    away: bool,
    wish: Wish,
}

/// What the thread that stands by is to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Wish {
    /// To look for itself.
    #[default]
    Look,
    /// To drive until the app thread wants to.
    Drive,
    /// To drive to the end: there are no more calls.
    Finish,
}

impl Drive {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes a connection: at once where another thread drives, otherwise when this one does next.
    pub fn wake(&self, connection: Waker) {
        let mut state = self.state();
        if state.away {
            drop(state);
            connection.wake();
        } else {
            state.woken.push(connection);
        }
    }

    /// Has the connections driven elsewhere: the call is about to wait for them.
    pub fn hand_over(&self) {
        let mut state = self.state();
        if !state.away && state.wish == Wish::Look {
            state.wish = Wish::Drive;
            self.changed.notify_one();
        }
    }

    /// The app thread has no more calls.
    fn finish(&self) {
        self.state().wish = Wish::Finish;
        self.changed.notify_one();
    }

    /// The app thread wants to drive.
    fn take_back(&self) {
        let mut state = self.state();
        if state.wish == Wish::Drive {
            state.wish = Wish::Look;
        }
        if std::mem::take(&mut state.away) {
            self.back.notify_one();
            self.busy.send_replace(false);
        }
    }

    /// Wakes the connections that have something to do. On the runtime, so that it takes no system call.
    fn wake_connections(&self) {
        let mut woken = std::mem::take(&mut self.state().woken);
        woken.drain(..).for_each(Waker::wake);
        let mut state = self.state();
        if state.woken.is_empty() {
            // Its memory serves again.
            state.woken = woken;
        }
    }

    fn begin_call(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            // Whoever is about to sleep has the state.
            drop(self.state());
            self.changed.notify_one();
        }
    }

    fn end_call(&self) {
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls + calls % 2, Ordering::Release);
    }

    /// Drives `runtime` whenever the app thread does not, until `life` is over. Begins with that.
    pub fn stand_by(&self, runtime: &Runtime, mut life: JoinHandle<()>) {
        self.state().away = true;
        loop {
            let over = runtime.block_on(async {
                self.wake_connections();
                tokio::select! {
                    biased;
                    _ = &mut life => true,
                    () = self.back.notified() => false,
                }
            });
            if over {
                return;
            }
            self.wait();
        }
    }

    /// Waits until it is time to drive.
    fn wait(&self) {
        let mut state = self.state();
        let (mut last, mut looks) = (self.calls.load(Ordering::SeqCst), 0);
        while state.wish == Wish::Look {
            if looks < LOOKS {
                state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                self.asleep.store(true, Ordering::SeqCst);
                if self.calls.load(Ordering::SeqCst) == last {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                self.asleep.store(false, Ordering::SeqCst);
                looks = 0;
            }
            let now = self.calls.load(Ordering::SeqCst);
            if now != last {
                (last, looks) = (now, 0);
            } else if now % 2 == 1 {
                break;
            } else {
                looks += 1;
            }
        }
        if state.wish == Wish::Drive {
            state.wish = Wish::Look;
        }
        state.away = true;
        self.busy.send_replace(state.wish != Wish::Finish);
    }
}

/// The app thread's way to its calls.
pub struct Seat {
    runtime: Arc<Runtime>,
    drive: Arc<Drive>,
    receiver: UnboundedReceiver<Call>,
    /// What came while connections were driven.
    call: Option<Call>,
    /// When connections were driven last.
    driven: std::time::Instant,
}

impl Seat {
    pub fn new(runtime: Arc<Runtime>, drive: Arc<Drive>, receiver: UnboundedReceiver<Call>) -> Self {
        Self { runtime, drive, receiver, call: None, driven: std::time::Instant::now() }
    }

    /// The call that was waited for, or one that has come already, if the connections were driven just now: those that come
    /// together are answered together, unless that takes too long.
    pub fn take(&mut self) -> Option<Call> {
        if let Some(call) = self.call.take() {
            return Some(call);
        }
        self.drive.end_call();
        if self.driven.elapsed() >= TOGETHER {
            return None;
        }
        let call = self.receiver.try_recv().ok()?;
        self.drive.begin_call();
        Some(call)
    }

    /// Drives the connections until there is a call; gives false when there are no more to come.
    pub fn wait(&mut self) -> bool {
        self.drive.end_call();
        self.drive.take_back();
        let (drive, receiver) = (&self.drive, &mut self.receiver);
        self.call = self.runtime.block_on(async {
            drive.wake_connections();
            if !receiver.is_empty() {
                yield_now().await;
            }
            receiver.recv().await
        });
        self.driven = std::time::Instant::now();
        if self.call.is_some() {
            self.drive.begin_call();
        } else {
            // Not only when this seat is left: for that the thread has to get the GIL, which someone may never give back.
            self.drive.finish();
        }
        self.call.is_some()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.drive.finish();
    }
}
