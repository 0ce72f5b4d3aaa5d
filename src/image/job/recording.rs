//! Remembers warnings as they are told, because a layer from the cache deserves the same ones.

use std::sync::{Mutex, PoisonError};

use crate::image::job::progress::Progress;

/// Hands everything on.
pub struct Recording<'a> {
    inner: &'a dyn Progress,
    warnings: Mutex<Vec<String>>,
}

impl<'a> Recording<'a> {
    /// One that tells `inner`.
    pub fn new(inner: &'a dyn Progress) -> Self {
        Self { inner, warnings: Mutex::default() }
    }

    /// What was warned of so far.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress for Recording<'_> {
    fn step(&self, text: &str) {
        self.inner.step(text);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }

    fn warning(&self, text: &str) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        self.inner.warning(text);
    }

    fn detail(&self, text: &str) {
        self.inner.detail(text);
    }

    fn bytes(&self, done: u64, total: u64) {
        self.inner.bytes(done, total);
    }

    fn files(&self, done: u64, total: u64) {
        self.inner.files(done, total);
    }
}
