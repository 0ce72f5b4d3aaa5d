//! What stays out of an image although nothing says so, unless it is asked for: secrets, and files that are too large to be
//! meant.
//!
//! Everyone who has an image can read what is in it, and an upper layer takes nothing away from a lower one.

use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::{
    exit::Fatal,
    image::{
        filter::{ignore::Patterns, secrets},
        job::{disk, progress::Progress},
    },
};

/// Larger files than this are left out, in bytes: dumps, models and recordings that lie about.
pub const LARGEST: u64 = 100_000_000;
/// How many files a warning names.
const NAMED: usize = 10;

/// Why a file stays out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reason {
    /// It is what secrets are in.
    Secret(&'static str),
    /// It has so many bytes.
    Large(u64),
}

/// Admits files, and remembers those that it does not.
#[derive(Debug, Default)]
pub struct Screen {
    /// What was asked for.
    include: Patterns,
    left_out: Mutex<Vec<(PathBuf, Reason)>>,
}

impl Screen {
    /// One that lets through what `include` names, by the rules of `.dockerignore`.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(include: &[String]) -> Result<Self, Fatal> {
        let include = Patterns::parse("--include", &include.join("\n"))
            .map_err(|error| Fatal::new(format!("Cannot tell what is to be included: {error}. Correct it.")))?;
        Ok(Self { include, left_out: Mutex::default() })
    }

    /// Whether the file `path`, whose name in the image ends in `relative`, goes along.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn admits(&self, relative: &Path, path: &Path, metadata: &Metadata) -> Result<bool, Fatal> {
        let failed = |error| disk::unreadable(path, &error);
        let reason = match secrets::kind(relative, path, metadata.len()).map_err(failed)? {
            Some(kind) => Reason::Secret(kind),
            None if metadata.len() > LARGEST => Reason::Large(metadata.len()),
            None => return Ok(true),
        };
        if self.include.matches(&relative.to_string_lossy()) {
            return Ok(true);
        }
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).push((relative.to_owned(), reason));
        Ok(false)
    }

    /// What stayed out.
    pub fn left_out(&self) -> Vec<PathBuf> {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.iter().map(|(path, _)| path.clone()).collect()
    }

    /// Names what stayed out, and says what to do.
    pub fn report(&self, progress: &dyn Progress) {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |secret: bool| {
            let of_kind = left_out.iter().filter(|(_, reason)| matches!(reason, Reason::Secret(_)) == secret);
            let all: Vec<String> = of_kind
                .map(|(path, reason)| match reason {
                    Reason::Secret(kind) => format!("{} ({kind})", path.display()),
                    Reason::Large(size) => format!("{} ({} MB)", path.display(), size / 1_000_000),
                })
                .collect();
            let more = all.len().saturating_sub(NAMED);
            let named = all[..all.len() - more].join(", ");
            (all.len(), if more > 0 { format!("{named} and {more} more") } else { named })
        };
        let (count, secrets) = shown(true);
        if count > 0 {
            progress.warning(&format!(
                "Left out, since everyone who has the image could read it: {secrets}. Give it to the container instead \
                 (docker run --env-file, -v), put it in with --include PATTERN, or name it in .dockerignore."
            ));
        }
        let (count, large) = shown(false);
        if count > 0 {
            progress.warning(&format!(
                "Left out, since it has more than 100 MB: {large}. Put it in with --include PATTERN, or name it in \
                 .dockerignore."
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Screen;

    #[test]
    fn what_is_asked_for_goes_along() {
        let folder = tempfile::tempdir().unwrap();
        let admits = |screen: &Screen, name: &str, size: u64| {
            let path = folder.path().join(name);
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(size).unwrap();
            screen.admits(Path::new(name), &path, &file.metadata().unwrap()).unwrap()
        };
        let screen = Screen::default();
        assert!(admits(&screen, "app.py", 1) && admits(&screen, "dump.sql", 100_000_000));
        assert!(!admits(&screen, ".env", 1) && !admits(&screen, "dump.sql", 100_000_001));
        assert_eq!(screen.left_out(), [Path::new(".env"), Path::new("dump.sql")]);
        let screen = Screen::new(&[".env".to_owned(), "*.sql".to_owned()]).unwrap();
        assert!(admits(&screen, ".env", 1) && admits(&screen, "dump.sql", 100_000_001));
        assert!(!admits(&screen, "prod.env", 1));
        assert!(Screen::new(&["[".to_owned()]).unwrap_err().to_string().contains("line 1 of --include"));
    }
}
