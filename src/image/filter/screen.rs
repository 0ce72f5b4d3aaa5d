//! What stays out of an image although nothing says so, unless it is asked for: secrets, files that are too large to be meant, and
//! images that earlier builds have left there.
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
        filter::{ignore::Patterns, images, secrets},
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
    /// It is an image.
    Image,
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
            None if images::is_archive(path, metadata.len()).map_err(failed)? => Reason::Image,
            None if metadata.len() > LARGEST => Reason::Large(metadata.len()),
            None => return Ok(true),
        };
        Ok(self.is_included(relative, reason))
    }

    /// Whether the folder `path` goes along, which it does not if it is an OCI layout.
    pub fn admits_folder(&self, relative: &Path, path: &Path) -> bool {
        !images::is_layout(path) || self.is_included(relative, Reason::Image)
    }

    fn is_included(&self, relative: &Path, reason: Reason) -> bool {
        let is_included = self.include.matches(&relative.to_string_lossy());
        if !is_included {
            self.left_out.lock().unwrap_or_else(PoisonError::into_inner).push((relative.to_owned(), reason));
        }
        is_included
    }

    /// What stayed out.
    pub fn left_out(&self) -> Vec<PathBuf> {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.iter().map(|(path, _)| path.clone()).collect()
    }

    /// Names what stayed out, and says what to do.
    pub fn report(&self, progress: &dyn Progress) {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |is_meant: fn(&Reason) -> bool| {
            let all: Vec<String> = left_out
                .iter()
                .filter(|(_, reason)| is_meant(reason))
                .map(|(path, reason)| match reason {
                    Reason::Secret(kind) => format!("{} ({kind})", path.display()),
                    Reason::Large(size) => format!("{} ({} MB)", path.display(), size / 1_000_000),
                    Reason::Image => path.display().to_string(),
                })
                .collect();
            let more = all.len().saturating_sub(NAMED);
            let named = all[..all.len() - more].join(", ");
            (all.len(), if more > 0 { format!("{named} and {more} more") } else { named })
        };
        let (count, secrets) = shown(|reason| matches!(reason, Reason::Secret(_)));
        if count > 0 {
            progress.warning(&format!(
                "Left out, since everyone who has the image could read it: {secrets}. Give it to the container instead \
                 (docker run --env-file, -v), put it in with --include PATTERN, or name it in .dockerignore."
            ));
        }
        let (count, large) = shown(|reason| matches!(reason, Reason::Large(_)));
        if count > 0 {
            progress.warning(&format!(
                "Left out, since it has more than 100 MB: {large}. Put it in with --include PATTERN, or name it in \
                 .dockerignore."
            ));
        }
        let (count, images) = shown(|reason| matches!(reason, Reason::Image));
        if count > 0 {
            progress.warning(&format!(
                "Left out, since it is an image itself: {images}. Put it in with --include PATTERN, or name it in .dockerignore."
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Screen;
    use crate::image::job::{progress::Silent, recording::Recording};

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
        let (image, layout) = (folder.path().join("image.tar"), folder.path().join("layout"));
        let file = std::fs::File::create(&image).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_path("oci-layout").unwrap();
        std::io::Write::write_all(&mut &file, header.as_bytes()).unwrap();
        file.set_len(1_000_001).unwrap();
        std::fs::create_dir(&layout).unwrap();
        std::fs::write(layout.join("index.json"), "").unwrap();
        let screen = Screen::default();
        assert!(screen.admits_folder(Path::new("layout"), &layout));
        std::fs::write(layout.join("oci-layout"), "").unwrap();
        let metadata = file.metadata().unwrap();
        assert!(!screen.admits_folder(Path::new("layout"), &layout));
        assert!(!screen.admits(Path::new("image.tar"), &image, &metadata).unwrap());
        let told = Recording::new(&Silent);
        screen.report(&told);
        assert!(told.warnings()[0].starts_with("Left out, since it is an image itself: layout, image.tar. Put it in"));
        let screen = Screen::new(&["layout".to_owned(), "*.tar".to_owned()]).unwrap();
        assert!(screen.admits_folder(Path::new("layout"), &layout));
        assert!(screen.admits(Path::new("image.tar"), &image, &metadata).unwrap());
        assert!(Screen::new(&["[".to_owned()]).unwrap_err().to_string().contains("line 1 of --include"));
    }
}
