//! The arbiter's part in a configuration file's hooks: it calls none, but tells the template that does.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use super::{Arbiter, Outcome, Pid, Program, supervisor::Event};
use crate::{
    exit::Code,
    link::{Birth, Command, Reason},
    sys::{self, Signal},
};

/// How long `on_exit`, and Python's end after it, may take.
const END: Duration = Duration::from_secs(2);

/// What hooks are told.
#[derive(Debug)]
pub struct Known {
    /// The ages and the generations of the workers that run.
    workers: BTreeMap<Pid, (u64, u64)>,
    /// The age of the youngest.
    age: u64,
    /// The generation whose hooks are called.
    serving: u64,
    /// The youngest generation whose template was ready once.
    prepared: u64,
    /// How many workers are wanted, as far as the hooks that are called know.
    told: usize,
    /// How many, as far as the youngest template knows from the beginning.
    born: usize,
    /// The template and the workers before those that serve, which are about to end.
    followed: BTreeSet<Pid>,
    /// The template that was asked for `pre_exec`, and has not answered.
    upgrading: Option<Pid>,
}

impl Known {
    pub fn new(size: usize) -> Self {
        Self {
            workers: BTreeMap::new(),
            age: 0,
            serving: 1,
            prepared: 0,
            told: size,
            born: size,
            followed: BTreeSet::new(),
            upgrading: None,
        }
    }

    /// A worker is to be made: the age that it will have.
    pub fn next_age(&mut self) -> u64 {
        self.age += 1;
        self.age
    }

    /// A worker runs.
    pub fn made(&mut self, pid: Pid, generation: u64, age: u64) {
        self.workers.insert(pid, (age, generation));
    }

    /// A process has ended, which answers nothing any more.
    pub fn ended(&mut self, pid: Pid) {
        self.upgrading.take_if(|asked| *asked == pid);
    }
}

impl<P: Program> Arbiter<P> {
    /// What the template of a generation is to know from the beginning.
    pub(super) fn birth(&mut self, generation: u64) -> Birth {
        let known = &mut self.known;
        known.born = self.supervisor.wanted();
        Birth {
            reason: match generation {
                _ if generation <= known.prepared => Reason::Again,
                1 => Reason::Start,
                _ => Reason::Reload(known.told),
            },
            size: known.born,
            running: known.workers.iter().map(|(pid, (age, _))| (*pid, *age)).collect(),
            arbiter: std::process::id(),
            predecessor: self.service.predecessor,
        }
    }

    /// A template is ready.
    pub(super) fn prepared(&mut self, pid: Pid, generation: u64) {
        self.known.prepared = self.known.prepared.max(generation);
        self.templates.ready(pid);
    }

    /// A template has made a worker, which may be known already.
    pub(super) fn made(&mut self, pid: Pid, generation: u64, age: u64) -> Option<Event> {
        if self.known.workers.contains_key(&pid) {
            return None;
        }
        self.templates.settled(generation);
        self.known.made(pid, generation, age);
        self.templates.tell_all(|_| Command::Made(pid, age));
        Some(Event::Spawned(pid, generation))
    }

    /// A process has ended that may be a worker.
    pub(super) fn gone(&mut self, pid: Pid) {
        if self.known.followed.remove(&pid) && self.known.followed.is_empty() && !self.stopping {
            self.templates.tell(self.known.serving, Command::Follow);
        }
        if self.known.workers.remove(&pid).is_some() {
            let serving = self.known.serving;
            self.templates.tell_all(
                |generation| {
                    if generation == serving { Command::ChildExit(pid) } else { Command::Forget(pid) }
                },
            );
            self.let_go_of_old();
        }
    }

    /// Old templates end when their workers have: what a preloaded app has started may be what those need.
    fn let_go_of_old(&mut self) {
        if !self.known.workers.values().any(|(_, of)| *of < self.known.serving) {
            self.templates.let_go();
        }
    }

