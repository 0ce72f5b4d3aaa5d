//! What the arbiter says of itself to whoever looks at it: systemd, which shows a service's status, and people with `ps`.

use std::time::Duration;

use super::{Arbiter, Event, Program};
use crate::{
    net::{Listener, systemd},
    sys, telemetry,
};

/// How often the number of connections that wait is told.
pub const MEASURE: Duration = Duration::from_secs(1);

impl<P: Program> Arbiter<P> {
    /// The workers serve.
    pub(super) fn serving(&self) {
        self.notify("READY=1\nSTATUS=The workers serve.");
        self.title("");
    }

    /// New workers are to take over. systemd wants to know since when, so that it does not take an older READY for the
    /// end.
    pub(super) fn reloading(&self) {
        let now = sys::monotonic_clock().as_micros();
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=The new workers are tried."));
        self.title("");
    }

    /// The workers finish what they are at. With a successor the service does not stop: that is its main process now.
    pub(super) fn stopping(&self) {
        match self.successor {
            Some(pid) => self.notify(&format!("MAINPID={pid}\nSTATUS=The new binary serves.")),
            None => self.notify("STOPPING=1\nSTATUS=The workers finish what they are at."),
        }
    }

    /// The predecessor is gone. That it named its successor is not certain: it may have been killed.
    pub(super) fn promoted(&self) {
        self.notify(&format!("MAINPID={}\nREADY=1\nSTATUS=The workers serve.", std::process::id()));
        self.title("");
    }

    /// Tells systemd something about the service. As long as there is a predecessor, that speaks for it.
    pub(super) fn notify(&self, state: &str) {
        if self.service.predecessor.is_none() {
            systemd::notify(state);
        }
    }

    /// As gunicorn names its master, with what is worth knowing behind it.
    pub(super) fn title(&self, remark: &str) {
        let second = if self.service.predecessor.is_some() { ".2" } else { "" };
        sys::set_title(&format!("rwsgi: master [{}{second}]{remark}", self.service.program.name()));
    }

    /// Tells systemd once that the service is up.
    pub(super) fn ready(&mut self, events: &[Event]) {
        if !self.ready && events.iter().any(|event| matches!(event, Event::Booted(_))) {
            self.ready = true;
            self.serving();
        }
    }

    /// Tells how many connections wait, now and then.
    pub(super) fn measure(&mut self) {
        let now = self.now();
        if self.service.program.wanted().backlog_metric && now >= self.measured + MEASURE {
            self.measured = now;
            telemetry::backlog(self.service.listeners.iter().map(Listener::waiting).sum());
        }
    }
}
