//! Signals as something to read, in order, instead of something that interrupts.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, PoisonError},
};

use nix::sys::{
    signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal as NixSignal, sigaction, sigprocmask},
    signalfd::{SfdFlags, SignalFd},
};

use super::{forks, process::has_foreign_threads};

/// The signals that mean something to rwsgi.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Signal {
    Chld,
    Hup,
    Int,
    Kill,
    Quit,
    Term,
    Ttin,
    Ttou,
    Usr1,
    Usr2,
    Winch,
}

const ALL: [(Signal, NixSignal, &str); 11] = [
    (Signal::Chld, NixSignal::SIGCHLD, "chld"),
    (Signal::Hup, NixSignal::SIGHUP, "hup"),
    (Signal::Int, NixSignal::SIGINT, "int"),
    (Signal::Kill, NixSignal::SIGKILL, "kill"),
    (Signal::Quit, NixSignal::SIGQUIT, "quit"),
    (Signal::Term, NixSignal::SIGTERM, "term"),
    (Signal::Ttin, NixSignal::SIGTTIN, "ttin"),
    (Signal::Ttou, NixSignal::SIGTTOU, "ttou"),
    (Signal::Usr1, NixSignal::SIGUSR1, "usr1"),
    (Signal::Usr2, NixSignal::SIGUSR2, "usr2"),
    (Signal::Winch, NixSignal::SIGWINCH, "winch"),
];

impl Signal {
    /// Its name as gunicorn logs it.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(signal, ..)| *signal == self).map_or("", |(.., name)| name)
    }

    pub(super) fn into_nix(self) -> NixSignal {
        ALL.iter().find(|(signal, ..)| *signal == self).map_or(NixSignal::SIGTERM, |(_, signal, _)| *signal)
    }
}

/// The signals of this process, held back and read one by one. As process 1 too: the kernel drops a signal that has
/// only its default action there, but never one that is held back.
#[derive(Debug)]
pub struct Pending {
    descriptor: SignalFd,
    set: SigSet,
}

impl Pending {
    /// Holds the signals back from now on.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn hold() -> io::Result<Self> {
        let set: SigSet =
            ALL.iter().map(|(_, signal, _)| *signal).filter(|signal| *signal != NixSignal::SIGKILL).collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        for signal in &set {
            if has_foreign_threads() {
                // One of those may get it, which does not hold it back.
                let action = SigAction::new(SigHandler::Handler(pass_on), SaFlags::SA_RESTART, SigSet::empty());
                // SAFETY: the handler makes system calls alone.
                let _ = unsafe { sigaction(signal, &action) };
            } else {
                // Whoever started this program may have had it ignore it (nohup, a shell's background); then it never comes.
                by_default(signal);
            }
        }
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { descriptor, set })
    }

    /// The next signal that has come.
    pub fn next(&self) -> Option<Signal> {
        let received = self.descriptor.read_signal().ok()??;
        let number = i32::try_from(received.ssi_signo).ok()?;
        ALL.iter().find(|(_, signal, _)| *signal as i32 == number).map(|(signal, ..)| *signal)
    }

    /// Lets signals act again, in a new process.
    pub fn release(self) {
        let is_passed_on = |action: &libc::sigaction| action.sa_sigaction == pass_on as *const () as usize;
        self.set.iter().filter(|signal| action(*signal as i32).as_ref().is_some_and(is_passed_on)).for_each(by_default);
        // It has been set before, so it can be set back.
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&self.set), None);
    }
}

impl AsFd for Pending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// `SIGABRT`, by its number.
pub const ABORT: i32 = libc::SIGABRT;

/// A signal's name, `SIGSEGV` say, or `signal N` where it has none.
pub fn signal_name(number: i32) -> String {
    NixSignal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned())
}

/// A signal that neither apps nor libraries use, for which the interpreter prints its stacks.
pub fn dump_signal() -> i32 {
    libc::SIGRTMIN() + 7
}

/// Sends a signal to this process.
pub fn send_to_self(signal: i32) {
    // SAFETY: returns the id of this process, and cannot fail.
    let this = unsafe { libc::getpid() };
    // SAFETY: touches no memory of ours; what the signal does was set up before.
    unsafe { libc::kill(this, signal) };
}

/// Lets a signal do nothing in this process.
pub fn ignore(ignored: Signal) {
    // SAFETY: SIG_IGN runs no code of ours in a signal handler.
    let _ = unsafe { nix::sys::signal::signal(ignored.into_nix(), SigHandler::SigIgn) };
}

