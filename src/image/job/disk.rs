//! The words for a disk that fails: what was being done, and what to do when it is full.

use std::{env, io, path::Path};

use crate::exit::Fatal;

/// The sentence for `error`, met while `doing` (as in "cannot {doing}").
pub fn failed(doing: &str, error: &io::Error) -> Fatal {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return full(doing);
    }
    let advice = if error.kind() == io::ErrorKind::PermissionDenied {
        " Change who may, or run rwsgi as somebody who may."
    } else {
        ""
    };
    Fatal::new(format!("Cannot {doing}: {error}.{advice}"))
}

/// The same for what is written into `folder`, which is among the temporary files or in the cache.
pub fn failed_in(doing: &str, folder: &Path, error: &io::Error) -> Fatal {
    if folder.parent() == Some(env::temp_dir().as_path()) {
        return failed(doing, error);
    }
    failed_at(doing, folder, "Or point RWSGI_CACHE_DIR at a folder on another disk, or build with --no-cache", error)
}

/// The same for a place that the user can move: `advice` says how.
pub fn failed_at(doing: &str, path: &Path, advice: &str, error: &io::Error) -> Fatal {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Fatal::new(format!(
            "Cannot {doing}: the disk under {} is full. Free some space there. {advice}.",
            path.display()
        ));
    }
    Fatal::new(format!("Cannot {doing}: {error}. {advice}."))
}

/// The sentence for a file of the app's that cannot be read; `error` does not name it.
pub fn unreadable(file: &Path, error: &io::Error) -> Fatal {
    let advice = if error.kind() == io::ErrorKind::PermissionDenied { "Make it readable" } else { "Try again" };
    Fatal::new(format!(
        "Cannot read {}: {error}. {advice}, or name it in .dockerignore if it is not to be in the image.",
        file.display()
    ))
}

/// The sentence for a full disk.
pub fn full(doing: &str) -> Fatal {
    Fatal::new(format!(
        "Cannot {doing}: the disk under {} is full. Free some space there, or point TMPDIR at a folder on another disk.",
        env::temp_dir().display()
    ))
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::{failed, unreadable};

    #[test]
    fn who_may_not_is_told_what_to_do() {
        let said = |kind: io::ErrorKind| failed("read app.py", &kind.into()).to_string();
        assert!(
            said(io::ErrorKind::PermissionDenied)
                .ends_with("denied. Change who may, or run rwsgi as somebody who may.")
        );
        assert!(said(io::ErrorKind::StorageFull).contains("is full. Free some space there"));
        assert_eq!(said(io::ErrorKind::NotFound), "Cannot read app.py: entity not found.");
    }

    #[test]
    fn a_file_that_may_not_be_read_is_named_with_what_to_do() {
        let said = |kind: io::ErrorKind| unreadable(Path::new("/a.db"), &kind.into()).to_string();
        let denied = said(io::ErrorKind::PermissionDenied);
        assert!(
            denied.starts_with("Cannot read /a.db: permission denied. Make it readable, or name it in .dockerignore")
        );
        assert!(said(io::ErrorKind::NotFound).contains("Try again, or"));
    }
}
