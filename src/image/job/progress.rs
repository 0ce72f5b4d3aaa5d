//! How a build tells what it is doing, and how it is told to stop. Prints nothing itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::exit::{Code, Fatal};

/// What hears of a build's progress.
pub trait Progress: Sync {
    /// The next step begins.
    fn step(&self, text: &str);
    /// Something that the user may want to know of the step that runs, such as a choice that was made for them.
    fn note(&self, text: &str);
    /// Something that may not be what the user wants.
    fn warning(&self, text: &str);
    /// What the step that runs is at just now; the next one may take its place.
    fn detail(&self, text: &str);
    /// So many of so many bytes of the step are done.
    fn bytes(&self, done: u64, total: u64);
    /// So many of so many files of the step are done.
    fn files(&self, done: u64, total: u64);
}

/// Tells nobody.
#[derive(Debug)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn warning(&self, _: &str) {}
    fn detail(&self, _: &str) {}
    fn bytes(&self, _: u64, _: u64) {}
    fn files(&self, _: u64, _: u64) {}
}

/// A flag that asks a build to stop; checked wherever it could spend time, so that it cleans up behind itself.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the build to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the build was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The error to leave with if the build was asked to stop.
    pub fn check(&self) -> Result<(), Fatal> {
        if self.is_cancelled() {
            Err(Fatal::with_code(Code::Interrupted, "Interrupted; nothing was left behind."))
        } else {
            Ok(())
        }
    }
}
