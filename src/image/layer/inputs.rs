//! What tells that a file is still the one that was read, without reading it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

/// Two changes within one tick of the kernel's clock carry the same time.
const TICK: Duration = Duration::from_millis(20);

/// Length, mode, inode, time of change (of content and of anything); nothing for what is not there.
type Identity = Option<(u64, u32, u64, i64, i64)>;

/// The files that something is made of, each as it was before it was read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Inputs {
    files: BTreeMap<PathBuf, Identity>,
    /// Those that had changed so lately that a further change might not show.
    #[serde(skip)]
    unsettled: BTreeSet<PathBuf>,
}

impl Inputs {
    /// Adds a file or a folder (whose time changes with the names in it), as it is now.
    pub fn add(&mut self, path: &Path) {
        if self.files.contains_key(path) {
            return;
        }
        let identity = identity_of(path);
        if let Some((.., changed)) = identity {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let changed = Duration::from_nanos(u64::try_from(changed).unwrap_or(0));
            if changed + TICK > now {
                self.unsettled.insert(path.to_owned());
            }
        }
        self.files.insert(path.to_owned(), identity);
    }

    /// Adds those of `other`, as they were.
    pub fn add_all(&mut self, other: &Self) {
        self.files.extend(other.files.iter().map(|(path, identity)| (path.clone(), *identity)));
        self.unsettled.extend(other.unsettled.iter().cloned());
    }

    /// Those that are not below `folder`.
    #[must_use]
    pub fn without(&self, folder: &Path) -> Self {
        let mut rest = self.clone();
        rest.files.retain(|path, _| !path.starts_with(folder));
        rest.unsettled.retain(|path| !path.starts_with(folder));
        rest
    }

    /// Whether a later change of any of them would show.
    pub fn are_settled(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Whether all of them are as they were.
    pub fn are_unchanged(&self) -> bool {
        self.files.iter().all(|(path, identity)| identity_of(path) == *identity)
    }

    /// For a key.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Paths need not be text.
        format!("{:?}", self.files).into_bytes()
    }
}

/// What `path` is now, following links.
fn identity_of(path: &Path) -> Identity {
    let metadata = std::fs::metadata(path).ok()?;
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Some((
        metadata.len(),
        metadata.mode(),
        metadata.ino(),
        nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    ))
}
