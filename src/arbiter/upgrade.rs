//! A new binary takes over while the old one serves (`USR2`): it is started with the listeners, and tells by its parent
//! when the old arbiter is gone.

use std::{
    env,
    ffi::OsString,
    io,
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
    path::PathBuf,
};

use crate::sys;

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
