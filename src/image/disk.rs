//! The words for a disk that fails: what was being done, and what to do when it is full.

use std::{env, io};

use crate::exit::Fatal;

/// The sentence for `error`, met while `doing` (as in "cannot {doing}").
pub fn failed(doing: &str, error: &io::Error) -> Fatal {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return full(doing);
    }
    Fatal::new(format!("Cannot {doing}: {error}."))
}

/// The sentence for a full disk.
pub fn full(doing: &str) -> Fatal {
    Fatal::new(format!(
        "Cannot {doing}: the disk under {} is full. Free some space there, or point TMPDIR at a folder on another disk.",
        env::temp_dir().display()
    ))
}
