//! A new binary takes over while the old one serves (`USR2`): it is started with the listeners, and tells by its parent
//! when the old arbiter is gone.

use std::{
    env,
    ffi::OsString,
    io,
    os::fd::{AsRawFd as _, RawFd},
    path::PathBuf,
};

use super::{Arbiter, Pid, Program};
use crate::{net::Listener, sys};

/// Names the old arbiter to the new one (gunicorn).
const PARENT: &str = "GUNICORN_PID";

/// Lists the listeners' descriptors, separated by commas (gunicorn).
const LISTENERS: &str = "GUNICORN_FD";

/// Lists what the settings call these listeners, as JSON: null for one that systemd has passed. The new program's
/// settings may be others than the old one's.
const NAMES: &str = "RWSGI_UPGRADE_BINDS";

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
    pub fn start(&self, listeners: &[Listener]) -> io::Result<i32> {
        let Some((program, args)) = self.args.split_first() else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the program's own name is not known"));
        };
        let descriptors: Vec<_> = listeners.iter().map(Listener::descriptor).collect();
        let numbers: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd().to_string()).collect();
        let names: Vec<_> = listeners.iter().map(Listener::name).collect();
        let mut command = std::process::Command::new(program);
        command
            .args(args)
            .current_dir(&self.directory)
            .env(PARENT, std::process::id().to_string())
            .env(LISTENERS, numbers.join(","))
            .env(NAMES, serde_json::to_string(&names)?);
        let child = sys::spawn_with(command, &descriptors)?;
        i32::try_from(child.id()).map_err(io::Error::other)
    }
}

/// What a new arbiter was given by the old one.
#[derive(Debug, Eq, PartialEq)]
pub struct Inherited {
    /// The old arbiter, which may be gone by now.
    pub parent: u32,
    /// The listeners' descriptors, each with what the settings called it; nothing where systemd had passed it.
    pub listeners: Vec<(RawFd, Option<String>)>,
}

/// What the old arbiter gave this one, if there is one. It is told once: it is not for workers. To be called while there
/// is one thread.
pub fn inherited() -> Option<Inherited> {
    let [parent, listeners, names] = [PARENT, LISTENERS, NAMES].map(|name| {
        let value = env::var(name).ok();
        sys::remove_variable(name);
        value
    });
    parse(&parent?, &listeners?, &names?)
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
            self.alone_again();
            self.promoted();
        }
    }

    /// The successor has ended.
    pub(super) fn successor_ended(&mut self, pid: Pid) {
        self.successor = None;
        tracing::warn!("The new binary's arbiter (pid: {pid}) has ended. This one goes on serving.");
        self.alone_again();
    }

    /// Whether another arbiter listens at the same sockets.
    pub(super) fn shares_sockets(&self) -> bool {
        self.successor.is_some() || self.service.predecessor.is_some()
    }

    /// Nobody else listens at the sockets any more, so that their files go with this arbiter.
    fn alone_again(&mut self) {
        if !self.shares_sockets() {
            self.service.listeners.iter_mut().for_each(Listener::own_file);
        }
    }

    /// What gunicorn calls an arbiter.
    pub(super) fn called(&self) -> &'static str {
        if self.service.predecessor.is_some() { "Master.2" } else { "Master" }
    }

    /// Starts the new binary beside this one, after the hook for that.
    pub(super) fn upgrade(&mut self) {
        if let Some(pid) = self.successor {
            tracing::warn!("USR2 signal ignored. Child exists (pid: {pid}). End that arbiter or this one first.");
        } else if let Some(pid) = self.service.predecessor {
            tracing::warn!("USR2 signal ignored. Parent exists (pid: {pid}). End that arbiter or this one first.");
        } else if self.is_upgrading() {
            tracing::warn!("USR2 signal ignored. An upgrade is under way already.");
        } else if !self.call_pre_exec() {
            self.start_successor();
        }
    }

    pub(super) fn start_successor(&mut self) {
        match self.service.command.start(&self.service.listeners) {
            Ok(pid) => {
                self.successor = Some(pid);
                self.service.listeners.iter_mut().for_each(Listener::keep_file);
            }
            Err(error) => tracing::error!("The new binary could not be started: {error}. This one goes on serving."),
        }
    }
}

fn parse(parent: &str, listeners: &str, names: &str) -> Option<Inherited> {
    let parent = parent.parse().ok()?;
    let names: Vec<Option<String>> = serde_json::from_str(names).ok()?;
    let listeners: Vec<RawFd> = listeners.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    (names.len() == listeners.len())
        .then(|| Inherited { parent, listeners: listeners.into_iter().zip(names).collect() })
}

#[cfg(test)]
mod tests {
    use super::{Inherited, parse};

    #[test]
    fn listeners_are_inherited_with_what_the_settings_call_them() {
        let listeners = vec![(3, Some("unix:a,b".to_owned())), (4, None)];
        assert_eq!(parse("7", "3,4", r#"["unix:a,b",null]"#), Some(Inherited { parent: 7, listeners }));
        assert_eq!(parse("7", "3,x", r#"["a","b"]"#), None);
        assert_eq!(parse("7", "3", r#"["a","b"]"#), None);
    }
}
