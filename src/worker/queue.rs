//! How a request gets from the connections to an app thread: a queue that every app thread waits at. An only one drives
//! the connections while it waits.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use crossbeam_channel::{Receiver, Sender};
use tokio::{
    runtime::Runtime,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{
    drive::{Drive, Seat},
    watch::{Activity, Watch},
};
use crate::{
    python::Interrupt,
    wsgi::{App, Call},
};

/// The connections' end.
pub struct Calls {
    way: Way,
    drive: Option<Arc<Drive>>,
    left: AtomicU64,
    retire: Box<dyn Fn() + Send + Sync>,
}

enum Way {
    Threads(Sender<Call>),
    Thread(UnboundedSender<Call>),
}

/// The app threads' end.
#[derive(Clone)]
pub struct Queue {
    source: Source,
    watch: Arc<Watch>,
}

#[derive(Clone)]
enum Source {
    Threads(Receiver<Call>),
    /// What the only thread takes its place with.
    Thread(Arc<Mutex<Option<UnboundedReceiver<Call>>>>, Arc<Runtime>, Arc<Drive>),
}

/// A queue. It holds no more than a request for each open connection, so it needs no bound of its own. With `drive` there
/// is one place at it.
///
/// When `limit` requests have come, 0 for no limit, `retire` is called, once.
pub fn channel(
    limit: u64,
    watch: Arc<Watch>,
    drive: Option<(Arc<Runtime>, Arc<Drive>)>,
    retire: impl Fn() + Send + Sync + 'static,
) -> (Calls, Queue) {
    let driver = drive.as_ref().map(|(_, drive)| Arc::clone(drive));
    let (way, source) = if let Some((runtime, drive)) = drive {
        let (sender, receiver) = unbounded_channel();
        (Way::Thread(sender), Source::Thread(Arc::new(Mutex::new(Some(receiver))), runtime, drive))
    } else {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (Way::Threads(sender), Source::Threads(receiver))
    };
    (Calls { way, drive: driver, left: AtomicU64::new(limit), retire: Box::new(retire) }, Queue { source, watch })
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
            Way::Threads(sender) => drop(sender.send(call)),
            Way::Thread(sender) => drop(sender.send(call)),
        }
    }

    fn wake(&self, connection: Waker) {
        match &self.drive {
            Some(drive) => drive.wake(connection),
            None => connection.wake(),
        }
    }

    fn hand_over(&self) {
        if let Some(drive) = &self.drive {
            drive.hand_over();
        }
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        self.hand_over();
        Activity::wait_here(wait);
    }
}

impl Queue {
    /// The queue as one app thread sees it; `None` where all places are taken.
    pub fn join(&self, interrupt: &Arc<Interrupt>) -> Option<Place> {
        let interrupt = Some(Arc::clone(interrupt));
        match &self.source {
            Source::Threads(receiver) => {
                Some(Place { seat: Err(receiver.clone()), activity: self.watch.join(interrupt) })
            }
            Source::Thread(receiver, runtime, drive) => {
                let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner).take()?;
                let seat = Seat::new(Arc::clone(runtime), Arc::clone(drive), receiver);
                Some(Place { seat: Ok(seat), activity: self.watch.join(interrupt) })
            }
        }
    }
}

/// An app thread's place at the queue.
pub struct Place {
    /// That of an only thread, or the queue itself.
    seat: Result<Seat, Receiver<Call>>,
    activity: Activity,
}

impl Place {
    /// A request that has come already, where an only thread may take it before it looks after connections again.
    pub fn ready(&self) -> Option<Call> {
        self.activity.rest();
        let seat = self.seat.as_ref().ok()?;
        loop {
            if let Some(call) = self.begin(seat.ready()?) {
                return Some(call);
            }
        }
    }

    /// Waits for a request; `None` when there are no more to come. The time until it is asked for the next is the
    /// app's, but for what it waits for its client.
    pub fn next(&self) -> Option<Call> {
        self.activity.rest();
        loop {
            let call = match &self.seat {
                Ok(seat) => seat.next()?,
                Err(receiver) => receiver.recv().ok()?,
            };
            if let Some(call) = self.begin(call) {
                return Some(call);
            }
        }
    }

    /// The app has the call from now on, unless that waited for longer than its client did.
    fn begin(&self, call: Call) -> Option<Call> {
        call.responder.is_wanted().then(|| {
            self.activity.begin();
            call
        })
    }
}
