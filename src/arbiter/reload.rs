//! What `HUP` does to the arbiter itself. What it does to workers is the supervisor's to say.

use super::{Arbiter, Event, PidFile, Program, Wanted};

impl<P: Program> Arbiter<P> {
    /// Reads the configuration again, for workers that take the place of the present ones.
    pub(super) fn reload(&mut self) -> Option<Event> {
        tracing::info!("Hang up: {}", self.called());
        if self.stopping {
            return None;
        }
        self.reloading();
        match self.service.program.reload(&mut self.service.listeners) {
            Ok(()) => {
                let Wanted { workers, limits, .. } = self.service.program.wanted();
                self.supervisor.set_limits(limits);
                Some(Event::Reconfigured(workers))
            }
            Err(fatal) => {
                self.reload_failed(&format!("The reload failed, and the old workers go on serving: {fatal}"));
                None
            }
        }
    }

    /// Says that the old workers go on, and why.
    pub(super) fn reload_failed(&self, reason: &str) {
        tracing::error!("{reason}");
        // A status is one line.
        self.notify(&format!("READY=1\nSTATUS={}", reason.replace('\n', " ")));
        self.title(" (the last reload failed)");
    }

    /// The reload is over, one way or the other.
    pub(super) fn settle(&mut self, adopted: bool) {
        self.service.program.settle(adopted, &mut self.service.listeners);
        let Wanted { limits, pidfile, .. } = self.service.program.wanted();
        self.supervisor.set_limits(limits);
        if self.service.predecessor.is_none() {
            PidFile::follow(&mut self.service.pidfile, pidfile);
        }
    }
}
