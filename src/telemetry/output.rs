//! Where a log goes: a file that can be opened again under its name, or a standard stream.

use std::{
    fs::{File, Metadata},
    io::{self, Write as _},
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use crate::sys;

/// Where a log goes.
#[derive(Debug)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file that is appended to: several processes share it, and a line that is written at once stays whole.
    File(PathBuf, File),
}

impl Output {
    /// Opens a file by its name. The name holds from any working directory.
    ///
    /// # Errors
    /// The file cannot be written to.
    pub fn file(name: &str) -> io::Result<Self> {
        let path = std::path::absolute(name)?;
        let file = open(&path)?;
        Ok(Self::File(path, file))
    }

    /// The file's name.
    pub fn path(&self) -> Option<&Path> {
        if let Self::File(path, _) = self { Some(path) } else { None }
    }

    /// Whether this is standard error.
    pub fn is_standard_error(&self) -> bool {
        matches!(self, Self::Stderr)
    }

    /// What is written to. It stays the same when the file is opened again.
    pub fn descriptor(&self) -> RawFd {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::File(_, file) => file.as_raw_fd(),
        }
    }

    /// Opens the file again, which may be a new one: whoever rotates logs renames the old one first.
    ///
    /// # Errors
    /// It cannot be opened; the old one is written to as before.
    pub fn reopen(&mut self) -> io::Result<()> {
        match self {
            // Whoever the process runs as by now may not be able to open what it has: a terminal or a pipe, say.
            Self::File(path, file) if !is_open(path, file) => sys::replace(file, &open(path)?),
            _ => Ok(()),
        }
    }

    /// Writes whole lines.
    ///
    /// # Errors
    /// As the system has them.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines).and_then(|()| stdout.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(lines),
            Self::File(_, file) => file.write_all(lines),
        }
    }
}

/// Whether the file that is open is still the one with the name.
fn is_open(path: &Path, file: &File) -> bool {
    let identity = |metadata: io::Result<Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    identity(fs_err::metadata(path)).is_some_and(|named| Some(named) == identity(file.metadata()))
}

/// Whoever calls this names the file in what is said of an error.
fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{
            fd::{AsRawFd as _, OwnedFd},
            unix::net::UnixStream,
        },
        path::PathBuf,
    };

    use super::Output;

    #[test]
    fn what_still_has_its_name_is_not_opened_again() {
        // Nobody can open a socket by its name, as a worker that has given up root cannot open what it was given.
        let file = File::from(OwnedFd::from(UnixStream::pair().expect("a socket").0));
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        assert!(Output::File(path, file).reopen().is_ok());
    }

    #[test]
    fn what_was_rotated_is_opened_under_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut output = Output::file(&path.to_string_lossy()).expect("it is made");
        std::fs::rename(&path, &old).expect("renamed");
        output.reopen().expect("opened");
        output.write(b"line\n").expect("written");
        let read = |path| std::fs::read_to_string(path).expect("it is there");
        assert_eq!((read(&path), read(&old)), ("line\n".to_owned(), String::new()));
    }
}
