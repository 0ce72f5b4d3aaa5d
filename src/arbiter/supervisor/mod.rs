//! What the arbiter does next, as plain data: an event goes in, actions come out.
//!
//! No process is started and no signal sent here; time is what the caller says it is.

mod ends;
mod events;

use std::{collections::BTreeMap, time::Duration};

pub use events::{Action, Event, Limits, Outcome, Pid};

use self::ends::killed;
use crate::settings::Level;

/// A worker ends itself when its time is over, to end or to boot, and says so; it is killed when it does not within this
/// time.
const MARGIN: Duration = Duration::from_secs(1);

/// How long a worker that was told to quit at once may take.
const QUICK: Duration = Duration::from_secs(2);

const DISMISSED: &str = "The reload failed: the workers were told to go before the new ones served. Send HUP for workers with \
                         the new configuration, or TTIN for one with the old.";

/// How an arbiter ends that was told to.
const IN_ORDER: Option<(u8, &str)> = Some((0, ""));

/// What is known of the workers, and what is wanted.
#[derive(Debug)]
pub struct Supervisor {
    workers: BTreeMap<Pid, Worker>,
    size: usize,
    /// How many workers were wanted before the reload that has to prove itself.
    size_before: usize,
    limits: Limits,
    /// The generation that serves.
    generation: u64,
    /// The generation of a reload that has to prove itself.
    candidate: Option<u64>,
    next_generation: u64,
    /// The generation of a worker that was asked for and has no id yet.
    spawning: Option<u64>,
    /// Whether any worker has ever served: before that, a failure to boot ends the arbiter.
    has_served: bool,
    failures: u32,
    not_before: Duration,
    stopping: Option<Stopping>,
    age: u64,
}

#[derive(Debug)]
struct Worker {
    generation: u64,
    age: u64,
    state: State,
    /// Asked to be replaced before it served: new code came while it loaded the old.
    retires: bool,
    seen: Duration,
    /// What it goes by itself: those of the configuration that it was made with.
    limits: Limits,
}

