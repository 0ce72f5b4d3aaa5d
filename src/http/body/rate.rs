//! How fast a body comes: clients that keep a request open by sending next to nothing are found by it.

use std::time::Duration;

use tokio::time::Instant;

/// A client may be this slow at first: connections have hiccups.
const GRACE: Duration = Duration::from_secs(10);

/// What has come of a body, and how long was waited for it. The time that the app takes does not count.
#[derive(Debug)]
pub struct Rate {
    /// Bytes a second, at least.
    least: Option<u64>,
    came: u64,
    waited: Duration,
    waiting: Option<Instant>,
}

impl Rate {
    pub fn new(least: Option<u64>) -> Self {
        Self { least, came: 0, waited: Duration::ZERO, waiting: None }
    }

    /// So many bytes have come.
    pub fn came(&mut self, bytes: usize) {
        self.came = self.came.saturating_add(bytes as u64);
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing is there: when will that have been too slow?
    pub fn wait(&mut self) -> Option<Instant> {
        let least = self.least?;
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let allowed = GRACE.max(Duration::from_secs(self.came / least));
        Some(since + allowed.saturating_sub(self.waited))
    }
}
