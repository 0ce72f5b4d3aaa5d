//! What follows when a process ends, or does not begin.

use std::time::Duration;

use super::{Action, Outcome, Pid, State, Supervisor};
use crate::{exit::Code, settings::Level, sys};

/// The first pause after a worker died while it booted; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause between two attempts to boot a worker.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) const NOT_BOOTED: &str = "The reload failed: a new worker could not boot, so the old ones go on serving. Mend what the log \
                          says above, and send HUP again.";

/// ILL, ABRT, BUS, FPE and SEGV.
const CRASHES: [i32; 5] = [4, 6, 7, 8, 11];

impl Supervisor {
    /// A process ended.
    pub(super) fn exited(&mut self, pid: Pid, outcome: Outcome, now: Duration, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&pid) else { return };
        let expected = matches!(worker.state, State::Ending(_) | State::Killed { .. });
        match outcome {
            Outcome::Code(0) => {}
            Outcome::Code(code) if !expected => {
                actions.push(Action::Log(Level::Error, format!("Worker (pid:{pid}) exited with code {code}.")));
            }
            // Nobody ends a worker by these: it has crashed, on its way out perhaps.
            Outcome::Signal(signal) if !expected || CRASHES.contains(&signal) => {
                actions.push(killed(&format!("Worker (pid:{pid})"), signal));
            }
            Outcome::Code(_) | Outcome::Signal(_) => {}
        }
        if matches!(worker.state, State::Booting | State::Killed { silent: true }) {
            self.boot_failed(worker.generation, outcome, now, actions);
        }
    }

    /// A worker of this generation ended before it served.
    pub(super) fn boot_failed(&mut self, generation: u64, outcome: Outcome, now: Duration, actions: &mut Vec<Action>) {
        if self.candidate == Some(generation) {
            self.candidate = None;
            self.end_generation(generation, now, actions);
            self.forget_spawning(generation);
            self.size = self.size_before;
            actions.push(Action::Abandoned(generation));
            actions.push(Action::ReloadFailed(NOT_BOOTED));
        } else if generation != self.generation {
            // Nobody has waited for it any more.
        } else if !self.has_served
            && let Some(end) = end_of(outcome)
        {
            self.stop(Some(end), true, now, actions);
        } else {
            self.fail(now, actions, "A worker died while it booted.");
        }
    }

    /// Something kept a worker from serving: the next attempt waits, longer each time.
    pub(super) fn fail(&mut self, now: Duration, actions: &mut Vec<Action>, what: &str) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures = (self.failures + 1).min(16);
        self.not_before = now + pause;
        let seconds = pause.as_secs_f64();
        actions.push(Action::Log(Level::Warning, format!("{what} The next attempt is in {seconds} s.")));
    }
}

/// Says that a signal has ended a process.
pub(super) fn killed(what: &str, signal: i32) -> Action {
    match signal {
        9 => Action::Log(Level::Error, format!("{what} was sent SIGKILL! Perhaps out of memory?")),
        signal => Action::Log(Level::Warning, format!("{what} was sent {}!", sys::signal_name(signal))),
    }
}

/// The exit code of an arbiter whose first worker ended this way before it served, with the reason; none where the next
/// one may do better.
fn end_of(outcome: Outcome) -> Option<(u8, &'static str)> {
    const HOOK: i32 = Code::Hook as i32;
    match outcome {
        // What a worker says that it cannot mend by itself: a setting, or the app.
        Outcome::Code(1) => Some((1, "Worker failed to boot.")),
        Outcome::Code(3) => Some((3, "Worker failed to boot.")),
        Outcome::Code(4) => Some((4, "App failed to load.")),
        Outcome::Code(HOOK) => Some((Code::Failed as u8, "A hook failed.")),
        _ => None,
    }
}