    /// Another number of workers is wanted now, perhaps.
    pub(super) fn resized(&mut self) {
        let now = self.supervisor.wanted();
        let before = std::mem::replace(&mut self.known.told, now);
        if now != before {
            tracing::debug!("{now} workers are wanted; it was {before}.");
            self.templates.tell(self.known.serving, Command::Resized(now, before));
        }
    }

    /// The workers of a generation serve: its hooks are the ones to call.
    pub(super) fn adopted(&mut self, generation: u64) {
        let known = &mut self.known;
        // Workers have what their template had open, the port of an exporter say: it is free when all have ended.
        let old = known.workers.iter().filter(|(_, (_, of))| *of < generation);
        known.followed = old.map(|(pid, _)| *pid).collect();
        known.followed.extend(self.templates.pid(known.serving));
        self.known.serving = generation;
        self.known.told = self.known.born;
        let then = self.now() + self.service.program.wanted().limits.graceful_timeout + 2 * END;
        self.templates.keep_only(generation, then);
        self.let_go_of_old();
        if self.known.followed.is_empty() {
            self.templates.tell(generation, Command::Follow);
        }
        self.resized();
    }

    /// Whether an upgrade waits for its hook.
    pub(super) fn is_upgrading(&self) -> bool {
        self.known.upgrading.is_some()
    }

    /// Has `pre_exec` called, after which the upgrade goes on. False when there is nobody to call it.
    pub(super) fn call_pre_exec(&mut self) -> bool {
        let serving = self.known.serving;
        self.known.upgrading = self.templates.pid(serving);
        self.templates.tell(serving, Command::PreExec);
        self.is_upgrading()
    }

    /// `pre_exec` is over, and was waited for.
    pub(super) fn pre_exec_ended(&mut self, well: bool) {
        self.known.upgrading = None;
        if !well {
            tracing::error!("The new binary is not started, because pre_exec raised. This one goes on serving.");
        } else if !self.stopping {
            self.start_successor();
        }
    }

    /// `pre_fork` raised.
    pub(super) fn not_made(&mut self, generation: u64) -> Event {
        self.templates.settled(generation);
        Event::TemplateFailed(generation, Outcome::Code(Code::Hook as i32))
    }

    /// A template could not fork.
    pub(super) fn not_forked(&mut self, generation: u64) -> Event {
        self.templates.settled(generation);
        Event::SpawnFailed(generation, "the process that makes them cannot fork".to_owned())
    }

    /// A template has ended, and owes nothing.
    pub(super) fn template_lost(&self, pid: Pid) {
        if !self.stopping && !self.service.program.hooks().is_empty() {
            tracing::error!(
                "The process of the hooks (pid: {pid}) has ended. The next worker will come from a new one."
            );
        }
    }

    /// Workers whose file has a hook for it are told that this was an interrupt: what they get next, TERM, does not say.
    pub(super) fn pass_on_interrupt(&self) {
        if self.service.program.hooks().contains(&"worker_int") {
            self.supervisor.pids().for_each(|pid| sys::send(pid, Signal::Int));
        }
    }

    /// Lets go of the templates when the server stops, but for that of the workers that serve: hooks are called until the
    /// end, and what a preloaded app has started is the app's own to end.
    pub(super) fn end_templates(&mut self) {
        self.templates.end(self.known.serving);
        self.templates.tell_all(|_| Command::Close);
    }

    /// Has `on_exit` and the preloaded app's `atexit` functions called when everything else is over, and waits for them, but
    /// not for long. No signal cuts them short.
    pub(super) fn finish_template(&mut self) {
        let Some(pid) = self.templates.pid(self.known.serving) else { return };
        self.templates.tell(self.known.serving, Command::End);
        self.templates.clear();
        let end = Instant::now() + END;
        loop {
            while let Some((reaped, _)) = sys::reap() {
                if reaped == pid {
                    return;
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!(
                    "The process that workers were made from takes longer than {} s to end (on_exit, atexit), and is cut short.",
                    END.as_secs()
                );
                sys::send(pid, Signal::Kill);
                return;
            }
            sys::wait_readable(&[self.signals.as_fd()], Some(left));
            while self.signals.next().is_some() {}
        }
    }
}
