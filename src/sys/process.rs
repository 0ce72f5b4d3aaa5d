//! Processes: starting, ending and waiting for them.

use std::{
    ffi::{CStr, OsStr},
    io,
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    path::PathBuf,
    process::ExitStatus,
    ptr,
    sync::OnceLock,
};

use nix::{
    errno::Errno,
    sys::signal::{kill, killpg},
    unistd::{ForkResult, Pid, getpid, gettid},
};

use super::Signal;

/// Ends the process at once: no destructor, no `atexit`, no wait for other threads.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit takes any status, and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Whether this is the thread that the process began with.
pub fn is_main_thread() -> bool {
    gettid() == getpid()
}

/// Gives memory that was freed back to the system. The C library keeps most of it otherwise.
pub fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks, and touches only what is free.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The path that the kernel was told to run, which need not be what the program is called in its arguments.
pub fn executed() -> Option<PathBuf> {
    // SAFETY: getauxval only reads what the kernel gave the process.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    if address == 0 {
        return None;
    }
    // SAFETY: the kernel has put a null-terminated string there, which stays as long as the process.
    let path = unsafe { CStr::from_ptr(ptr::with_exposed_provenance(usize::try_from(address).ok()?)) };
    Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}

/// Sets the mask of permissions that new files do not get, and returns the one before.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: umask cannot fail and touches no memory of ours.
    unsafe { libc::umask(mask) }
}

/// Sets an environment variable.
///
/// # Panics
/// With more than one thread: another may be reading the environment. And for a name or value that no variable can have.
pub fn set_variable(name: &str, value: &str) {
    assert!(threads() <= 1, "only a process with a single thread may change its environment");
    // SAFETY: this is the only thread, so nothing reads the environment meanwhile.
    unsafe { std::env::set_var(name, value) }
}

/// Takes an environment variable away.
///
/// # Panics
/// As [`set_variable`].
pub fn remove_variable(name: &str) {
    assert!(threads() <= 1, "only a process with a single thread may change its environment");
    // SAFETY: this is the only thread, so nothing reads the environment meanwhile.
    unsafe { std::env::remove_var(name) }
}

/// Those of libraries that were loaded into the process before it began (`LD_PRELOAD`): an allocator's, say, which neither
/// hold locks of ours nor look at variables.
static FOREIGN: OnceLock<usize> = OnceLock::new();

/// Takes note of the threads that the process has at its begin beside its own.
pub fn note_foreign_threads() {
    FOREIGN.get_or_init(|| tasks().saturating_sub(1));
}

/// Whether there are such threads.
pub(super) fn has_foreign_threads() -> bool {
    FOREIGN.get().is_some_and(|count| *count > 0)
}

/// How many threads the process has, but those. One that is forked has no other than the one that forked.
pub(super) fn threads() -> usize {
    tasks().saturating_sub(FOREIGN.get().copied().unwrap_or_default())
}

fn tasks() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
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
    assert!(threads() <= 1, "only a process with a single thread may fork");
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

/// Ends a process group at once, and nothing else. One that is gone already is no error.
pub fn kill_group(leader: u32) {
    // 0 and 1 would mean other groups than the one that was asked for.
    if let Some(group) = i32::try_from(leader).ok().filter(|group| *group > 1) {
        let _ = killpg(Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Whether a process with this id lives, ours or not.
pub fn is_alive(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// Takes one child that has ended, ours or one that we inherited as process 1: its id, and its exit code or the signal
/// that ended it. `None` when there is none to take.
pub fn reap() -> Option<(i32, Result<i32, i32>)> {
    await_end(-1, libc::WNOHANG).ok().flatten()
}

/// Waits until this child ends: its exit code, or the signal that ended it.
pub(super) fn wait(pid: i32) -> io::Result<Result<i32, i32>> {
    let ended = await_end(pid, 0)?;
    ended.map(|(_, how)| how).ok_or_else(|| Errno::ECHILD.into())
}

/// waitpid(2). Not nix's: that knows no real-time signals, and so loses the end of a process by one.
fn await_end(pid: i32, options: i32) -> io::Result<Option<(i32, Result<i32, i32>)>> {
    let mut status = 0;
    loop {
        // SAFETY: writes the status into a place that is there for it.
        let pid = match Errno::result(unsafe { libc::waitpid(pid, &raw mut status, options) }) {
            Ok(0) => return Ok(None),
            Ok(pid) => pid,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let status = ExitStatus::from_raw(status);
        if let Some(how) = status.code().map(Ok).or(status.signal().map(Err)) {
            return Ok(Some((pid, how)));
        }
    }
}

/// Whether this process is killed when the thread that has made it ends (prctl(2), `PR_SET_PDEATHSIG`).
pub fn die_with_parent(die: bool) {
    // There is nothing in it that can fail.
    let _ = nix::sys::prctl::set_pdeathsig(die.then_some(nix::sys::signal::Signal::SIGKILL));
}

/// Makes this process the parent of its descendants whose own parent ends (prctl(2), `PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// As `prctl`.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}
