//! What the arbiter keeps running, and what the processes that it starts do: all that it knows of either.

use std::path::{Path, PathBuf};

use super::{Limits, PidFile, upgrade};
use crate::{
    exit::Fatal,
    link::{Birth, Commands, Link},
    net::Listener,
};

/// What the arbiter keeps running.
pub struct Service<P> {
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
    /// What a worker, or a template of workers, does in a process of its own.
    pub program: P,
}

/// What processes do that the arbiter starts.
pub trait Program {
    /// Whether workers are made from a template.
    fn has_template(&self) -> bool;

    /// The hooks of those that serve. They are called in a template and in workers.
    fn hooks(&self) -> &[&'static str];

    /// Reads the configuration again. Workers that are started from now on go by it. Listeners that it wants are added;
    /// the workers that serve may still need those that it does not want.
    ///
    /// # Errors
    /// What is wrong with it; then nothing has changed.
    fn reload(&mut self, listeners: &mut Vec<Listener>) -> Result<(), Fatal>;

    /// The workers of the last reload serve (`adopted`), or never will, and the configuration before counts again.
    /// Listeners that nobody needs any more are closed.
    fn settle(&mut self, adopted: bool, listeners: &mut Vec<Listener>);

    /// What the configuration wants of the arbiter: that of the last reload, until it has failed.
    fn wanted(&self) -> Wanted<'_>;

    /// What the processes call themselves.
    fn name(&self) -> &str;

    /// Opens the files of the logs again, such that workers can do so too.
    fn reopen_logs(&self);

    /// Serves, in a process of its own. Returns its exit code.
    fn worker(self, listeners: Vec<Listener>, link: Link) -> u8;

    /// Loads what workers share, and does what it is told, which is to make workers above all: it returns in each of them
    /// too, with its exit code.
    fn template(self, birth: Birth, listeners: Vec<Listener>, link: Link, commands: Commands) -> u8;
}

/// What a configuration wants of the arbiter.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// How many workers.
    pub workers: usize,
    /// How long things may take.
    pub limits: Limits,
    /// Where the file with the arbiter's id is.
    pub pidfile: Option<&'a Path>,
    /// Whether the number of connections that wait is a metric.
    pub backlog_metric: bool,
}

/// How the arbiter ended.
pub enum Ended {
    /// This is the arbiter, and everything is over: its exit code.
    Arbiter(u8),
    /// This is a worker's process, which has done its work: its exit code.
    Worker(u8),
}
