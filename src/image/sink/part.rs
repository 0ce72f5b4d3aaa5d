//! A file that is being written, under another name than it is to have.

use std::{
    io,
    path::{Path, PathBuf},
    process,
};

use fs_err::File;
use nix::fcntl::{Flock, FlockArg};

use crate::{
    exit::Fatal,
    image::{filter::PART, job::disk},
};

/// What is being written, under a name that nobody else writes to; removed unless it was put into its place. It is locked
/// meanwhile: what is not locked was left by a build that was killed.
pub struct Part {
    path: PathBuf,
    put: bool,
    _lock: Option<Flock<std::fs::File>>,
}

impl Part {
    /// Makes one beside `path`.
    fn beside(path: &Path) -> Result<Self, Fatal> {
        let start = [b".", path.file_name().unwrap_or_default().as_encoded_bytes(), b"."].concat();
        sweep(parent(path), &start);
        let failed = |error: io::Error| failed(path, &error);
        for number in 0_u32.. {
            let mut name = std::ffi::OsString::from(".");
            name.push(path.file_name().unwrap_or_default());
            name.push(format!(".{}-{number}{}", process::id(), PART));
            let place = parent(path).join(name);
            let made = match fs_err::OpenOptions::new().write(true).create_new(true).open(&place) {
                // Of a process with this number in another container.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(failed)?,
            };
            let lock = lock(made, FlockArg::LockExclusive);
            // Another build may have swept it before it was locked.
            if place.exists() {
                return Ok(Self { path: place, put: false, _lock: lock });
            }
        }
        unreachable!("a process does not try so often")
    }

    /// Has `fill` write one and gives it the name `path`.
    ///
    /// # Errors
    /// There is no room for it, or `fill` fails.
    pub fn write(path: &Path, fill: impl FnOnce(&Path) -> Result<(), Fatal>) -> Result<(), Fatal> {
        let part = Self::beside(path)?;
        fill(&part.path)?;
        part.put(path)
    }

    fn put(mut self, path: &Path) -> Result<(), Fatal> {
        fs_err::rename(&self.path, path).map_err(|error| failed(path, &error))?;
        self.put = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.put {
            // What cannot be removed takes room, and no more.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the parts that builds left which were killed: those beginning so in `folder` that nobody has locked.
fn sweep(folder: &Path, start: &[u8]) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if !(name.starts_with(start) && name.ends_with(PART.as_bytes())) {
            continue;
        }
        let Ok(part) = File::open(entry.path()) else { continue };
        if lock(part, FlockArg::LockExclusiveNonblock).is_some() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A lock, where there is one to have: not every network's file system locks folders.
pub fn lock(file: File, how: FlockArg) -> Option<Flock<std::fs::File>> {
    Flock::lock(file.into_parts().0, how).ok()
}

/// The folder that `path` is in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// The sentence for an image that cannot be written to `path`.
pub fn failed(path: &Path, error: &io::Error) -> Fatal {
    let doing = format!("write the image to {}", path.display());
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "Or name a place on another disk",
        io::ErrorKind::BrokenPipe => "What was to read it has ended before it had it all",
        _ => "Name another place",
    };
    disk::failed_at(&doing, parent(path), advice, error)
}
