//! Where a build makes what it makes on the way.

use std::{env, io, path::Path};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

const PREFIX: &str = "rwsgi-image-";

/// A folder for what a build makes on the way, locked while the build runs: what is not locked was left by one that was killed.
pub fn folder() -> io::Result<(TempDir, Flock<std::fs::File>)> {
    sweep(&env::temp_dir());
    loop {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let path = folder.path().join("lock");
        let (file, _) = fs_err::File::create(&path)?.into_parts();
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| io::Error::from(error))?;
        // Another build may have seen it before it was locked.
        if path.exists() {
            return Ok((folder, lock));
        }
    }
}

fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok) {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // Another user's cannot be opened, and one without a lock is just being made.
        let Ok(file) = std::fs::File::options().append(true).open(entry.path().join("lock")) else { continue };
        if let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
