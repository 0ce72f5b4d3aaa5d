//! What setuptools leaves in the folder of a package that it builds: it goes again, so that the folder is as it was.
//!
//! A package is built where it is, as pip itself does since 21.3, and not from a copy: its build may ask git for the version, or
//! look beside its folder.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

use super::lines;

/// The folders that are watched, and what was in them before.
pub struct Leftovers {
    folders: Vec<PathBuf>,
    before: BTreeSet<PathBuf>,
}

impl Leftovers {
    /// Watches the folders that a list for an app in `folder` has packages built in, until it is dropped.
    pub fn of(list: &Path, folder: &Path) -> Self {
        let folders: Vec<_> =
            lines::read(list).iter().filter_map(|line| lines::local_folder(&line.text, folder)).collect();
        let before = found(&folders);
        Self { folders, before }
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        for path in found(&self.folders).difference(&self.before) {
            // What cannot be removed is no worse than what another installer leaves.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// What is in the folders that a build leaves: `build` and what is in it, and `*.egg-info` there or beside the sources (`src`).
fn found(folders: &[PathBuf]) -> BTreeSet<PathBuf> {
    let is_one = |entry: &DirEntry| {
        let name = if entry.depth() == 1 { Some(entry.path()) } else { entry.path().parent() };
        let is_build = name.is_some_and(|name| name.ends_with("build"));
        entry.file_type().is_dir() && (is_build || entry.file_name().as_encoded_bytes().ends_with(b".egg-info"))
    };
    let entries = folders.iter().flat_map(|folder| WalkDir::new(folder).min_depth(1).max_depth(2));
    entries.filter_map(Result::ok).filter(is_one).map(DirEntry::into_path).collect()
}
