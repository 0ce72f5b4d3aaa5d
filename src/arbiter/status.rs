//! What the arbiter says of itself to whoever looks at it: systemd, which shows a service's status, and people with `ps`.

use std::time::Duration;

use super::{Arbiter, Event, Program};
use crate::{
    net::{Listener, systemd},
    sys, telemetry,
};

/// How often the number of connections that wait is told.
pub const MEASURE: Duration = Duration::from_secs(1);

/// The workers serve. `name` is what the processes call themselves.
pub fn serving(name: &str) {
    systemd::notify("READY=1\nSTATUS=The workers serve.");
    title(name, "");
}

/// New workers are to take over. systemd wants to know since when, so that it does not take an older READY for the end.
pub fn reloading(name: &str) {
    let now = sys::monotonic_clock().as_micros();
    systemd::notify(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=The new workers are tried."));
    title(name, "");
}

/// The old workers go on, for this reason.
pub fn reload_failed(name: &str, reason: &str) {
    // A status is one line.
    systemd::notify(&format!("READY=1\nSTATUS={}", reason.replace('\n', " ")));
    title(name, " (the last reload failed)");
}

/// The workers finish what they are at.
pub fn stopping() {
    systemd::notify("STOPPING=1\nSTATUS=The workers finish what they are at.");
}

/// As gunicorn names its master, with what is worth knowing behind it.
pub fn title(name: &str, remark: &str) {
    sys::set_title(&format!("rwsgi: master [{name}]{remark}"));
}

impl<P: Program> Arbiter<P> {
    /// Tells systemd once that the service is up.
    pub(super) fn ready(&mut self, events: &[Event]) {
        if !self.ready && events.iter().any(|event| matches!(event, Event::Booted(_))) {
            self.ready = true;
            serving(self.service.program.name());
        }
    }

    /// Tells how many connections wait, now and then.
    pub(super) fn measure(&mut self) {
        let now = self.now();
        if self.service.backlog_metric && now >= self.measured + MEASURE {
            self.measured = now;
            telemetry::backlog(self.service.listeners.iter().map(Listener::waiting).sum());
        }
    }
}
