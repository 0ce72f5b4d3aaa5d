//! How a request gets from the connections to an app thread: a queue that every app thread waits at.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crossbeam_channel::{Receiver, Sender};

use super::watch::{Activity, Watch};
use crate::{
    python::Interrupt,
    wsgi::{App, Call},
};

/// The connections' end.
pub struct Calls {
    sender: Sender<Call>,
    left: AtomicU64,
    retire: Box<dyn Fn() + Send + Sync>,
}

/// The app threads' end.
#[derive(Clone)]
pub struct Queue {
    receiver: Receiver<Call>,
    watch: Arc<Watch>,
}

/// A queue. It holds no more than a request for each open connection, so it needs no bound of its own.
///
/// When `limit` requests have come, 0 for no limit, `retire` is called, once.
pub fn channel(limit: u64, watch: Arc<Watch>, retire: impl Fn() + Send + Sync + 'static) -> (Calls, Queue) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    (Calls { sender, left: AtomicU64::new(limit), retire: Box::new(retire) }, Queue { receiver, watch })
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
        let _ = self.sender.send(call);
    }
}

impl Queue {
    /// The queue as one app thread sees it.
    pub fn join(&self, interrupt: &Arc<Interrupt>) -> Place {
        Place { receiver: self.receiver.clone(), activity: self.watch.join(Some(Arc::clone(interrupt))) }
    }
}

/// An app thread's place at the queue.
pub struct Place {
    receiver: Receiver<Call>,
    activity: Activity,
}

impl Place {
    /// Waits for a request; `None` when there are no more to come. The time until it is asked for the next is the
    /// app's, but for what it waits for its client.
    pub fn next(&self) -> Option<Call> {
        self.activity.rest();
        loop {
            let call = self.receiver.recv().ok()?;
            // It waited for longer than its client did.
            if call.responder.is_wanted() {
                self.activity.begin();
                return Some(self.activity.follow(call));
            }
        }
    }
}
