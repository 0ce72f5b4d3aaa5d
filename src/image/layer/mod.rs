//! A layer: what it holds as data, and the tar that is the same bit for bit whenever the data is.
//!
//! Sorted entries, owner root but for what is to be written to, modes from a short list, times that do not depend on the
//! clock. No compression here: that is the business of whoever sends the layer somewhere.

pub mod digest;
mod entry;
pub mod inputs;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, BufWriter, Read as _},
    path::{Component, Path, PathBuf},
};

use fs_err::File;

pub use self::entry::Times;
use self::entry::{Entry, Source, Stopped, append};
use crate::{
    exit::Fatal,
    image::{
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        layer::{digest::Hashing, inputs::Inputs},
    },
};

/// After how many entries progress is told.
const TOLD_EVERY: u64 = 50;

/// The user, and the group, that containers run as: nobody in particular, by number, since Kubernetes cannot tell from a name
/// that it is not root's.
pub const USER: u32 = 65532;

/// What a layer holds: paths in the image, without the leading `/`, and where each comes from.
#[derive(Debug, Default)]
pub struct Contents {
    entries: BTreeMap<PathBuf, Entry>,
    times: Times,
    inputs: Inputs,
    /// The folders that belong to the user of the containers with all that is in them.
    writable: Vec<PathBuf>,
}

/// A layer as a tar on disk.
#[derive(Debug)]
pub struct Layer {
    /// What it is, for people.
    pub name: &'static str,
    /// The tar.
    pub path: PathBuf,
    /// Hexadecimal SHA-256 of the tar, which is not compressed: `diff_id` and blob digest alike.
    pub digest: String,
    /// The tar's length.
    pub size: u64,
    /// The sum of the lengths of its files.
    pub unpacked: u64,
    /// Whether it was there from an earlier build.
    pub cached: bool,
}

impl Layer {
    /// Whether the file still holds what its digest says.
    pub fn is_intact(&self, cancel: &Cancel) -> Result<bool, Fatal> {
        let mut hash = Hashing::new(io::sink());
        let Ok(mut file) = File::open(&self.path) else { return Ok(false) };
        let mut chunk = vec![0; 1 << 20];
        loop {
            cancel.check()?;
            match file.read(&mut chunk) {
                Ok(0) => return Ok(hash.finish().is_ok_and(|(digest, _)| digest == self.digest)),
                Ok(count) => hash.update(&chunk[..count]),
                Err(_) => return Ok(false),
            }
        }
    }
}

/// A path without `.` and `..`, by its text alone.
pub fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// The mode for a file: read by all, run by all if `executable`.
pub fn file_mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

impl Contents {
    /// Nothing yet.
    pub fn new(times: Times) -> Self {
        Self { times, ..Self::default() }
    }

    /// Adds a directory, which may stay empty.
    pub fn directory(&mut self, path: impl Into<PathBuf>) {
        self.directory_with_mode(path, 0o755);
    }

    /// Adds a directory with a mode of its own (`/tmp`).
    pub fn directory_with_mode(&mut self, path: impl Into<PathBuf>, mode: u32) {
        self.insert(path.into(), Entry::new(mode, Source::Directory));
    }

    /// Says that what is at `path`, and all below it, belongs to the user of the containers, who may then write there.
    pub fn let_write(&mut self, path: impl Into<PathBuf>) {
        self.writable.push(path.into());
    }

    fn owner(&self, path: &Path) -> u32 {
        if self.writable.iter().any(|folder| path.starts_with(folder)) { USER } else { 0 }
    }

    /// Adds a file that is read from `from` when the layer is written.
    pub fn file(&mut self, path: impl Into<PathBuf>, from: impl Into<PathBuf>, executable: bool) {
        let from = from.into();
        self.inputs.add(&from);
        self.insert(path.into(), Entry::new(file_mode(executable), Source::File(from)));
    }

    /// Adds a file with this content.
    pub fn bytes(&mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>, executable: bool) {
        self.insert(path.into(), Entry::new(file_mode(executable), Source::Bytes(content.into())));
    }

