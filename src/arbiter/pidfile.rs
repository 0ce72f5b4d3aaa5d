//! The file that holds the arbiter's process id (gunicorn's `pidfile`).

use std::path::{Path, PathBuf};

use crate::{exit::Fatal, sys};

/// A pid file that is ours. Removed on drop by the process that wrote it, and only while it still holds its id.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    pid: u32,
}

impl PidFile {
    /// Writes this process's id.
    ///
    /// # Errors
    /// Another process that lives is named in it, or it cannot be written.
    pub fn write(path: &Path) -> Result<Self, Fatal> {
        let pid = std::process::id();
        // Made absolute: the working directory may change, and a daemon's does.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if let Some(other) = read(&path)
            && other != pid
            && sys::is_alive(i32::try_from(other).unwrap_or(0))
        {
            return Err(Fatal::new(format!(
                "Already running on PID {other} (or pid file '{}' is stale). Stop that process, or remove the file.",
                path.display()
            )));
        }
        // A reader sees the whole id or none.
        let beside = path.with_extension(format!("{pid}.new"));
        fs_err::write(&beside, format!("{pid}\n")).and_then(|()| fs_err::rename(&beside, &path)).map_err(|error| {
            // Where it cannot be put in place, nothing stays beside it.
            let _ = fs_err::remove_file(&beside);
            Fatal::new(format!("Cannot write the pid file: {error}. Name another with --pid."))
        })?;
        Ok(Self { path, pid })
    }

    /// Writes another one where the settings name it now, and removes the one before; and the same again where it is
    /// gone. What cannot be written is told.
    pub fn follow(present: &mut Option<(Self, PathBuf)>, wanted: Option<&Path>) {
        if present.as_ref().map(|(_, path)| path.as_path()) == wanted {
            if present.as_ref().is_none_or(|(file, _)| file.is_there()) {
                return;
            }
            *present = None;
        }
        match wanted.map(Self::write).transpose() {
            Ok(written) => *present = written.zip(wanted.map(Path::to_owned)),
            Err(fatal) => tracing::error!("{fatal}"),
        }
    }

    fn is_there(&self) -> bool {
        read(&self.path) == Some(self.pid)
    }

    /// Moves it to another place, which a new arbiter does when the old one has gone.
    pub fn rename(&mut self, path: &Path) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        match fs_err::rename(&self.path, &path) {
            Ok(()) => self.path = path,
            Err(error) => tracing::warn!("The pid file could not be renamed: {error}."),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.pid == std::process::id() && self.is_there() {
            // Nothing depends on it, and the process ends.
            let _ = fs_err::remove_file(&self.path);
        }
    }
}

fn read(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::PidFile;

    #[test]
    fn a_stale_file_is_replaced_and_ours_is_removed() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("x.pid");
        // No process has an id beyond the kernel's limit.
        std::fs::write(&path, "99999999").expect("written");
        let file = PidFile::write(&path).expect("it is stale");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_of_a_process_that_lives_is_respected() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("x.pid");
        std::fs::write(&path, "1").expect("written");
        let error = PidFile::write(&path).expect_err("process 1 lives").to_string();
        assert!(error.starts_with("Already running on PID 1 (or pid file '"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "1");
    }
}
