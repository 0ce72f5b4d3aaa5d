//! The arbiter: the process that holds the listeners, and keeps the workers that it is told to keep.
//!
//! It runs no code of the user's and knows neither HTTP nor Python: a worker is a process that a function it is given
//! runs in. What to do is decided in [`supervisor`]; here it is done.

mod supervisor;

use std::{
    io,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

pub use supervisor::{Action, Event, Level, Limits, Outcome, Pid, Supervisor};

use crate::{
    exit::Fatal,
    link::{Line, Link, Report},
    sys::{self, Fork, Pending, Signal},
};

/// What the arbiter keeps running.
pub struct Service<W> {
    /// How many workers.
    pub workers: usize,
    /// How long things may take.
    pub limits: Limits,
    /// What a worker does, in a process of its own. Returns its exit code.
    pub worker: W,
}

/// How the arbiter ended.
pub enum Ended {
    /// This is the arbiter, and everything is over: its exit code.
    Arbiter(u8),
    /// This is a worker's process, which has done its work: its exit code.
    Worker(u8),
}

/// Keeps the service running until a signal ends it. Returns in the processes of workers too.
///
/// # Errors
/// The system lacks what an arbiter needs.
pub fn run<W: FnMut(Link) -> u8>(mut service: Service<W>) -> Result<Ended, Fatal> {
    let failed = |error: io::Error| Fatal::new(format!("The server cannot start: {error}."));
    let signals = Pending::hold().map_err(failed)?;
    let line = Line::new().map_err(failed)?;
    let mut arbiter = Arbiter {
        supervisor: Supervisor::new(service.workers, service.limits),
        signals,
        line,
        started: Instant::now(),
        stopping: false,
        workers: service.workers,
    };
    let mut events = vec![Event::Tick];
    loop {
        for event in std::mem::take(&mut events) {
            let mut actions = arbiter.handle(event);
            while !actions.is_empty() {
                let mut next = Vec::new();
                for action in actions {
                    match action {
                        Action::Spawn(_) => match sys::fork() {
                            Ok(Fork::Child) => {
                                arbiter.signals.release();
                                return Ok(Ended::Worker((service.worker)(arbiter.line.into_worker())));
                            }
                            Ok(Fork::Parent(pid)) => next.extend(arbiter.handle(Event::Spawned(pid))),
                            Err(error) => next.extend(arbiter.handle(Event::SpawnFailed(error.to_string()))),
                        },
                        Action::End(code) => {
                            tracing::info!("Shutting down: Master");
                            return Ok(Ended::Arbiter(code));
                        }
                        action => act(action),
                    }
                }
                actions = next;
            }
        }
        events = arbiter.wait();
    }
}

/// Carries out what needs nothing but the system.
fn act(action: Action) {
    match action {
        Action::Term(pid) => sys::send(pid, Signal::Term),
        Action::Quit(pid) => sys::send(pid, Signal::Quit),
        Action::Kill(pid) => sys::send(pid, Signal::Kill),
        Action::Log(Level::Info, text) => tracing::info!("{text}"),
        Action::Log(Level::Warning, text) => tracing::warn!("{text}"),
        Action::Log(Level::Error | Level::Critical, text) => tracing::error!("{text}"),
        Action::Adopted(generation) => tracing::info!("The reload is done: generation {generation} serves."),
        Action::Resized(now, before) => {
            tracing::debug!("{now} workers are wanted; it was {}.", before.unwrap_or_default());
        }
        Action::Spawn(_) | Action::End(_) => {}
    }
}

struct Arbiter {
    supervisor: Supervisor,
    signals: Pending,
    line: Line,
    started: Instant,
    stopping: bool,
    workers: usize,
}

impl Arbiter {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let now = self.now();
        self.supervisor.handle(event, now)
    }

    /// Waits for something to happen.
    fn wait(&mut self) -> Vec<Event> {
        let now = self.now();
        let limit = self.supervisor.next_due(now).map(|due| due.saturating_sub(now));
        sys::wait_readable(&[self.signals.as_fd(), self.line.reports()], limit);
        let mut events: Vec<_> = self.line.take().into_iter().map(report).collect();
        while let Some(signal) = self.signals.next() {
            events.extend(self.signalled(signal));
        }
        // A signal that is pending already is not queued again, so children are counted by asking and not by signals.
        // What a worker reported before it ended is taken in first.
        events.extend(self.line.take().into_iter().map(report));
        while let Some((pid, outcome)) = sys::reap() {
            events.push(Event::Exited(pid, outcome.map_or_else(Outcome::Signal, Outcome::Code)));
        }
        events.push(Event::Tick);
        events
    }

    fn signalled(&mut self, signal: Signal) -> Option<Event> {
        if signal == Signal::Chld {
            return None;
        }
        tracing::info!("Handling signal: {}", signal.name());
        Some(match signal {
            Signal::Term | Signal::Int if self.stopping => {
                tracing::info!("Quick shutdown requested");
                Event::Quit
            }
            Signal::Term | Signal::Int => {
                self.stopping = true;
                Event::Stop
            }
            Signal::Quit => {
                self.stopping = true;
                Event::Quit
            }
            Signal::Hup => Event::Reconfigured(self.workers),
            Signal::Ttin => Event::Increase,
            Signal::Ttou => Event::Decrease,
            Signal::Chld | Signal::Kill | Signal::Usr1 | Signal::Usr2 | Signal::Winch => return None,
        })
    }
}

fn report((pid, report): (Pid, Report)) -> Event {
    match report {
        Report::Booted => Event::Booted(pid),
        Report::Alive => Event::Alive(pid),
        Report::Retires => Event::Retires(pid),
    }
}