    /// Adds a symbolic link; `target` is kept as it is.
    pub fn symlink(&mut self, path: impl Into<PathBuf>, target: impl Into<OsString>) {
        self.insert(path.into(), Entry::new(0o777, Source::Symlink(target.into())));
    }

    /// Says when what is at `path` was changed, in seconds since 1970, if there is something.
    pub fn set_time(&mut self, path: &Path, time: u64) {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.time = Some(time);
        }
    }

    /// Says that the contents depend on a file or a folder on disk beyond those that are read when the layer is written. To be
    /// called before it is looked at.
    pub fn depends_on(&mut self, path: &Path) {
        self.inputs.add(path);
    }

    /// Says that the contents depend on all that `other` does.
    pub fn depend_like(&mut self, other: &Self) {
        self.inputs.add_all(&other.inputs);
    }

    /// What on disk the contents depend on.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Everything that decides what is written, but the content of files, for which their state on disk stands.
    pub fn key(&self) -> Vec<u8> {
        use std::fmt::Write as _;
        let mut text = format!("{:?} {:?}\n", self.times, self.writable);
        for (path, entry) in &self.entries {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{} {:o} {:?} {:?}",
                path.as_os_str().as_encoded_bytes().escape_ascii(),
                entry.mode,
                entry.time,
                entry.source
            );
        }
        [text.into_bytes(), self.inputs.to_bytes()].concat()
    }

    /// Whether there is an entry at `path`.
    pub fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.entries.contains_key(path.as_ref())
    }

    /// The files that are read from disk: path in the image, path on disk.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.entries.iter().filter_map(|(path, entry)| match &entry.source {
            Source::File(from) => Some((path.as_path(), from.as_path())),
            _ => None,
        })
    }

    /// The links: path in the image, target.
    pub fn symlinks(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.entries.iter().filter_map(|(path, entry)| match &entry.source {
            Source::Symlink(target) => Some((path.as_path(), Path::new(target))),
            _ => None,
        })
    }

    /// Every path in the image, and whether a directory is there.
    pub fn kinds(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.entries.iter().map(|(path, entry)| (path.as_path(), matches!(entry.source, Source::Directory)))
    }

    /// Takes out what is for paths that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&Path) -> bool) {
        self.entries.retain(|path, _| keep(path));
    }

    /// Takes out what is for `path`.
    pub fn remove(&mut self, path: &Path) {
        self.entries.remove(path);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, path: PathBuf, entry: Entry) {
        debug_assert!(path.is_relative(), "{}", path.display());
        for parent in path.ancestors().skip(1).filter(|parent| *parent != Path::new("")) {
            self.entries.entry(parent.to_owned()).or_insert(Entry::new(0o755, Source::Directory));
        }
        self.entries.insert(path, entry);
    }

    /// Writes the layer's tar into `directory`.
    pub fn write(
        &self,
        name: &'static str,
        directory: &Path,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Layer, Fatal> {
        let path = directory.join(format!("{name}.tar"));
        let doing = format!("write the {name} layer");
        let failed = |error: io::Error| disk::failed_in(&doing, directory, &error);
        let file = File::create(&path).map_err(failed)?;
        let mut tar = tar::Builder::new(Hashing::new(BufWriter::with_capacity(1 << 18, file)));
        let mut unpacked = 0;
        for ((path, entry), done) in self.entries.iter().zip(0..) {
            cancel.check()?;
            if done % TOLD_EVERY == 0 {
                progress.files(done, self.entries.len() as u64);
            }
            let appended = append(&mut tar, path, entry, (self.owner(path), self.times));
            unpacked += appended.map_err(|stopped| match stopped {
                Stopped::Source(file, error) => disk::unreadable(&file, &error),
                Stopped::Layer(error) => failed(error),
            })?;
        }
        let (digest, size) = tar.into_inner().and_then(Hashing::finish).map_err(failed)?;
        Ok(Layer { name, path, digest, size, unpacked, cached: false })
    }
}
