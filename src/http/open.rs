//! The connections that are open, how many may be, and where those that come wait.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{AbortHandle, yield_now},
};

use super::{
    body::high_water::HighWater,
    connection::{Streams, Work},
    socket,
};
use crate::{settings::Clients, sys};

/// So many connections and streams may leave much memory behind: each may have brought a head of nearly a megabyte.
const MANY: u64 = 20;

/// The connections that are open, and how many may be.
#[derive(Clone)]
pub struct Open {
    connections: Arc<Mutex<Connections>>,
    /// Places for connections, where they have a number.
    pub places: Option<Arc<Semaphore>>,
    /// How long a connection may wait for its place before it is sent away, and how many may: they have descriptors, too.
    pub timer: Option<Duration>,
    waiters: Option<Arc<Semaphore>>,
    /// How many files may be open, where that is what limits the connections, and whether that was told.
    files: Option<usize>,
    told: Arc<AtomicBool>,
    /// Whether the next connection is left to other processes.
    busy: Option<watch::Receiver<bool>>,
}

#[derive(Default)]
struct Connections {
    tasks: HashMap<u64, Task>,
    next: u64,
    high: HighWater,
    streams: Arc<Streams>,
}

impl Connections {
    fn count(&self) -> u64 {
        self.tasks.len() as u64
    }

    fn have_gone(&mut self) -> bool {
        self.high.rise(self.count() + self.streams.most());
        self.high.has_fallen(self.count() + self.streams.now(), MANY)
    }
}

/// What looks after a connection.
struct Task {
    handle: AbortHandle,
    work: Arc<Work>,
}

/// An open connection, for as long as this lives.
pub struct Place {
    open: Arc<Mutex<Connections>>,
    number: u64,
    /// Given back when this is dropped.
    pub permit: Option<OwnedSemaphorePermit>,
}

impl Open {
    /// None yet; as many may be as the settings and the limit of open files say.
    pub fn new(clients: &Clients, busy: Option<watch::Receiver<bool>>) -> Self {
        let files = sys::most_files();
        // The rest is for the app, and for what waits in files. Not for a limit of its own: that was chosen.
        let share = files.map(|files| (files - files / 4).max(1));
        let most = clients.worker_connections.or(share);
        let semaphore = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        // Some in any case, so that they are sent away.
        let waiters = share.map(|share| share.saturating_sub(most.unwrap_or(0)).max((share / 8).max(1)));
        Self {
            connections: Arc::default(),
            places: most.map(semaphore),
            timer: clients.backlog_timeout,
            waiters: waiters.map(semaphore),
            files: files.filter(|_| clients.worker_connections.is_none()),
            told: Arc::default(),
            busy,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        lock(&self.connections).tasks.len()
    }

    /// The streams of all connections of HTTP/2.
    pub fn streams(&self) -> Arc<Streams> {
        Arc::clone(&lock(&self.connections).streams)
    }

    /// Whether there are far fewer connections and streams than there were since this was asked before.
    pub fn have_gone(&self) -> bool {
        lock(&self.connections).have_gone()
    }

    /// Waits until there is a place.
    pub async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let (Some(places), Some(files)) = (&self.places, self.files)
            && places.available_permits() == 0
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "There are as many connections as a worker may have with {files} open files (ulimit -n), and others wait. \
                 Raise that, or lower --keep-alive."
            );
        }
        one_of(self.places.as_ref()).await
    }

    /// Lets a connection that was accepted bring its request, after which this process may be busy: the next one is perhaps
    /// another's to take.
    pub async fn share(&self) {
        if self.busy.is_some() {
            yield_now().await;
        }
    }

    /// Waits until connections are not left to other processes.
    async fn free(&self) {
        if let Some(mut busy) = self.busy.clone() {
            // Without an app there is nobody to be busy.
            let _ = busy.wait_for(|busy| !busy).await;
        }
    }

    /// Waits for the next connection. Where this process `may_leave` it to others, it stays in the kernel's queue while this one
    /// is busy; without a time to wait for a place, until there is one; with such a time, until it may wait here. No place is
    /// held for a connection that may never come: the next may come to another listener.
    pub async fn accept<A: Accept>(&self, listener: &A, may_leave: bool) -> Accepted<A> {
        let waits_here = self.timer.is_some();
        loop {
            if may_leave {
                self.free().await;
            }
            let mut permit = Some(if waits_here { one_of(self.waiters.as_ref()).await } else { self.permit().await });
            let mut accept = pin!(listener.accept());
            let accepted = poll_fn(|context| {
                // Something has come, perhaps, since there was nothing: a place is needed first.
                let Some(held) = permit.take() else { return Poll::Ready(None) };
                accept.as_mut().poll(context).map(|accepted| Some((accepted, held)))
            });
            if let Some(accepted) = accepted.await {
                return accepted;
            }
        }
    }

    /// Has a connection looked after by what `life` makes of its place.
    pub fn begin<F: Future<Output = ()> + Send + 'static>(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        work: Arc<Work>,
        life: impl FnOnce(Place) -> F,
    ) {
        let mut connections = lock(&self.connections);
        connections.next += 1;
        let number = connections.next;
        let place = Place { open: Arc::clone(&self.connections), number, permit };
        let handle = tokio::spawn(life(place)).abort_handle();
        connections.tasks.insert(number, Task { handle, work });
        let count = connections.count();
        connections.high.rise(count);
    }

    /// Ends the connections that have no complete request, and of which nothing of one has come since they were `seen`. A
    /// client that never gets its request across must not keep a server from ending; one that is at it may go on.
    pub fn cut(&self, seen: &mut HashMap<u64, usize>) {
        let connections = lock(&self.connections);
        let idle = connections.tasks.iter().filter(|(_, task)| task.work.running() == 0);
        let handles: Vec<_> = idle
            .filter(|(number, task)| seen.insert(**number, task.work.came()) == Some(task.work.came()))
            .map(|(_, task)| task.handle.clone())
            .collect();
        drop(connections);
        handles.iter().for_each(AbortHandle::abort);
    }
}

/// Waits until there is one of these, where they have a number.
async fn one_of(places: Option<&Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    // It is never closed.
    Arc::clone(places?).acquire_owned().await.ok()
}

fn lock(connections: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).tasks.remove(&self.number);
    }
}

/// The address and port of a client; none on a unix socket.
pub type Peer = Option<(IpAddr, u16)>;

/// A socket that gives connections.
pub trait Accept: Send + Sync {
    type Stream: socket::Socket + Send + Sync + 'static;

    /// Waits for the next.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// What came of accepting a connection, and its place if it has one already.
pub type Accepted<A> = (io::Result<(<A as Accept>::Stream, Peer)>, Option<OwnedSemaphorePermit>);

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = Self::accept(self).await?;
        Ok((stream, Some((peer.ip(), peer.port()))))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((Self::accept(self).await?.0, None))
    }
}
