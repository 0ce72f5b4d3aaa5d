//! How a request gets from the connections to an app thread: several share what comes, an only one drives the connections
//! while it waits.

pub mod one;
mod several;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use tokio::{
    runtime::Runtime,
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
};

use self::{
    one::{Drive, Seat},
    several::{Turn, Turns},
};
use super::watch::{Activity, Watch};
use crate::{
    python::Interrupt,
    wsgi::{App, Call, CallSource},
};

/// The connections' end.
pub struct Calls {
    way: Way,
    left: AtomicU64,
    retire: Box<dyn Fn() + Send + Sync>,
}

enum Way {
    Several(Arc<Turns>),
    One(UnboundedSender<Call>, Arc<Drive>),
}

/// The app threads' end.
#[derive(Clone)]
pub struct Queue {
    source: Source,
    watch: Arc<Watch>,
}

#[derive(Clone)]
enum Source {
    Several(Arc<Turns>),
    /// What the only thread takes its place with.
    One(Arc<Mutex<Option<UnboundedReceiver<Call>>>>, Arc<Runtime>, Arc<Drive>),
}

/// The threads that run the app.
pub enum Threads {
    /// They take turns.
    Several(Arc<Turns>),
    /// It drives the connections too.
    One(Arc<Runtime>, Arc<Drive>),
}

/// A queue. It holds no more than a request for each open connection, so it needs no bound of its own.
///
/// When `limit` requests have come, 0 for no limit, `retire` is called, once.
pub fn channel(
    limit: u64,
    watch: Arc<Watch>,
    threads: Threads,
    retire: impl Fn() + Send + Sync + 'static,
) -> (Calls, Queue) {
    let (way, source) = match threads {
        Threads::Several(turns) => (Way::Several(Arc::clone(&turns)), Source::Several(turns)),
        Threads::One(runtime, drive) => {
            let (sender, receiver) = unbounded_channel();
            let way = Way::One(sender, Arc::clone(&drive));
            (way, Source::One(Arc::new(Mutex::new(Some(receiver))), runtime, drive))
        }
    };
    (Calls { way, left: AtomicU64::new(limit), retire: Box::new(retire) }, Queue { source, watch })
}

impl Calls {
    /// Whether all threads are at calls, one that is the only one for a while.
    pub fn busy(&self) -> watch::Receiver<bool> {
        match &self.way {
            Way::Several(turns) => turns.busy.subscribe(),
            Way::One(_, drive) => drive.busy.subscribe(),
        }
    }

    /// What several threads share.
    pub fn turns(&self) -> Option<Arc<Turns>> {
        match &self.way {
            Way::Several(turns) => Some(Arc::clone(turns)),
            Way::One(..) => None,
        }
    }
}

impl App for Calls {
    fn call(&self, call: Call) {
        // All calls come from the thread of the connections, so nothing happens between the two.
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            if left == 1 {
                (self.retire)();
            }
        }
        // Without an app thread the call is dropped, and the client is told that the server failed.
        match &self.way {
            Way::Several(turns) => turns.push(call),
            Way::One(sender, _) => drop(sender.send(call)),
        }
    }

    fn wake(&self, connection: Waker) {
        match &self.way {
            Way::Several(turns) => turns.wake(connection),
            Way::One(_, drive) => drive.wake(connection),
        }
    }

    fn hand_over(&self) {
        match &self.way {
            Way::Several(turns) => {
                turns.wake_connections();
            }
            Way::One(_, drive) => drive.hand_over(),
        }
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        self.hand_over();
        Activity::wait_here(wait);
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        if let Way::Several(turns) = &self.way {
            turns.close();
        }
    }
}

impl Queue {
    /// The queue as one app thread sees it; `None` where all places are taken.
    pub fn join(&self, interrupt: &Arc<Interrupt>) -> Option<Place> {
        let interrupt = Some(Arc::clone(interrupt));
        match &self.source {
            Source::Several(turns) => {
                Some(Place { kind: Kind::Several(turns.join()), activity: self.watch.join(interrupt) })
            }
            Source::One(receiver, runtime, drive) => {
                let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner).take()?;
                let seat = Seat::new(Arc::clone(runtime), Arc::clone(drive), receiver);
                Some(Place { kind: Kind::One(seat), activity: self.watch.join(interrupt) })
            }
        }
    }
}

/// An app thread's place at the queue.
pub struct Place {
    kind: Kind,
    activity: Activity,
}

enum Kind {
    Several(Turn),
    One(Seat),
}

impl CallSource for Place {
    /// The time until it is asked for the next is the app's, but for what it waits for its client.
    fn take(&mut self) -> Option<Call> {
        self.activity.end();
        loop {
            let call = match &mut self.kind {
                Kind::Several(turn) => turn.take(),
                Kind::One(seat) => seat.take(),
            };
            if let Some(call) = self.begin(call?) {
                return Some(call);
            }
        }
    }

    fn wait(&mut self) -> bool {
        let goes_on = match &mut self.kind {
            Kind::Several(turn) => turn.wait(),
            Kind::One(seat) => seat.wait(),
        };
        if goes_on {
            // An app that never gives up the GIL takes too long as well.
            self.activity.work();
        }
        goes_on
    }
}

impl Place {
    /// The app has the call from now on, unless that waited for longer than its client did.
    fn begin(&self, call: Call) -> Option<Call> {
        call.responder.is_wanted().then(|| {
            self.activity.begin();
            call
        })
    }
}