/// Lets a signal do nothing in this process, and what it does by default in the programs that it starts: those would
/// ignore it as well otherwise.
pub fn disregard(signal: Signal) {
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing.
    let _ = unsafe { sigaction(signal.into_nix(), &action) };
}

/// What this process does at the signals that a worker ends by or opens its logs again at. An app that is loaded may
/// change it, and shall be stopped all the same.
#[derive(Clone)]
pub struct Handlers(Vec<(NixSignal, libc::sigaction)>);

impl Handlers {
    /// What it does now.
    pub fn now() -> Self {
        let signals = [NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGQUIT, NixSignal::SIGUSR1];
        Self(signals.into_iter().filter_map(|signal| Some((signal, action(signal as i32)?))).collect())
    }

    /// The signals' numbers.
    pub fn signals(&self) -> impl Iterator<Item = i32> {
        self.0.iter().map(|(signal, _)| *signal as i32)
    }

    /// Does that again.
    pub fn restore(&self) {
        for (signal, action) in &self.0 {
            install(*signal, action);
        }
    }

    /// These are what [`take_back`] installs from now on.
    pub fn answer(&self) {
        let mut answering = ANSWERING.lock().unwrap_or_else(PoisonError::into_inner);
        *answering = Some((forks(), self.clone()));
    }
}

/// What answers to signals, and in which process.
static ANSWERING: Mutex<Option<(usize, Handlers)>> = Mutex::new(None);

/// Does at a signal what this process does, whatever an app has had it do. One that was forked does what is done by default.
pub fn take_back(number: i32) {
    let answering = ANSWERING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((process, handlers)) = &*answering else { return };
    if let Some((signal, action)) = handlers.0.iter().find(|(signal, _)| *signal as i32 == number) {
        if *process == forks() {
            install(*signal, action);
        } else {
            by_default(*signal);
        }
    }
}

fn install(signal: NixSignal, action: &libc::sigaction) {
    // SAFETY: the same handler was installed for this signal before, by whoever answers for it.
    unsafe { libc::sigaction(signal as i32, action, std::ptr::null_mut()) };
}

/// What this process does at a signal.
fn action(signal: i32) -> Option<libc::sigaction> {
    let mut action = std::mem::MaybeUninit::uninit();
    // SAFETY: nothing is set; `action` has room for what is asked for.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: the call that has just succeeded has written all of it.
    (result == 0).then(|| unsafe { action.assume_init() })
}

/// Lets a fault end the process, also one that was sent (`kill -SEGV`). Rust's own handlers tell of a full stack, and let
/// the thread go on where there is none. A library's that was there before stay.
pub fn restore_faults() {
    let is_rusts = |signal: &NixSignal| {
        action(*signal as i32).is_some_and(|action| is_of_program(action.sa_sigaction as *const libc::c_void))
    };
    [NixSignal::SIGSEGV, NixSignal::SIGBUS].into_iter().filter(is_rusts).for_each(by_default);
}

/// Whether this is the address of something in the program itself, and not in a library.
fn is_of_program(address: *const libc::c_void) -> bool {
    let base = |address| {
        let mut found = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: looks the address up, whatever it is, and `found` has room for the answer.
        let result = unsafe { libc::dladdr(address, found.as_mut_ptr()) };
        // SAFETY: the call has found it, and has written all of it then.
        (result != 0).then(|| unsafe { found.assume_init() }.dli_fbase)
    };
    base(address).is_some_and(|found| Some(found) == base(is_of_program as *const libc::c_void))
}

/// Lets the [`dump_signal`] do nothing, which would end this process, unless an interpreter has come to answer it.
pub fn disregard_dumps() {
    if action(dump_signal()).is_some_and(|action| action.sa_sigaction == libc::SIG_DFL) {
        // SAFETY: SIG_IGN runs no code of ours in a signal handler.
        unsafe { libc::signal(dump_signal(), libc::SIG_IGN) };
    }
}

/// Lets a signal do what it does by default.
pub fn restore(signal: Signal) {
    by_default(signal.into_nix());
}

fn by_default(signal: NixSignal) {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_DFL runs no code of ours in a signal handler.
    let _ = unsafe { sigaction(signal, &action) };
}

/// Gives a signal to the main thread, where it is held back and read.
extern "C" fn pass_on(signal: libc::c_int) {
    // SAFETY: returns a number.
    let main = unsafe { libc::getpid() };
    // SAFETY: sends a signal to a thread of this process that lives as long as that.
    unsafe { libc::syscall(libc::SYS_tgkill, main, main, signal) };
}

extern "C" fn nothing(_: libc::c_int) {}
