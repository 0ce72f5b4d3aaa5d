//! Processes: starting, ending and waiting for them.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::kill,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid},
};

use super::Signal;

/// Ends the process at once: no destructor, no `atexit`, no wait for other threads.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit takes any status, and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Sets the mask of permissions that new files do not get, and returns the one before.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: umask cannot fail and touches no memory of ours.
    unsafe { libc::umask(mask) }
}

/// Makes reads and writes return instead of waiting.
///
/// # Errors
/// As `fcntl`.
pub fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Which of the two processes goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fork {
    /// The one that was there, with the id of the new one.
    Parent(i32),
    /// The new one.
    Child,
}

/// Splits the process in two.
///
/// # Errors
/// The system has no process to give.
///
/// # Panics
/// With more than one thread: a lock that another thread holds would stay locked in the new process for ever.
pub fn fork() -> io::Result<Fork> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert_eq!(threads, 1, "only a process with a single thread may fork");
    // SAFETY: this is the only thread, so the new process finds every lock free and all memory consistent.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw())),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Sends a signal to a process. One that is gone needs none.
pub fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal.into_nix());
}

/// Takes one child that has ended, ours or one that we inherited as process 1: its id, and its exit code or the signal
/// that ended it. `None` when there is none to take.
pub fn reap() -> Option<(i32, Result<i32, i32>)> {
    loop {
        return match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => Some((pid.as_raw(), Ok(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => Some((pid.as_raw(), Err(signal as i32))),
            Err(Errno::EINTR) | Ok(WaitStatus::Stopped(..) | WaitStatus::Continued(_)) => continue,
            Ok(_) | Err(_) => None,
        };
    }
}

/// Waits until one of these can be read, or the time is over.
pub fn wait_readable(descriptors: &[BorrowedFd<'_>], limit: Option<Duration>) {
    let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    // Rounded up, so that what is due then is due.
    let timeout = limit
        .map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit.as_millis() + 1).unwrap_or(PollTimeout::MAX));
    // An interruption is as good as the end of the time: the caller looks at what is there.
    let _ = poll(&mut polled, timeout);
}
