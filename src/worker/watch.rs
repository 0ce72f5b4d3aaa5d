//! How long the app has been at a request: what `--timeout` goes by.
//!
//! The time that a thread waits for its client, to take a piece of the answer or to send one of the request, is not
//! the app's: a slow download or a stream of events is no reason to end a worker.

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{python::Interrupt, sys};

/// What every app thread of a worker is at.
#[derive(Debug)]
pub struct Watch {
    threads: Mutex<Vec<Activity>>,
}

/// What one app thread is at: the millisecond since which the app has been running on it, 0 while it has not.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Thread>);

#[derive(Debug)]
struct Thread {
    since: AtomicU64,
    /// Counts the begins and the ends of requests: odd while the app is at one.
    count: AtomicU64,
    /// The way to end one; none in a test.
    interrupt: Option<Arc<Interrupt>>,
}

thread_local! {
    /// What this thread is at, where it is one of the app's.
    static HERE: RefCell<Option<Activity>> = const { RefCell::new(None) };
}

/// A request that takes too long.
pub struct Overdue {
    activity: Activity,
    count: u64,
}

impl Overdue {
    /// Raises an exception in its thread, if it still runs. Waits for Python.
    pub fn interrupt(&self) {
        if let Some(interrupt) = &self.activity.0.interrupt {
            interrupt.raise(|| self.activity.count() == self.count && !self.activity.elapsed().is_zero());
        }
    }
}

impl Watch {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self { threads: Mutex::default() }
    }

    /// A further app thread, which is this one.
    pub fn join(&self, interrupt: Option<Arc<Interrupt>>) -> Activity {
        let (since, count) = (AtomicU64::new(0), AtomicU64::new(0));
        let activity = Activity(Arc::new(Thread { since, count, interrupt }));
        HERE.set(Some(activity.clone()));
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(activity.clone());
        activity
    }

    /// The threads where the app has been at a request for longer than this.
    pub fn longer_than(&self, limit: Duration) -> Vec<Overdue> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let all = threads.iter().map(|activity| Overdue { count: activity.count(), activity: activity.clone() });
        // One that waits for the GIL to take a request is at none.
        all.filter(|thread| thread.count % 2 == 1 && thread.activity.elapsed() > limit).collect()
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
        self.0.since.store(now(), Ordering::Relaxed);
    }

    /// A request begins.
    pub fn begin(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.work();
    }

    /// The request has ended, if there was one.
    pub fn end(&self) {
        let count = self.count();
        // No other thread counts.
        self.0.count.store(count + count % 2, Ordering::Relaxed);
        self.rest();
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// The app does not run.
    pub fn rest(&self) {
        self.0.since.store(0, Ordering::Relaxed);
    }

    /// Runs what waits for a client on this thread: that is not the app's time.
    pub fn wait_here(wait: &mut dyn FnMut()) {
        let here = HERE.with_borrow(Option::clone);
        if let Some(activity) = &here {
            activity.rest();
        }
        wait();
        if let Some(activity) = &here {
            activity.work();
        }
    }

    fn elapsed(&self) -> Duration {
        match self.0.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(now().saturating_sub(since)),
        }
    }
}

/// Milliseconds from 1, so that 0 is free to mean that nothing runs.
fn now() -> u64 {
    u64::try_from(sys::coarse_clock().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Activity, Watch};

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
        // The last to join is this thread's.
        let mut longest = None;
        Activity::wait_here(&mut || longest = Some(watch.longest()));
        assert_eq!(longest, Some(Duration::ZERO), "waiting for the client is not the app's time");
    }

    #[test]
    fn only_a_thread_at_a_request_is_overdue() {
        let watch = Watch::new();
        let thread = watch.join(None);
        let after_a_while = || {
            while watch.longest() < Duration::from_millis(2) {
                std::thread::yield_now();
            }
            watch.longer_than(Duration::ZERO).len()
        };
        thread.work();
        assert_eq!(after_a_while(), 0, "it waits for the GIL");
        thread.begin();
        assert_eq!(after_a_while(), 1);
        thread.end();
        assert_eq!(watch.longer_than(Duration::ZERO).len(), 0);
        thread.work();
        assert_eq!(after_a_while(), 0, "it waits again");
        thread.begin();
        assert_eq!(after_a_while(), 1, "at the next");
    }
}
