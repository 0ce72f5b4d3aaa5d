//! What an arbiter tells a template: a few bytes each, through a pipe that nobody else has.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;

use crate::sys;

/// Something for a template to do. Without hooks it only ever makes workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// Make a worker, of this age: the how manieth it is of this arbiter's.
    Spawn(u64),
    /// A worker runs: its id and its age.
    Made(i32, u64),
    /// A worker has ended, and another template calls the hook for it.
    Forget(i32),
    /// A worker has ended: call `child_exit`.
    ChildExit(i32),
    /// So many workers are wanted, and before it were so many: call `nworkers_changed`.
    Resized(usize, usize),
    /// The template before this one and its workers have ended: call `when_ready`, for what that set up has ended too.
    Follow,
    /// Call `pre_exec`, and report.
    PreExec,
    /// Open the logs again.
    Reopen,
    /// Let go of the listeners: the server stops.
    Close,
    /// Call `on_exit`, and end.
    End,
}

/// A command is its number, of one byte, and what it needs, of eight each. Pipes keep writes of this size in one piece.
const SIZE: usize = 17;

impl Command {
    fn encode(self) -> [u8; SIZE] {
        let wide = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let age = |age: u64| i64::try_from(age).unwrap_or(i64::MAX);
        let (number, first, second) = match self {
            Self::Spawn(which) => (1, age(which), 0),
            Self::Made(pid, which) => (2, pid.into(), age(which)),
            Self::Forget(pid) => (3, pid.into(), 0),
            Self::ChildExit(pid) => (4, pid.into(), 0),
            Self::Resized(now, before) => (5, wide(now), wide(before)),
            Self::PreExec => (6, 0, 0),
            Self::Reopen => (7, 0, 0),
            Self::Close => (8, 0, 0),
            Self::End => (9, 0, 0),
            Self::Follow => (10, 0, 0),
        };
        let mut bytes = [number; SIZE];
        bytes[1..9].copy_from_slice(&first.to_ne_bytes());
        bytes[9..].copy_from_slice(&second.to_ne_bytes());
        bytes
    }

    fn decode(bytes: [u8; SIZE]) -> Option<Self> {
        let [number, numbers @ ..] = bytes;
        let wide = |at: usize| numbers[at..at + 8].try_into().map_or(0, i64::from_ne_bytes);
        let pid = || i32::try_from(wide(0)).ok();
        let count = |at| usize::try_from(wide(at)).unwrap_or_default();
        let age = |at| u64::try_from(wide(at)).unwrap_or_default();
        Some(match number {
            1 => Self::Spawn(age(0)),
            2 => Self::Made(pid()?, age(8)),
            3 => Self::Forget(pid()?),
            4 => Self::ChildExit(pid()?),
            5 => Self::Resized(count(0), count(8)),
            6 => Self::PreExec,
            7 => Self::Reopen,
            8 => Self::Close,
            9 => Self::End,
            10 => Self::Follow,
            _ => return None,
        })
    }
}

/// The arbiter's end of a line of commands.
#[derive(Debug)]
pub struct Commander(PipeWriter);

impl Commander {
    /// Tells the template. One that is gone is noticed when it is reaped; one that is thousands of commands behind hangs
    /// in a hook, and the arbiter must not hang with it.
    pub fn tell(&self, command: Command) {
        let _ = (&self.0).write_all(&command.encode());
    }
}

/// A template's end.
#[derive(Debug)]
pub struct Commands(PipeReader);

impl Commands {
    /// A line of commands.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new() -> io::Result<(Commander, Self)> {
        let (reader, writer) = io::pipe()?;
        sys::set_nonblocking(writer.as_fd())?;
        Ok((Commander(writer), Self(reader)))
    }

    /// Waits for a command; `None` when there are no more to come.
    pub fn wait(&mut self) -> Option<Command> {
        let mut bytes = [0; SIZE];
        self.0.read_exact(&mut bytes).ok()?;
        Command::decode(bytes)
    }
}

/// Why there is a template, for its hooks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Birth {
    /// Which hooks it calls before it makes workers.
    pub reason: Reason,
    /// How many workers are wanted.
    pub size: usize,
    /// The workers that run, by their ids, with their ages.
    pub running: Vec<(i32, u64)>,
    /// The arbiter.
    pub arbiter: u32,
    /// The arbiter that this one takes over from.
    pub predecessor: Option<u32>,
}

/// What a template is the first for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The server starts.
    Start,
    /// The configuration was read again; so many workers were wanted before.
    Reload(usize),
    /// The template before it of the same configuration was lost.
    Again,
}

#[cfg(test)]
mod tests {
    use super::{Command, Commands};

    #[test]
    fn commands_arrive_in_order_with_what_they_need() {
        let sent = [
            Command::Spawn(7),
            Command::Made(12, 7),
            Command::Forget(12),
            Command::ChildExit(13),
            Command::Resized(3, 2),
            Command::PreExec,
            Command::Reopen,
            Command::Close,
            Command::Follow,
            Command::Spawn(1 << 40),
            Command::End,
        ];
        let (commander, mut commands) = Commands::new().expect("descriptors");
        for command in sent {
            commander.tell(command);
        }
        drop(commander);
        let received: Vec<_> = std::iter::from_fn(|| commands.wait()).collect();
        assert_eq!(received, sent);
    }

    #[test]
    fn a_template_that_hangs_does_not_hold_up_its_arbiter() {
        let (commander, _commands) = Commands::new().expect("descriptors");
        for _ in 0..10_000 {
            commander.tell(Command::Reopen);
        }
    }
}
