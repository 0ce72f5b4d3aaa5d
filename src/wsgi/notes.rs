//! What the app's side tells the access log of a request: variables of the environ as the app left them.

use std::sync::{Mutex, PoisonError};

/// Values of the variables that were asked for, in their order.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<Option<Vec<u8>>>>);

impl Notes {
    /// Leaves the values; those that were left before are forgotten.
    pub fn leave(&self, values: Vec<Option<Vec<u8>>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = values;
    }

    /// Forgets what was left.
    pub fn clear(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes what was left.
    pub fn take(&self) -> Vec<Option<Vec<u8>>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
