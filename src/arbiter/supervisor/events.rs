//! What the supervisor is told, and what it says is to be done.

use std::time::Duration;

use crate::settings::Level;

/// A process id.
pub type Pid = i32;

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Time passed, and there is nothing else to take in.
    Tick,
    /// A worker of this generation, which was asked for, runs under this id.
    Spawned(Pid, u64),
    /// The system would not start a worker of this generation.
    SpawnFailed(u64, String),
    /// What the workers of this generation are made from has failed.
    TemplateFailed(u64, Outcome),
    /// A worker has loaded its app and accepts connections.
    Booted(Pid),
    /// A worker asks for a successor: it has answered as many requests as it may (`max_requests`), or its code has changed
    /// (`reload`).
    Retires(Pid),
    /// A worker has been alive just now.
    Alive(Pid),
    /// A worker ended.
    Exited(Pid, Outcome),
    /// The configuration was read again for a reload: this many workers are wanted.
    Reconfigured(usize),
    /// One worker more (`TTIN`).
    Increase,
    /// One worker less (`TTOU`).
    Decrease,
    /// Stop in order (`TERM`).
    Stop,
    /// Stop at once (`QUIT`, or an `INT` behind another).
    Quit,
    /// Stop the workers but stay (`WINCH` of a daemon).
    Dismiss,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// Something to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Start a worker of this generation, and report [`Event::Spawned`].
    Spawn(u64),
    /// Ask a worker to finish what it does and end (`TERM`).
    Term(Pid),
    /// Ask a worker to end at once (`QUIT`).
    Quit(Pid),
    /// End a worker that does not listen (`KILL`).
    Kill(Pid),
    /// Say something in the error log.
    Log(Level, String),
    /// A generation serves: what belonged to the one before is not needed any more.
    Adopted(u64),
    /// A generation will never serve: what belongs to it is not needed any more.
    Abandoned(u64),
    /// The workers of a reload do not come to serve, for this reason, and those before it go on.
    ReloadFailed(&'static str),
    /// Another number of workers is wanted than before ([`Supervisor::wanted`](super::Supervisor::wanted)).
    Resized,
    /// End the arbiter with this exit code, for this reason if it is not 0.
    End(u8, &'static str),
}

/// How long things may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How long a worker may take to end in order.
    pub graceful_timeout: Duration,
    /// How long a worker may be silent; `None` for ever.
    pub timeout: Option<Duration>,
}