impl Worker {
    /// It is told to end now, and killed when it has not.
    fn ending(&self, now: Duration) -> State {
        State::Ending(now + self.limits.graceful_timeout + MARGIN)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Booting,
    Serving,
    /// Serving, and to be replaced.
    Retiring,
    /// Told to end; killed at this time.
    Ending(Duration),
    /// `silent` when that was because it never served.
    Killed {
        silent: bool,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stopping {
    /// With which exit code, and why; `None` while the arbiter stays (`WINCH`).
    end: Option<(u8, &'static str)>,
}

impl Supervisor {
    /// Wants `size` workers.
    pub fn new(size: usize, limits: Limits) -> Self {
        Self {
            workers: BTreeMap::new(),
            size,
            size_before: size,
            limits,
            generation: 1,
            candidate: None,
            next_generation: 2,
            spawning: None,
            has_served: false,
            failures: 0,
            not_before: Duration::ZERO,
            stopping: None,
            age: 0,
        }
    }

    /// The ids of all workers.
    pub fn pids(&self) -> impl Iterator<Item = Pid> + '_ {
        self.workers.keys().copied()
    }

    /// How many workers there are of those that serve, or are to, and that were not told to end.
    pub fn active(&self) -> usize {
        self.active_of(self.generation)
    }

    fn active_of(&self, generation: u64) -> usize {
        self.count(generation, |state| matches!(state, State::Booting | State::Serving | State::Retiring))
    }

    /// How many workers are wanted.
    pub fn wanted(&self) -> usize {
        if self.is_dismissed() { 0 } else { self.size }
    }

    /// Sets how long things may take for the workers that come from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes an event at a time since the start, and says what to do.
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        self.take(event, now, &mut actions);
        self.settle(now, &mut actions);
        actions
    }

    /// When the next thing is due without an event.
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        let ends = self.workers.values().filter_map(|worker| match worker.state {
            State::Ending(at) => Some(at),
            State::Booting => Some(worker.seen + worker.limits.timeout? + MARGIN),
            State::Serving | State::Retiring => Some(worker.seen + worker.limits.timeout?),
            State::Killed { .. } => None,
        });
        let pause = (self.not_before > now).then_some(self.not_before);
        ends.chain(pause).min()
    }

    fn take(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => self.kill_the_stuck(now, actions),
            Event::Spawned(pid, generation) => {
                self.forget_spawning(generation);
                self.age += 1;
                let (age, limits) = (self.age, self.limits);
                let worker = Worker { generation, age, state: State::Booting, retires: false, seen: now, limits };
                self.workers.insert(pid, worker);
                if generation != self.generation && self.candidate != Some(generation) {
                    // A reload has taken the place of the one that it was for.
                    self.end_generation(generation, now, actions);
                }
            }
            Event::SpawnFailed(generation, reason) => {
                self.forget_spawning(generation);
                self.fail(now, actions, &format!("A worker could not be started: {reason}."));
            }
            Event::TemplateFailed(generation, outcome) => {
                self.forget_spawning(generation);
                if let Outcome::Signal(signal) = outcome {
                    actions.push(killed("The process that workers are made from", signal));
                }
                self.boot_failed(generation, outcome, now, actions);
            }
            Event::Booted(pid) => {
                if let Some(worker) = self.workers.get_mut(&pid)
                    && worker.state == State::Booting
                {
                    worker.state = if worker.retires { State::Retiring } else { State::Serving };
                    worker.seen = now;
                    self.has_served = true;
                    self.failures = 0;
                }
            }
            Event::Alive(pid) => {
                if let Some(worker) = self.workers.get_mut(&pid) {
                    worker.seen = now;
                }
            }
            Event::Retires(pid) => {
                match self.workers.get_mut(&pid) {
                    Some(worker) if worker.state == State::Serving => worker.state = State::Retiring,
                    Some(worker) if worker.state == State::Booting => worker.retires = true,
                    // It asks again, because of new code (--reload): its successor may be able to boot now. One that boots
                    // may have loaded what was there before.
                    Some(worker) if worker.state == State::Retiring => {
                        (self.failures, self.not_before) = (0, now);
                        let generation = worker.generation;
                        let peers = self.workers.values_mut().filter(|peer| peer.generation == generation);
                        peers.filter(|peer| peer.state == State::Booting).for_each(|peer| peer.retires = true);
                    }
                    _ => {}
                }
            }
            Event::Exited(pid, outcome) => self.exited(pid, outcome, now, actions),
            Event::Reconfigured(size) => {
                if self.candidate.is_none() {
                    self.size_before = self.size;
                }
                self.size = size;
                self.recall();
                // A reload that comes while another proves itself takes its place.
                if let Some(candidate) = self.candidate.take() {
                    self.end_generation(candidate, now, actions);
                    actions.push(Action::Abandoned(candidate));
                }
                // A worker that never comes, because a hook hangs, does not hold up those that may mend it.
                self.spawning = None;
                self.candidate = Some(self.next_generation);
                self.next_generation += 1;
                self.failures = 0;
                self.not_before = now;
            }
            // Meant for whichever workers go on.
            Event::Increase => {
                self.size_before += 1;
                self.resize(self.wanted() + 1, actions);
            }
            Event::Decrease => {
                if self.wanted() > 1 {
                    self.size_before = self.size_before.saturating_sub(1).max(1);
                    self.resize(self.size - 1, actions);
                }
            }
            Event::Stop => self.stop(IN_ORDER, false, now, actions),
            Event::Quit => self.stop(IN_ORDER, true, now, actions),
            Event::Dismiss => {
                self.stop(None, false, now, actions);
                actions.push(Action::Resized);
            }
        }
    }

    /// No worker of this generation is waited for any more.
    fn forget_spawning(&mut self, generation: u64) {
        if self.spawning == Some(generation) {
            self.spawning = None;
        }
    }

    fn resize(&mut self, size: usize, actions: &mut Vec<Action>) {
        self.size = size;
        self.recall();
        actions.push(Action::Resized);
    }

    /// Whether the arbiter stays without workers.
    fn is_dismissed(&self) -> bool {
        self.stopping.is_some_and(|stopping| stopping.end.is_none())
    }

    /// Workers are wanted again.
    fn recall(&mut self) {
        if self.is_dismissed() {
            self.stopping = None;
        }
    }

