//! The arbiter: the process that holds the listeners, and keeps the workers that it is told to keep.
//!
//! It runs no code of the user's and knows neither HTTP nor Python: a worker is a process that a function it is given
//! runs in. What to do is decided in [`supervisor`]; here it is done.

mod pidfile;
mod reload;
mod status;
mod supervisor;
mod templates;
pub mod upgrade;

use std::{
    collections::VecDeque,
    io,
    os::fd::AsFd as _,
    path::PathBuf,
    time::{Duration, Instant},
};

pub use pidfile::PidFile;
pub use supervisor::{Action, Event, Level, Limits, Outcome, Pid, Supervisor};
pub use templates::{Commands, SPAWN};

use self::templates::Templates;
use crate::{
    exit::Fatal,
    link::{Line, Link, Report},
    net::Listener,
    sys::{self, Fork, Pending, Signal},
    telemetry,
};

/// What the arbiter keeps running.
pub struct Service<P> {
    /// How many workers.
    pub workers: usize,
    /// How long things may take.
    pub limits: Limits,
    /// Where the workers accept connections.
    pub listeners: Vec<Listener>,
    /// How this program was started.
    pub command: upgrade::Command,
    /// The arbiter that this one takes over from.
    pub predecessor: Option<u32>,
    /// The file that holds the arbiter's id, and the name that it gets once the predecessor is gone.
    pub pidfile: Option<(PidFile, PathBuf)>,
    /// Whether the arbiter has no terminal. Only then `WINCH`, which a terminal sends when it is resized, counts.
    pub daemon: bool,
    /// Whether the number of connections that wait is a metric.
    pub backlog_metric: bool,
    /// What a worker, or a template of workers, does in a process of its own.
    pub program: P,
}

/// What processes do that the arbiter starts.
pub trait Program {
    /// Whether workers are made from a template.
    fn has_template(&self) -> bool;

    /// Reads the configuration again. Workers that are started from now on go by it. Listeners that it wants are added;
    /// the workers that serve may still need those that it does not want.
    ///
    /// # Errors
    /// What is wrong with it; then nothing has changed.
    fn reload(&mut self, listeners: &mut Vec<Listener>) -> Result<Wanted, Fatal>;

    /// The workers of the last reload serve (`adopted`), or never will, and the configuration before counts again.
    /// Listeners that nobody needs any more are closed. Returns how long things may take.
    fn settle(&mut self, adopted: bool, listeners: &mut Vec<Listener>) -> Limits;

    /// What the processes call themselves.
    fn name(&self) -> &str;

    /// Opens the files of the logs again, such that workers can do so too.
    fn reopen_logs(&self);

    /// Serves, in a process of its own. Returns its exit code.
    fn worker(self, listeners: Vec<Listener>, link: Link) -> u8;

    /// Loads what workers share, and makes workers on command: it returns in each of them too, with its exit code.
    fn template(self, listeners: Vec<Listener>, link: Link, commands: Commands) -> u8;
}

/// What a configuration that was read again wants of the arbiter.
#[derive(Debug)]
pub struct Wanted {
    /// How many workers.
    pub workers: usize,
    /// How long things may take.
    pub limits: Limits,
    /// Where the file with the arbiter's id is.
    pub pidfile: Option<PathBuf>,
}

/// How the arbiter ended.
pub enum Ended {
    /// This is the arbiter, and everything is over: its exit code.
    Arbiter(u8),
    /// This is a worker's process, which has done its work: its exit code.
    Worker(u8),
}

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
    let supervisor = Supervisor::new(service.workers, service.limits);
    let mut arbiter = Arbiter {
        supervisor,
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
    status::title(arbiter.service.program.name(), "");
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
                            return Ok(Ended::Worker(arbiter.become_template(generation, commands)));
                        }
                        Err(error) => actions.extend(arbiter.handle(Event::SpawnFailed(error.to_string()))),
                    },
                    Action::End(code) => {
                        tracing::info!("Shutting down: Master");
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
    Template(u64, Commands),
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
    service: Service<P>,
}

impl<P: Program> Arbiter<P> {
    /// Starts a worker, or has a template start one.
    fn spawn(&mut self, generation: u64) -> io::Result<Process> {
        if !self.service.program.has_template() {
            return Ok(match sys::fork()? {
                Fork::Child => Process::Worker(generation),
                Fork::Parent(pid) => Process::Arbiter(Some(Event::Spawned(pid, generation))),
            });
        }
        if !self.templates.spawn(generation) {
            sys::adopt_orphans()?;
            let (writer, commands) = Commands::new()?;
            match sys::fork()? {
                Fork::Child => return Ok(Process::Template(generation, commands)),
                Fork::Parent(pid) => self.templates.insert(generation, pid, writer),
            }
            self.templates.spawn(generation);
        }
        // The worker reports itself.
        Ok(Process::Arbiter(None))
    }

    fn become_worker(self, generation: u64) -> u8 {
        // Until the worker handles it, it must not end it.
        sys::ignore(Signal::Usr1);
        self.signals.release();
        self.service.program.worker(self.service.listeners, self.line.into_worker(generation))
    }

    fn become_template(mut self, generation: u64, commands: Commands) -> u8 {
        sys::ignore(Signal::Usr1);
        self.signals.release();
        // What a terminal sends to all of its processes is the arbiter's to act on.
        sys::ignore(Signal::Int);
        // The others' commands must end when the arbiter lets go of them.
        self.templates.clear();
        self.service.program.template(self.service.listeners, self.line.into_worker(generation), commands)
    }

