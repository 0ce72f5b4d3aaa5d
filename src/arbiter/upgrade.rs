//! A new binary takes over while the old one serves (`USR2`): it is started with the listeners, and tells by its parent
//! when the old arbiter is gone.

use std::{
    env,
    ffi::OsString,
    io,
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
    path::PathBuf,
};

use super::{Arbiter, Program};
use crate::{net::Listener, sys};

/// Names the old arbiter to the new one.
const PARENT: &str = "RWSGI_UPGRADE_PID";

/// Lists the listeners' descriptors, separated by commas.
const LISTENERS: &str = "RWSGI_UPGRADE_FDS";

/// How this program was started, to start its successor the same way.
#[derive(Debug)]
pub struct Command {
    /// The program's name and its arguments.
    pub args: Vec<OsString>,
    /// The working directory at the start.
    pub directory: PathBuf,
}

impl Command {
    /// Starts the successor, and returns its id.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(&self, listeners: &[BorrowedFd<'_>]) -> io::Result<i32> {
        let Some((program, args)) = self.args.split_first() else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the program's own name is not known"));
        };
        let numbers: Vec<_> = listeners.iter().map(|listener| listener.as_raw_fd().to_string()).collect();
        let mut command = std::process::Command::new(program);
        command
            .args(args)
            .current_dir(&self.directory)
            .env(PARENT, std::process::id().to_string())
            .env(LISTENERS, numbers.join(","));
        let child = sys::spawn_with(command, listeners)?;
        i32::try_from(child.id()).map_err(io::Error::other)
    }
}

/// What a new arbiter was given by the old one.
#[derive(Debug, Eq, PartialEq)]
pub struct Inherited {
    /// The old arbiter.
    pub parent: u32,
    /// The listeners' descriptors.
    pub listeners: Vec<RawFd>,
}

/// What the old arbiter gave this one, if there is one. The descriptors are named once: they are not for workers.
pub fn inherited() -> Option<Inherited> {
    parse(&env::var(PARENT).ok()?, &env::var(LISTENERS).ok()?, std::os::unix::process::parent_id())
}

impl<P: Program> Arbiter<P> {
    /// Looks whether the predecessor is gone: then this is the only arbiter.
    pub(super) fn look_for_predecessor(&mut self) {
        if self.service.predecessor.is_some_and(|pid| pid != std::os::unix::process::parent_id()) {
            self.service.predecessor = None;
            tracing::info!("Master has been promoted.");
            if let Some((file, path)) = &mut self.service.pidfile {
                file.rename(path);
            }
        }
    }

    /// Starts the new binary beside this one, after the hook for that.
    pub(super) fn upgrade(&mut self) {
        if let Some(pid) = self.successor {
            tracing::warn!("An upgrade is under way already (pid: {pid}). End that arbiter or this one first.");
        } else if self.is_upgrading() {
            tracing::warn!("An upgrade is under way already.");
        } else if !self.call_pre_exec() {
            self.start_successor();
        }
    }

    pub(super) fn start_successor(&mut self) {
        let listeners: Vec<_> = self.service.listeners.iter().map(Listener::descriptor).collect();
        match self.service.command.start(&listeners) {
            Ok(pid) => self.successor = Some(pid),
            Err(error) => tracing::error!("The new binary could not be started: {error}. This one goes on serving."),
        }
    }
}

fn parse(parent: &str, listeners: &str, actual_parent: u32) -> Option<Inherited> {
    // Variables that leaked from further up mean nothing.
    let parent = parent.parse().ok().filter(|parent| *parent == actual_parent)?;
    let listeners = listeners.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    Some(Inherited { parent, listeners })
}

#[cfg(test)]
mod tests {
    use super::{Inherited, parse};

    #[test]
    fn only_what_comes_from_the_parent_is_inherited() {
        assert_eq!(parse("7", "3,4", 7), Some(Inherited { parent: 7, listeners: vec![3, 4] }));
        assert_eq!(parse("7", "3,4", 8), None);
        assert_eq!(parse("7", "3,x", 7), None);
    }
}
