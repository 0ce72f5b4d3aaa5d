//! How a request gets from the connections to an app thread: a queue that every app thread waits at.

use crossbeam_channel::{Receiver, Sender};

use crate::wsgi::{App, Call};

/// The connections' end.
pub struct Calls(Sender<Call>);

/// The app threads' end.
#[derive(Clone)]
pub struct Queue(Receiver<Call>);

/// A queue. It holds no more than a request for each open connection, so it needs no bound of its own.
pub fn channel() -> (Calls, Queue) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    (Calls(sender), Queue(receiver))
}

impl App for Calls {
    fn call(&self, call: Call) {
        // Without an app thread the call is dropped, and the client is told that the server failed.
        let _ = self.0.send(call);
    }
}

impl Queue {
    /// Waits for a request; `None` when there are no more to come.
    pub fn next(&self) -> Option<Call> {
        self.0.recv().ok()
    }
}
