//! Being woken when something changes in a directory (inotify(7)).

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// The directories that are watched.
#[derive(Debug)]
pub struct Changes {
    inotify: Inotify,
    watched: BTreeSet<PathBuf>,
}

impl Changes {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The system has no more of these to give.
    pub fn new() -> io::Result<Self> {
        Ok(Self { inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?, watched: BTreeSet::new() })
    }

    /// Watches a directory as well.
    ///
    /// # Errors
    /// It cannot be read, or too many are watched (`fs.inotify.max_user_watches`).
    pub fn watch(&mut self, directory: &Path) -> io::Result<()> {
        if self.watched.insert(directory.to_owned()) {
            let of_interest = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_MOVED_TO;
            self.inotify.add_watch(directory, of_interest)?;
        }
        Ok(())
    }

    /// Forgets what has happened so far.
    pub fn clear(&self) {
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
