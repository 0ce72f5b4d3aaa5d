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

use super::drive::{Answer, Body, Drive};
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
pub struct Activity(Arc<Thread>);

#[derive(Debug)]
struct Thread {
    start: Instant,
    since: AtomicU64,
    /// Counts requests.
    begun: AtomicU64,
    /// The way to end one; none in a test.
    interrupt: Option<Arc<Interrupt>>,
    /// Where the thread drives the connections between its calls.
    drive: Option<Arc<Drive>>,
}

/// A request that takes too long.
pub struct Overdue {
    activity: Activity,
    begun: u64,
}

impl Overdue {
    /// Raises an exception in its thread, if it still runs. Waits for Python.
    pub fn interrupt(&self) {
        if let Some(interrupt) = &self.activity.0.interrupt {
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
    pub fn join(&self, interrupt: Option<Arc<Interrupt>>, drive: Option<Arc<Drive>>) -> Activity {
        let (since, begun) = (AtomicU64::new(0), AtomicU64::new(0));
        let activity = Activity(Arc::new(Thread { start: self.start, since, begun, interrupt, drive }));
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
        self.0.since.store(self.now(), Ordering::Relaxed);
    }

    /// A request begins.
    pub fn begin(&self) {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.work();
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// The app does not run.
    pub fn rest(&self) {
        self.0.since.store(0, Ordering::Relaxed);
    }

    /// The same call, whose waiting for the client is not counted.
    pub fn follow(&self, call: Call) -> Call {
        Call {
            request: call.request,
            body: Box::new(Watched { inner: call.body, activity: self.clone() }),
            responder: Box::new(Answering { inner: Some(call.responder), activity: self.clone(), sent: 0 }),
        }
    }

    /// Waits for the client.
    fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.rest();
        self.hand_over();
        let result = wait();
        self.work();
        result
    }

    /// Has the connections driven elsewhere from now on.
    fn hand_over(&self) {
        if let Some(drive) = &self.0.drive {
            drive.hand_over();
        }
    }

    fn elapsed(&self) -> Duration {
        match self.0.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }

    /// From 1, so that 0 is free to mean that nothing runs.
    fn now(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
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

/// A responder, until the answer is whole.
struct Answering {
    inner: Option<Box<dyn Responder>>,
    activity: Activity,
    /// How much was sent in pieces.
    sent: usize,
}

/// More than this in pieces goes out while the app makes the next; what is less goes when the call is over, or lasts.
const AT_ONCE: usize = 32 << 10;

impl Answering {
    fn complete(&mut self, head: Head, body: Body) {
        let Some(responder) = self.inner.take() else { return };
        let answer = Answer { responder, head, body };
        match &self.activity.0.drive {
            Some(drive) => drive.answer(answer),
            None => answer.send(),
        }
    }
}

impl Responder for Answering {
    fn complete(&mut self, head: Head, body: Bytes) {
        self.complete(head, Body::Memory(body));
    }

    fn complete_file(&mut self, head: Head, file: File, offset: u64, length: u64) {
        self.complete(head, Body::File { file, offset, length });
    }

    fn begin(&mut self, head: Head) {
        if let Some(inner) = &mut self.inner {
            inner.begin(head);
        }
    }

    fn interim(&mut self, head: &[u8]) {
        if let Some(inner) = &mut self.inner {
            inner.interim(head);
            self.activity.hand_over();
        }
    }

    fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
        let inner = self.inner.as_mut().ok_or(Gone)?;
        self.sent = self.sent.saturating_add(piece.len());
        if self.sent > AT_ONCE {
            self.activity.hand_over();
        }
        if inner.is_ready(piece.len()) { inner.send(piece) } else { self.activity.wait(|| inner.send(piece)) }
    }

    fn is_ready(&self, size: usize) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_ready(size))
    }

    fn is_wanted(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_wanted())
    }

    fn finish(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.finish();
        }
    }

    fn abort(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Watch;

    #[test]
    fn only_the_apps_own_time_counts() {
        let watch = Watch::new();
        let (one, two) = (watch.join(None, None), watch.join(None, None));
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
