//! Telling a process from what it was forked from, and what a fork must leave in order.

use std::{
    cell::Cell,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction};

static FORKS: AtomicUsize = AtomicUsize::new(0);

/// The signals that a worker handles itself, but for ABRT, of which an app's faulthandler may know more.
const HANDLED: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1];

thread_local! {
    /// What this thread held back before it began to fork.
    static MASK: Cell<Option<SigSet>> = const { Cell::new(None) };
}

/// Holds signals back while this thread forks: one that comes before the child has let go of the handlers would be lost.
extern "C" fn prepare() {
    let mut before = SigSet::empty();
    let held = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&HANDLED.into_iter().collect()), Some(&mut before));
    // At the end of a thread there is no place to keep it.
    let _ = MASK.try_with(|mask| mask.set(held.is_ok().then_some(before)));
}

extern "C" fn go_on() {
    if let Ok(Some(before)) = MASK.try_with(Cell::take) {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
}

extern "C" fn begin() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in HANDLED {
        // SAFETY: a default action is no code.
        let before = unsafe { sigaction(signal, &default) };
        // The handlers wake a thread that this process does not have: nothing but KILL would end it. What is ignored stays so.
        if let Ok(before) = before
            && matches!(before.handler(), SigHandler::SigIgn)
        {
            // SAFETY: and so is this one.
            let _ = unsafe { sigaction(signal, &before) };
        }
    }
    go_on();
}

/// How many forks lie between the process that first asked and this one; as cheap as reading a number. From the first time
/// that it is asked on, signals have their default actions in processes that are forked.
pub fn forks() -> usize {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: `begin` may run in a child that was just forked: it adds to an atomic number, and makes system calls. Without
        // memory for it no fork is noticed, which is no worse than not to ask.
        unsafe { libc::pthread_atfork(Some(prepare), Some(go_on), Some(begin)) };
    });
    FORKS.load(Ordering::Relaxed)
}

/// Has `before` called before each fork, and `after` in both processes after it, on the thread that forks.
pub fn around_forks(before: extern "C" fn(), after: extern "C" fn()) {
    // SAFETY: what they do in a child that was just forked is their callers' to see to.
    unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
}

#[cfg(test)]
mod tests {
    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::{ForkResult, fork},
    };

    #[test]
    fn a_fork_counts_in_the_child_alone() {
        let before = super::forks();
        // SAFETY: the child does nothing but read a number and end.
        match unsafe { fork() }.expect("the system has a process to give") {
            ForkResult::Child => crate::sys::exit_now(u8::from(super::forks() != before + 1)),
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
                assert_eq!(super::forks(), before);
            }
        }
    }
}
