//! Room on disk: what builds that were killed left, and what has not been used for longest.

use std::{
    env,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::exit::Fatal;

/// How much a cache may hold, in MB.
const LIMIT: u64 = 4096;

/// How many bytes a cache may hold.
pub fn limit() -> Result<u64, Fatal> {
    let megabytes = match env::var("RWSGI_CACHE_SIZE") {
        Ok(text) => text.trim().parse().map_err(|_| {
            Fatal::new(format!("RWSGI_CACHE_SIZE is {text:?}, which is not a number of MB. Correct or unset it."))
        })?,
        Err(_) => LIMIT,
    };
    Ok(megabytes.saturating_mul(1_000_000))
}

/// Empties `folder`, which nobody uses.
pub fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        // What cannot be removed takes room, and no more.
        let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }
}

/// Drops what has not been used for longest until the folders hold no more than `limit` bytes.
pub fn make(folders: &[PathBuf], limit: u64) {
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in files {
        if total <= limit {
            return;
        }
        if std::fs::remove_file(path).is_ok() {
            total -= size;
        }
    }
}
