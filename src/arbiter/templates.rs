//! Templates: processes that have loaded what workers share, and make workers from it on command.
//!
//! A template's worker is orphaned at once, and so becomes a child of the arbiter, which has asked the system for that.

use std::{
    collections::BTreeMap,
    io::{self, PipeReader, PipeWriter, Write as _},
};

use super::Pid;
use crate::sys::{self, Signal};

/// The command to make a worker.
pub const SPAWN: u8 = b'S';

/// The templates, by their generation.
#[derive(Debug, Default)]
pub struct Templates {
    all: BTreeMap<u64, Template>,
}

#[derive(Debug)]
struct Template {
    pid: Pid,
    commands: PipeWriter,
    ready: bool,
    /// Workers that it shall make as soon as it is ready.
    wanted: usize,
}

impl Templates {
    /// Asks the template of a generation for a worker. False when there is none.
    pub fn spawn(&mut self, generation: u64) -> bool {
        let Some(template) = self.all.get_mut(&generation) else { return false };
        template.wanted += 1;
        template.order();
        true
    }

    /// Takes in a template that was started.
    pub fn insert(&mut self, generation: u64, pid: Pid, commands: PipeWriter) {
        self.all.insert(generation, Template { pid, commands, ready: false, wanted: 0 });
    }

    /// A template can make workers now.
    pub fn ready(&mut self, pid: Pid) {
        if let Some(template) = self.all.values_mut().find(|template| template.pid == pid) {
            template.ready = true;
            template.order();
        }
    }

    /// A process ended. Whether it was a template that still owed a worker.
    pub fn exited(&mut self, pid: Pid) -> Option<bool> {
        let generation = *self.all.iter().find(|(_, template)| template.pid == pid)?.0;
        let template = self.all.remove(&generation)?;
        Some(!template.ready || template.wanted > 0)
    }

    /// Lets go of the templates of other generations: they end when nobody can command them any more.
    pub fn keep_only(&mut self, generation: u64) {
        self.all.retain(|other, _| *other >= generation);
    }

    /// Ends the template of a generation that nobody waits for any more, also one that is still loading.
    pub fn remove(&mut self, generation: u64) {
        if let Some(template) = self.all.remove(&generation) {
            sys::send(template.pid, Signal::Term);
        }
    }

    /// Ends all, also one that is still loading.
    pub fn end(&mut self) {
        for template in self.all.values() {
            sys::send(template.pid, Signal::Term);
        }
        self.clear();
    }

    /// Lets go of all.
    pub fn clear(&mut self) {
        self.all.clear();
    }
}

impl Template {
    fn order(&mut self) {
        while self.ready && self.wanted > 0 {
            // A template that is gone is noticed when it is reaped.
            let _ = self.commands.write_all(&[SPAWN]);
            self.wanted -= 1;
        }
    }
}

/// A template's end of the line of commands.
#[derive(Debug)]
pub struct Commands(PipeReader);

impl Commands {
    /// A line of commands.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new() -> io::Result<(PipeWriter, Self)> {
        let (reader, writer) = io::pipe()?;
        Ok((writer, Self(reader)))
    }

    /// Waits for a command; `None` when there are no more to come.
    pub fn wait(&mut self) -> Option<u8> {
        use io::Read as _;
        let mut command = [0];
        self.0.read_exact(&mut command).ok().map(|()| command[0])
    }
}