    fn stop(&mut self, end: Option<(u8, &'static str)>, quick: bool, now: Duration, actions: &mut Vec<Action>) {
        // What it ends for first counts.
        let end = self.stopping.and_then(|stopping| stopping.end).or(end);
        self.stopping = Some(Stopping { end });
        if let Some(candidate) = self.candidate.take()
            && end.is_none()
        {
            // Whoever wants workers again has those that have served.
            self.size = self.size_before;
            actions.push(Action::Abandoned(candidate));
            actions.push(Action::ReloadFailed(DISMISSED));
        }
        // One that still comes is ended then, or ends itself when there is no arbiter any more.
        self.spawning = None;
        for (pid, worker) in &mut self.workers {
            match worker.state {
                State::Killed { .. } => {}
                _ if quick => {
                    worker.state = State::Ending(now + QUICK);
                    actions.push(Action::Quit(*pid));
                }
                State::Ending(_) => {}
                _ => {
                    worker.state = worker.ending(now);
                    actions.push(Action::Term(*pid));
                }
            }
        }
    }

    fn end_generation(&mut self, generation: u64, now: Duration, actions: &mut Vec<Action>) {
        for (pid, worker) in self.workers.iter_mut().filter(|(_, worker)| worker.generation == generation) {
            if !matches!(worker.state, State::Ending(_) | State::Killed { .. }) {
                worker.state = worker.ending(now);
                actions.push(Action::Term(*pid));
            }
        }
    }

    /// Brings what is towards what is wanted.
    fn settle(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let Some(Stopping { end }) = self.stopping {
            // A worker that was asked for just before the stop has no id yet; it is ended as soon as it has one.
            for (pid, worker) in &mut self.workers {
                if matches!(worker.state, State::Booting | State::Serving | State::Retiring) {
                    worker.state = worker.ending(now);
                    actions.push(Action::Term(*pid));
                }
            }
            if self.workers.is_empty()
                && self.spawning.is_none()
                && let Some((code, reason)) = end
            {
                actions.push(Action::End(code, reason));
            }
            return;
        }
        if let Some(candidate) = self.candidate {
            if self.serving(candidate) >= self.size {
                self.candidate = None;
                let before = std::mem::replace(&mut self.generation, candidate);
                self.forget_spawning(before);
                actions.push(Action::Adopted(candidate));
                let old: Vec<u64> =
                    self.workers.values().map(|worker| worker.generation).filter(|other| *other <= before).collect();
                for generation in old {
                    self.end_generation(generation, now, actions);
                }
            } else {
                self.spawn_up_to(candidate, self.size, now, actions);
                return;
            }
        }
        let generation = self.generation;
        // One worker that retires is replaced at a time, its successor ready before it goes.
        let retiring = self.oldest(generation, State::Retiring);
        let wanted = self.size + usize::from(retiring.is_some());
        self.spawn_up_to(generation, wanted, now, actions);
        if self.serving(generation) > self.size
            && let Some(surplus) = retiring.or_else(|| self.oldest(generation, State::Serving))
        {
            if let Some(worker) = self.workers.get_mut(&surplus) {
                worker.state = worker.ending(now);
                actions.push(Action::Term(surplus));
            }
            // There may be more than one too many.
            self.settle(now, actions);
        }
    }

    /// Only when everything else has been taken in: what the others had to say may have waited while the arbiter was at
    /// something.
    fn kill_the_stuck(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (pid, worker) in &mut self.workers {
            let (due, silent) = match worker.state {
                State::Ending(at) => (at <= now, false),
                State::Killed { .. } => (false, false),
                State::Booting => {
                    (worker.limits.timeout.is_some_and(|timeout| worker.seen + timeout + MARGIN <= now), true)
                }
                State::Serving | State::Retiring => {
                    (worker.limits.timeout.is_some_and(|timeout| worker.seen + timeout <= now), true)
                }
            };
            if due {
                if silent {
                    actions.push(Action::Log(Level::Critical, format!("WORKER TIMEOUT (pid:{pid})")));
                }
                worker.state = State::Killed { silent: worker.state == State::Booting };
                actions.push(Action::Kill(*pid));
            }
        }
    }

    fn spawn_up_to(&mut self, generation: u64, wanted: usize, now: Duration, actions: &mut Vec<Action>) {
        let there = self.active_of(generation);
        if there < wanted && self.spawning.is_none() && self.not_before <= now {
            self.spawning = Some(generation);
            actions.push(Action::Spawn(generation));
        }
    }

    /// One that is to be replaced serves as well as the others.
    fn serving(&self, generation: u64) -> usize {
        self.count(generation, |state| matches!(state, State::Serving | State::Retiring))
    }

    fn count(&self, generation: u64, is: impl Fn(State) -> bool) -> usize {
        self.workers.values().filter(|worker| worker.generation == generation && is(worker.state)).count()
    }

    fn oldest(&self, generation: u64, state: State) -> Option<Pid> {
        let candidates =
            self.workers.iter().filter(|(_, worker)| worker.generation == generation && worker.state == state);
        candidates.min_by_key(|(_, worker)| worker.age).map(|(pid, _)| *pid)
    }
}

#[cfg(test)]
mod tests;
