//! The working directory itself, whatever its name leads to by now.

use std::{io, os::fd::OwnedFd};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd::fchdir,
};

/// A directory to come back to. Its name may be a link, and lead elsewhere by then.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// The present working directory.
    ///
    /// # Errors
    /// As `open`.
    pub fn current() -> io::Result<Self> {
        Ok(Self(open(".", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?))
    }

    /// Makes it the working directory again.
    ///
    /// # Errors
    /// As `fchdir`.
    pub fn enter(&self) -> io::Result<()> {
        Ok(fchdir(&self.0)?)
    }
}