    /// Carries out what starts no process.
    fn act(&mut self, action: Action) {
        match action {
            Action::Term(pid) => sys::send(pid, Signal::Term),
            Action::Quit(pid) => sys::send(pid, Signal::Quit),
            Action::Kill(pid) => sys::send(pid, Signal::Kill),
            Action::Log(Level::Info, text) => tracing::info!("{text}"),
            Action::Log(Level::Warning, text) => tracing::warn!("{text}"),
            Action::Log(Level::Error, text) => tracing::error!("{text}"),
            Action::Log(Level::Critical, text) => tracing::error!(target: telemetry::CRITICAL, "{text}"),
            Action::Adopted(generation) => {
                self.templates.keep_only(generation);
                self.settle(true);
                status::serving(self.service.program.name());
                tracing::info!("The reload is done: the new workers serve, and the old ones end.");
            }
            Action::Abandoned(generation) => self.templates.remove(generation),
            Action::ReloadFailed => {
                self.settle(false);
                self.reload_failed(
                    "The reload failed: a new worker could not boot, so the old ones go on serving. Mend what the log says \
                     above, and send HUP again.",
                );
            }
            Action::Resized(now, before) => {
                tracing::debug!("{now} workers are wanted; it was {}.", before.unwrap_or_default());
            }
            Action::Spawn(_) | Action::End(_) => {}
        }
    }

    /// Starts the new binary beside this one.
    fn upgrade(&mut self) {
        if let Some(pid) = self.successor {
            tracing::warn!("An upgrade is under way already (pid: {pid}). End that arbiter or this one first.");
            return;
        }
        let listeners: Vec<_> = self.service.listeners.iter().map(Listener::descriptor).collect();
        match self.service.command.start(&listeners) {
            Ok(pid) => self.successor = Some(pid),
            Err(error) => tracing::error!("The new binary could not be started: {error}. This one goes on serving."),
        }
    }

    /// Looks whether the predecessor is gone: then this is the only arbiter.
    fn look_for_predecessor(&mut self) {
        if self.service.predecessor.is_some_and(|pid| pid != std::os::unix::process::parent_id()) {
            self.service.predecessor = None;
            tracing::info!("Master has been promoted.");
            if let Some((file, path)) = &mut self.service.pidfile {
                file.rename(path);
            }
        }
    }

    /// Lets go of the listeners. The workers answer who is connected already; whoever comes later is refused as soon as
    /// they have, and may try another server.
    fn close(&mut self) {
        self.stopping = true;
        if self.successor.is_some() || self.service.predecessor.is_some() {
            self.service.listeners.iter_mut().for_each(Listener::keep_file);
        } else {
            self.service.listeners.iter().for_each(Listener::end);
        }
        self.service.listeners.clear();
        self.templates.end();
        status::stopping();
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let now = self.now();
        let before = self.supervisor.pids().count();
        let actions = self.supervisor.handle(event, now);
        let count = self.supervisor.pids().count();
        if count != before {
            telemetry::workers(count);
        }
        actions
    }

    /// Waits for something to happen.
    fn wait(&mut self) -> Vec<Event> {
        let now = self.now();
        let due = self.supervisor.next_due(now).map(|due| due.saturating_sub(now));
        let limit =
            [due, self.service.predecessor.map(|_| LOOK), self.service.backlog_metric.then_some(status::MEASURE)];
        let limit = limit.into_iter().flatten().min();
        sys::wait_readable(&[self.signals.as_fd(), self.line.reports()], limit);
        let mut events = self.reports();
        while let Some(signal) = self.signals.next() {
            events.extend(self.signalled(signal));
        }
        // A signal that is pending already is not queued again, so children are counted by asking and not by signals.
        // What a worker reported before it ended is taken in first.
        events.extend(self.reports());
        self.ready(&events);
        self.look_for_predecessor();
        while let Some((pid, outcome)) = sys::reap() {
            if self.successor == Some(pid) {
                self.successor = None;
                tracing::warn!("The new binary's arbiter (pid: {pid}) has ended. This one goes on serving.");
            }
            let outcome = outcome.map_or_else(Outcome::Signal, Outcome::Code);
            match self.templates.exited(pid) {
                Some(true) => events.push(Event::TemplateFailed(outcome)),
                Some(false) => {}
                None => events.push(Event::Exited(pid, outcome)),
            }
        }
        self.measure();
        events.push(Event::Tick);
        events
    }

    /// What workers and templates have reported.
    fn reports(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for (pid, generation, report) in self.line.take() {
            match report {
                Report::Started => events.push(Event::Spawned(pid, generation)),
                Report::Booted => events.push(Event::Booted(pid)),
                Report::Alive => events.push(Event::Alive(pid)),
                Report::Retires => events.push(Event::Retires(pid)),
                Report::Ready => self.templates.ready(pid),
            }
        }
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
                self.close();
                Event::Stop
            }
            // A new arbiter serves already (USR2), so there is no hurry that would be worth a request.
            Signal::Quit if self.successor.is_some() && !self.stopping => {
                self.close();
                Event::Stop
            }
            Signal::Quit => {
                self.close();
                Event::Quit
            }
            Signal::Hup => return self.reload(),
            Signal::Ttin => Event::Increase,
            Signal::Ttou => Event::Decrease,
            Signal::Usr2 => {
                self.upgrade();
                return None;
            }
            Signal::Winch if self.service.daemon => Event::Dismiss,
            Signal::Winch => {
                tracing::debug!("SIGWINCH ignored. Not daemonized.");
                return None;
            }
            Signal::Usr1 => {
                self.service.program.reopen_logs();
                self.supervisor.pids().for_each(|pid| sys::send(pid, Signal::Usr1));
                return None;
            }
            Signal::Chld | Signal::Kill => return None,
        })
    }
}
