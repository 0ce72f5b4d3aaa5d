//! A request's line in the access log, which is written when this is dropped.

use std::sync::Arc;

use crate::{
    http::{connection::Connection, log_entry::OwnEntry, slot::Waiting},
    wire, wsgi,
};

/// The line to be; none where there is no log, or no whole head.
#[derive(Default)]
pub struct Line {
    entry: Option<Box<OwnEntry>>,
    answered: bool,
    /// So many bytes of the answer's body were taken, or may go out.
    pub sent: u64,
}

impl Line {
    /// A request has come.
    pub fn begin(&mut self, connection: &Connection, head: &Arc<wire::Head>) {
        let own = |log| Box::new(OwnEntry::new(log, connection.remote_addr.clone(), head));
        self.entry = connection.access_log.as_ref().map(own);
    }

    /// The answer has come through this slot.
    pub fn came(&mut self, waiting: Waiting) {
        if let Some(entry) = &mut self.entry {
            entry.came(waiting);
        }
    }

    /// The head of the answer is sent.
    pub fn answered(&mut self, head: &wsgi::Head) {
        self.answered = true;
        if let Some(entry) = &mut self.entry {
            entry.answered(head);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        match &mut self.entry {
            None => {}
            Some(entry) if self.answered => entry.write(self.sent),
            Some(entry) => entry.cancelled(),
        }
    }
}
