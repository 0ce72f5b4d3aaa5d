//! Work in a process of its own, so that what goes wrong there costs nothing here.

use std::{
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use nix::sys::{
    prctl::set_pdeathsig,
    signal::{SigSet, SigmaskHow, Signal as NixSignal, sigprocmask},
};

use super::{Fork, Signal, exit_now, fork, process::wait, send, wait_readable};

/// How many bytes say how many the result has.
const LENGTH: usize = size_of::<u64>();

/// How work in another process ended.
#[derive(Debug, Eq, PartialEq)]
pub enum Apart {
    /// With this result.
    Done(Vec<u8>),
    /// Without one: it left with this exit code, or a signal ended it.
    Died(Result<i32, i32>),
    /// It took longer than it may, and has been ended.
    TooLong,
}

/// Does `work` in a new process and returns its result, which goes through a pipe. Like [`fork`] it needs a process with
/// a single thread.
///
/// # Errors
/// The system has no process or descriptor to give.
pub fn run_apart(limit: Option<Duration>, work: impl FnOnce() -> Vec<u8>) -> io::Result<Apart> {
    let (mut reader, mut writer) = io::pipe()?;
    let this = std::process::id();
    let pid = match fork()? {
        Fork::Parent(pid) => pid,
        Fork::Child => {
            drop(reader);
            // An arbiter holds its signals back; this process shall end by them.
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
            // Nobody waits for it when the other is gone.
            let _ = set_pdeathsig(NixSignal::SIGKILL);
            if nix::unistd::getppid().as_raw().cast_unsigned() != this {
                exit_now(1);
            }
            let done = catch_unwind(AssertUnwindSafe(work)).is_ok_and(|result| {
                let length = (result.len() as u64).to_le_bytes();
                writer.write_all(&length).and_then(|()| writer.write_all(&result)).is_ok()
            });
            exit_now(u8::from(!done));
        }
    };
    drop(writer);
    let end = limit.map(|limit| Instant::now() + limit);
    let mut result = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            send(pid, Signal::Kill);
            let _ = wait(pid);
            return Ok(Apart::TooLong);
        }
        if !wait_readable(&[reader.as_fd()], left) {
            continue;
        }
        match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(size) => result.extend_from_slice(&piece[..size]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        // Not until the pipe closes: what the work has started may have it open for longer.
        if let Some((length, rest)) = result.split_first_chunk()
            && rest.len() as u64 >= u64::from_le_bytes(*length)
        {
            break;
        }
    }
    Ok(match wait(pid)? {
        // Work may end its process with this code before it has a result.
        Ok(0) => Apart::Done(result.split_off(LENGTH.min(result.len()))),
        died => Apart::Died(died),
    })
}
