//! The arbiter: the process that holds the listeners, and keeps the workers that it is told to keep.
//!
//! It runs no code of the user's and knows neither HTTP nor Python: a worker is a process that a function it is given
//! runs in. What to do is decided in [`supervisor`]; here it is done.

mod hooks;
mod pidfile;
mod reload;
mod service;
mod signals;
mod status;
mod supervisor;
mod templates;
pub mod upgrade;

use std::{
    collections::VecDeque,
    io, iter,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

pub use pidfile::PidFile;
pub use service::{Ended, Program, Service, Wanted};
pub use supervisor::{Action, Event, Limits, Outcome, Pid, Supervisor};

use self::{hooks::Known, templates::Templates};
use crate::{
    exit::Fatal,
    link::{Birth, Commands, Line, Report, Reported},
    sys::{self, Fork, Pending, Signal},
    telemetry,
};

/// How often it is looked whether the predecessor is gone.
const LOOK: Duration = Duration::from_millis(200);

/// Keeps the service running until a signal ends it. Returns in the processes of workers too.
///
/// # Errors
/// The system lacks what an arbiter needs.
pub fn run<P: Program>(service: Service<P>) -> Result<Ended, Fatal> {
    let failed = |error: io::Error| Fatal::new(format!("The server cannot start: {error}."));
    let signals = Pending::hold().map_err(failed)?;
    let line = Line::new().map_err(failed)?;
    let Wanted { workers, limits, .. } = service.program.wanted();
    let mut arbiter = Arbiter {
        known: Known::new(workers),
        supervisor: Supervisor::new(workers, limits),
        signals,
        line,
        started: Instant::now(),
        measured: Duration::ZERO,
        stopping: false,
        ready: false,
        successor: None,
        templates: Templates::default(),
        service,
    };
    arbiter.title("");
    let mut events = vec![Event::Tick];
    loop {
        let mut actions: VecDeque<Action> = VecDeque::new();
        for event in events {
            actions.extend(arbiter.handle(event));
            while let Some(action) = actions.pop_front() {
                match action {
                    Action::Spawn(generation) => match arbiter.spawn(generation) {
                        Ok(Process::Arbiter(event)) => {
                            actions.extend(event.map(|event| arbiter.handle(event)).into_iter().flatten());
                        }
                        Ok(Process::Worker(generation)) => return Ok(Ended::Worker(arbiter.become_worker(generation))),
                        Ok(Process::Template(generation, commands)) => {
                            return Ok(Ended::Worker(arbiter.become_template(generation, *commands)));
                        }
                        Err(error) => actions.extend(arbiter.handle(Event::SpawnFailed(generation, error.to_string()))),
                    },
                    Action::End(code, reason) => {
                        arbiter.say_end(code, reason);
                        arbiter.finish_template();
                        return Ok(Ended::Arbiter(code));
                    }
                    action => arbiter.act(action),
                }
            }
        }
        events = arbiter.wait();
    }
}

/// Which process goes on after one was started.
enum Process {
    /// The arbiter, perhaps with something to take in.
    Arbiter(Option<Event>),
    Worker(u64),
    Template(u64, Box<(Birth, Commands)>),
}

struct Arbiter<P> {
    supervisor: Supervisor,
    signals: Pending,
    line: Line,
    started: Instant,
    /// When the backlog was told last.
    measured: Duration,
    stopping: bool,
    ready: bool,
    /// The arbiter of the new binary, after `USR2`.
    successor: Option<Pid>,
    templates: Templates,
    known: Known,
    service: Service<P>,
}

impl<P: Program> Arbiter<P> {
    /// Starts a worker, or has a template start one.
    fn spawn(&mut self, generation: u64) -> io::Result<Process> {
        if self.stopping {
            // What asked for it came before the signal that ends all.
            return Ok(Process::Arbiter(None));
        }
        let age = self.known.next_age();
        if !self.templates.spawn(generation, age) {
            if !self.service.program.has_template() {
                return Ok(match sys::fork()? {
                    Fork::Child => Process::Worker(generation),
                    Fork::Parent(pid) => {
                        self.known.made(pid, generation, age);
                        Process::Arbiter(Some(Event::Spawned(pid, generation)))
                    }
                });
            }
            sys::adopt_orphans()?;
            let (commander, commands) = Commands::new()?;
            let birth = self.birth(generation);
            match sys::fork()? {
                Fork::Child => return Ok(Process::Template(generation, Box::new((birth, commands)))),
                Fork::Parent(pid) => self.templates.insert(generation, pid, commander),
            }
            self.templates.spawn(generation, age);
        }
        // The worker reports itself.
        Ok(Process::Arbiter(None))
    }

    fn become_worker(mut self, generation: u64) -> u8 {
        // Until the worker handles it, it must not end it.
        sys::ignore(Signal::Usr1);
        self.signals.release();
        self.templates.clear();
        self.service.program.worker(self.service.listeners, self.line.into_worker(generation))
    }

    fn become_template(mut self, generation: u64, (birth, commands): (Birth, Commands)) -> u8 {
        sys::ignore(Signal::Usr1);
        self.signals.release();
        // What a terminal sends to all of its processes is the arbiter's to act on.
        sys::ignore(Signal::Int);
        // The others' commands must end when the arbiter lets go of them.
        self.templates.clear();
        let link = self.line.into_worker(generation);
        self.service.program.template(birth, self.service.listeners, link, commands)
    }

    /// Carries out what starts no process.
    fn act(&mut self, action: Action) {
        match action {
            Action::Term(pid) => sys::send(pid, Signal::Term),
            Action::Quit(pid) => sys::send(pid, Signal::Quit),
            Action::Kill(pid) => sys::send(pid, Signal::Kill),
            Action::Log(level, text) => telemetry::say(level, &text),
            Action::Adopted(generation) => {
                self.adopted(generation);
                self.settle(true);
                self.serving();
                tracing::info!("The reload is done: the new workers serve, and the old ones end.");
            }
            Action::Abandoned(generation) => self.templates.remove(generation),
            Action::ReloadFailed(why) => {
                self.settle(false);
                self.resized();
                self.reload_failed(why);
            }
            Action::Resized => self.resized(),
            Action::Spawn(_) | Action::End(..) => {}
        }
    }

    fn say_end(&self, code: u8, reason: &str) {
        if code == 0 {
            tracing::info!("Shutting down: {}", self.called());
        } else {
            tracing::error!("Shutting down: {}", self.called());
            tracing::error!("Reason: {reason}");
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let now = self.now();
        if let Event::Exited(pid, _) = event {
            self.gone(pid);
        }
        let before = self.supervisor.active();
        let actions = self.supervisor.handle(event, now);
        let count = self.supervisor.active();
        // An old arbiter that ends does not speak for the workers of its successor.
        if count != before && !self.stopping {
            telemetry::workers(count);
        }
        actions
    }

    /// Waits for something to happen.
    fn wait(&mut self) -> Vec<Event> {
        let now = self.now();
        let due = self.supervisor.next_due(now).into_iter().chain(self.templates.due()).min();
        let due = due.map(|due| due.saturating_sub(now));
        let measure = self.service.program.wanted().backlog_metric.then_some(status::MEASURE);
        let limit = [due, self.service.predecessor.map(|_| LOOK), measure].into_iter().flatten().min();
        sys::wait_readable(&[self.signals.as_fd(), self.line.reports()], limit);
        let mut events = self.reports();
        while let Some(signal) = self.signals.next() {
            events.extend(self.signalled(signal));
        }
        // A signal that is pending already is not queued again, so children are counted by asking and not by signals.
        let ended: Vec<_> = iter::from_fn(sys::reap).collect();
        // What they reported before is there by now, and comes first.
        events.extend(self.reports());
        self.ready(&events);
        self.look_for_predecessor();
        for (pid, outcome) in ended {
            if self.successor == Some(pid) {
                self.successor_ended(pid);
            }
            self.known.ended(pid);
            let outcome = outcome.map_or_else(Outcome::Signal, Outcome::Code);
            match self.templates.exited(pid) {
                Some((generation, true)) => events.push(Event::TemplateFailed(generation, outcome)),
                Some((_, false)) => self.template_lost(pid),
                None => events.push(Event::Exited(pid, outcome)),
            }
        }
        self.templates.kill_late(self.now());
        self.measure();
        events.push(Event::Tick);
        events
    }

    /// What workers and templates have reported.
    fn reports(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for Reported { pid, generation, age, report } in self.line.take() {
            match report {
                Report::Started => events.extend(self.made(pid, generation, age)),
                Report::Booted => events.push(Event::Booted(pid)),
                Report::Alive => events.push(Event::Alive(pid)),
                Report::Retires => events.push(Event::Retires(pid)),
                Report::Ready => self.prepared(pid, generation),
                Report::MayUpgrade | Report::MayNotUpgrade => self.pre_exec_ended(report == Report::MayUpgrade),
                Report::NotMade => events.push(self.not_made(generation)),
                Report::NotForked => events.push(self.not_forked(generation)),
            }
        }
        events
    }
}
