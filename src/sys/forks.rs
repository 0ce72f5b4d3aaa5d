//! Telling a process from what it was forked from.

use std::sync::{
    Once,
    atomic::{AtomicUsize, Ordering},
};

static FORKS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// How many forks lie between the process that first asked and this one; as cheap as reading a number.
pub fn forks() -> usize {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: `count` may run in a child that was just forked: it only adds to an atomic number. Without memory for
        // it no fork is noticed, which is no worse than not to ask.
        unsafe { libc::pthread_atfork(None, None, Some(count)) };
    });
    FORKS.load(Ordering::Relaxed)
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
