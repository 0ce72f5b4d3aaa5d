//! What a gate and those who answer its requests hand each other. Both are on the connection's own task, but for an app
//! that sends an interim answer.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use super::parcel::Parcel;
use crate::wire::Head;

/// The place between the two.
#[derive(Default)]
pub struct Desk(Mutex<Papers>);

#[derive(Default)]
struct Papers {
    request: Option<Arc<Head>>,
    response: Option<(Vec<u8>, Option<Parcel>)>,
    interim: Vec<u8>,
    /// The connection, for whoever brings something from another thread.
    connection: Option<Waker>,
    running: Option<Running>,
    over: bool,
}

/// A request that the app has, or whose answer is on its way, for as long as this lives.
pub struct Running(Arc<AtomicUsize>);

impl Running {
    pub fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Desk {
    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate has let a request in.
    pub fn bring_request(&self, head: Arc<Head>) {
        let mut papers = self.papers();
        papers.over = false;
        papers.request = Some(head);
    }

    /// The request that was let in, once.
    pub fn take_request(&self) -> Option<Arc<Head>> {
        self.papers().request.take()
    }

    /// The request has come whole, or as far as it must: it runs until its answer is out.
    pub fn begin(&self, running: Running) {
        self.papers().running = Some(running);
    }

    /// The answer is out.
    pub fn clear(&self) {
        self.papers().running = None;
    }

    /// This head goes out in place of hyper's, and this body in the place of what hyper is given to count.
    pub fn bring_response(&self, head: Vec<u8>, parcel: Option<Parcel>) {
        self.papers().response = Some((head, parcel));
    }

    /// What goes out, once.
    pub fn take_response(&self) -> Option<(Vec<u8>, Option<Parcel>)> {
        self.papers().response.take()
    }

    /// The connection's task, to be woken when an interim answer is brought.
    pub fn watch(&self, context: &Context<'_>) {
        self.papers().connection = Some(context.waker().clone());
    }

    /// This goes out before the head does (RFC 9110 section 15.2).
    pub fn bring_interim(&self, head: &[u8]) {
        let mut papers = self.papers();
        papers.interim.extend_from_slice(head);
        if let Some(connection) = &papers.connection {
            connection.wake_by_ref();
        }
    }

    /// What goes out before the head.
    pub fn take_interim(&self) -> Vec<u8> {
        std::mem::take(&mut self.papers().interim)
    }

    /// hyper has the last of the answer.
    pub fn close(&self) {
        self.papers().over = true;
    }

    /// Whether hyper has the last of the answer.
    pub fn is_over(&self) -> bool {
        self.papers().over
    }
}
