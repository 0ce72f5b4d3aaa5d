//! What a command has to say on standard output.

use std::io::{ErrorKind, Write as _, stdout};

use crate::exit::Fatal;

/// Writes a text. A reader that has read enough, and left, is no failure.
///
/// # Errors
/// It cannot be written.
pub fn say(text: &str) -> Result<(), Fatal> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Fatal::new(format!("Standard output cannot be written to: {error}. What came before is done.")))
        }
        _ => Ok(()),
    }
}
