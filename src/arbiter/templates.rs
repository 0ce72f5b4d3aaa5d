//! Templates: processes that have loaded what workers share, and make workers from it on command. Where the
//! configuration file has hooks, they call those that the server has.
//!
//! A template's worker is orphaned at once, and so becomes a child of the arbiter, which has asked the system for that.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::Pid;
use crate::{
    link::{Command, Commander},
    sys::{self, Signal},
};

/// The templates, by their generation.
#[derive(Debug, Default)]
pub struct Templates {
    all: BTreeMap<u64, Template>,
    /// Those that make no more workers and have not ended yet.
    leaving: BTreeMap<Pid, Leaving>,
}

#[derive(Debug)]
struct Leaving {
    /// It ends when there is none.
    commander: Option<Commander>,
    /// When it is killed.
    then: Duration,
}

#[derive(Debug)]
struct Template {
    pid: Pid,
    commander: Commander,
    ready: bool,
    /// The ages of workers that it shall make as soon as it is ready.
    wanted: VecDeque<u64>,
    /// How many workers it was asked for that have not come yet.
    owed: usize,
}

impl Templates {
    /// Asks the template of a generation for a worker of this age. False when there is none.
    pub fn spawn(&mut self, generation: u64, age: u64) -> bool {
        let Some(template) = self.all.get_mut(&generation) else { return false };
        template.wanted.push_back(age);
        template.owed += 1;
        template.order();
        true
    }

    /// Takes in a template that was started.
    pub fn insert(&mut self, generation: u64, pid: Pid, commander: Commander) {
        self.all.insert(generation, Template { pid, commander, ready: false, wanted: VecDeque::new(), owed: 0 });
    }

    /// A template can make workers now.
    pub fn ready(&mut self, pid: Pid) {
        if let Some(template) = self.all.values_mut().find(|template| template.pid == pid) {
            template.ready = true;
            template.order();
        }
    }

    /// A worker of this generation that was asked for has come, or will not.
    pub fn settled(&mut self, generation: u64) {
        if let Some(template) = self.all.get_mut(&generation) {
            template.owed = template.owed.saturating_sub(1);
        }
    }

    /// Tells the template of a generation, if there is one. One that is not ready yet will hear it then.
    pub fn tell(&self, generation: u64, command: Command) {
        if let Some(template) = self.all.get(&generation) {
            template.commander.tell(command);
        }
    }

    /// Tells all.
    pub fn tell_all(&self, command: impl Fn(u64) -> Command) {
        self.all.iter().for_each(|(generation, template)| template.commander.tell(command(*generation)));
    }

    /// The process of the template of a generation, if it is ready.
    pub fn pid(&self, generation: u64) -> Option<Pid> {
        self.all.get(&generation).filter(|template| template.ready).map(|template| template.pid)
    }

    /// A process ended. If it was a template, its generation, and whether it still owed a worker.
    pub fn exited(&mut self, pid: Pid) -> Option<(u64, bool)> {
        self.leaving.remove(&pid);
        let generation = *self.all.iter().find(|(_, template)| template.pid == pid)?.0;
        let template = self.all.remove(&generation)?;
        Some((generation, !template.ready || template.owed > 0))
    }

    /// Has no more workers made by the templates before this generation. One that has not ended then is killed: it may hang
    /// in a hook.
    pub fn keep_only(&mut self, generation: u64, then: Duration) {
        let kept = self.all.split_off(&generation);
        let old = std::mem::replace(&mut self.all, kept);
        let leaving = |template: Template| (template.pid, Leaving { commander: Some(template.commander), then });
        self.leaving.extend(old.into_values().map(leaving));
    }

    /// Lets go of those that make no more workers: they end when nobody can command them any more.
    pub fn let_go(&mut self) {
        self.leaving.values_mut().for_each(|leaving| leaving.commander = None);
    }

    /// When the next one is killed.
    pub fn due(&self) -> Option<Duration> {
        self.leaving.values().map(|leaving| leaving.then).min()
    }

    /// Kills those whose time is over.
    pub fn kill_late(&mut self, now: Duration) {
        self.leaving.retain(|pid, leaving| {
            let late = leaving.then <= now;
            if late {
                sys::send(*pid, Signal::Kill);
            }
            !late
        });
    }

    /// Ends the template of a generation that nobody waits for any more, also one that is still loading.
    pub fn remove(&mut self, generation: u64) {
        if let Some(template) = self.all.remove(&generation) {
            template.end();
        }
    }

    /// Ends all, also one that is still loading, but for that of `kept` if it is ready.
    pub fn end(&mut self, kept: u64) {
        self.kill_late(Duration::MAX);
        self.all.retain(|generation, template| {
            let keep = template.ready && kept == *generation;
            if !keep {
                template.end();
            }
            keep
        });
    }

    /// Lets go of all.
    pub fn clear(&mut self) {
        self.all.clear();
        self.leaving.clear();
    }
}

impl Template {
    /// Ends the process. While it loads, the app or the hooks may have something to do at `TERM`; once it is ready it
    /// disregards that, and the end of its commands too if it hangs in a hook.
    fn end(&self) {
        sys::send(self.pid, if self.ready { Signal::Kill } else { Signal::Term });
    }

    fn order(&mut self) {
        while self.ready
            && let Some(age) = self.wanted.pop_front()
        {
            self.commander.tell(Command::Spawn(age));
        }
    }
}
