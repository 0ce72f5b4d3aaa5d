//! How long the app has been at a request: what `--timeout` goes by.
//!
//! The time that a thread waits for its client, to take a piece of the answer or to send one of the request, is not
//! the app's: a slow download or a stream of events is no reason to end a worker.

use std::{
    fs::File,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    python::Interrupt,
    wsgi::{BodyError, BodyReader, Call, Gone, Head, Responder},
};

/// What every app thread of a worker is at.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    threads: Mutex<Vec<Activity>>,
}

/// What one app thread is at: the millisecond since which the app has been running on it, 0 while it has not.
#[derive(Clone, Debug)]
pub struct Activity {
    start: Instant,
    since: Arc<AtomicU64>,
    /// Counts requests.
    begun: Arc<AtomicU64>,
    /// The way to end one; none in a test.
    interrupt: Option<Arc<Interrupt>>,
}

/// A request that takes too long.
pub struct Overdue {
    activity: Activity,
    begun: u64,
}

impl Overdue {
    /// Raises an exception in its thread, if it still runs. Waits for Python.
    pub fn interrupt(&self) {
        if let Some(interrupt) = &self.activity.interrupt {
            interrupt.raise(|| self.activity.begun() == self.begun && !self.activity.elapsed().is_zero());
        }
    }
}

impl Watch {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self { start: Instant::now(), threads: Mutex::default() }
    }

    /// A further app thread.
    pub fn join(&self, interrupt: Option<Arc<Interrupt>>) -> Activity {
        let activity = Activity { start: self.start, since: Arc::default(), begun: Arc::default(), interrupt };
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(activity.clone());
        activity
    }

    /// The threads where the app has been running for longer than this.
    pub fn longer_than(&self, limit: Duration) -> Vec<Overdue> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = threads.iter().filter(|activity| activity.elapsed() > limit);
        overdue.map(|activity| Overdue { begun: activity.begun(), activity: activity.clone() }).collect()
    }

    /// How long the app has been running on the thread where it has been longest.
    pub fn longest(&self) -> Duration {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().map(Activity::elapsed).max().unwrap_or_default()
    }
}

impl Activity {
    /// The app runs from now on.
    pub fn work(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// A request begins.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.work();
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// The app does not run.
    pub fn rest(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// The same call, whose waiting for the client is not counted.
    pub fn follow(&self, call: Call) -> Call {
        Call {
            request: call.request,
            body: Box::new(Watched { inner: call.body, activity: self.clone() }),
            responder: Box::new(Watched { inner: call.responder, activity: self.clone() }),
        }
    }

    /// Waits for the client.
    fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.rest();
        let result = wait();
        self.work();
        result
    }

    fn elapsed(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }

    /// From 1, so that 0 is free to mean that nothing runs.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

struct Watched<T> {
    inner: T,
    activity: Activity,
}

impl BodyReader for Watched<Box<dyn BodyReader>> {
    fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.inner.is_ready() { self.inner.next() } else { self.activity.wait(|| self.inner.next()) }
    }

    fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }
}

impl Responder for Watched<Box<dyn Responder>> {
    fn complete(&mut self, head: Head, body: Bytes) {
        self.inner.complete(head, body);
    }

    fn begin(&mut self, head: Head) {
        self.inner.begin(head);
    }

    fn complete_file(&mut self, head: Head, file: File, offset: u64, length: u64) {
        self.inner.complete_file(head, file, offset, length);
    }

    fn interim(&mut self, head: &[u8]) {
        self.inner.interim(head);
    }

    fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
        if self.inner.is_ready(piece.len()) {
            return self.inner.send(piece);
        }
        self.activity.wait(|| self.inner.send(piece))
    }

    fn is_ready(&self, size: usize) -> bool {
        self.inner.is_ready(size)
    }

    fn is_wanted(&self) -> bool {
        self.inner.is_wanted()
    }

    fn finish(&mut self) {
        self.inner.finish();
    }

    fn abort(&mut self) {
        self.inner.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Watch;

    #[test]
    fn only_the_apps_own_time_counts() {
        let watch = Watch::new();
        let (one, two) = (watch.join(None), watch.join(None));
        assert_eq!(watch.longest(), Duration::ZERO);
        one.work();
        while watch.longest() < Duration::from_millis(2) {
            std::thread::yield_now();
        }
        two.work();
        one.rest();
        assert!(one.elapsed().is_zero());
        assert!(two.wait(|| watch.longest().is_zero()), "waiting for the client is not the app's time");
    }
}
