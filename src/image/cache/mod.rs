//! What builds keep for the next one: layers, byte code, and answers of the interpreter's.
//!
//! Nothing is trusted for its name. What is remembered carries its own digest and the state of every file that it was made
//! of; a layer is a blob named after its content. Everything is written under another name and renamed, so a build that is
//! killed leaves nothing but a folder in `tmp`, which the next build sweeps. Builds share one lock; sweeping and dropping
//! what is oldest are for a build that has it alone.

mod record;
mod room;

use std::{
    env, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::TempDir;

use crate::{
    exit::Fatal,
    image::{
        job::{
            disk,
            progress::{Cancel, Progress},
            recording::Recording,
        },
        layer::{Contents, Layer, digest, inputs::Inputs},
    },
};

/// The folder's variable.
const VARIABLE: &str = "RWSGI_CACHE_DIR";
const RECORDS: &str = "records";
const BLOBS: &str = "blobs";
const TEMPORARY: &str = "tmp";
/// Goes into every key: a change of what records mean makes old ones unknown.
const VERSION: &str = concat!("rwsgi ", env!("CARGO_PKG_VERSION"), " 6");

/// A cache, or none (`--no-cache`): then nothing is ever found, and what is made stays in the build's own folder.
#[derive(Debug)]
pub struct Cache {
    store: Option<Store>,
}

#[derive(Debug)]
struct Store {
    root: PathBuf,
    /// Where this build writes; gone with it.
    temporary: TempDir,
    /// Held while the build runs.
    shared: Flock<std::fs::File>,
    /// How many bytes may stay.
    limit: u64,
    stored: AtomicBool,
}

/// What makes two things the same to a cache.
#[derive(Debug, Default)]
pub struct Key(Vec<u8>);

impl Key {
    /// Adds a part.
    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        // With its length, so that no two lists of parts read alike.
        self.0.extend((part.as_ref().len() as u64).to_le_bytes());
        self.0.extend(part.as_ref());
        self
    }

    /// Adds all parts of another.
    #[must_use]
    pub fn with_all(self, other: &Self) -> Self {
        self.with(&other.0)
    }

    fn digest(&self) -> String {
        digest::of(&[VERSION.as_bytes(), &self.0].concat())
    }
}

/// What is remembered of a layer.
#[derive(Deserialize, Serialize)]
struct Remembered<T> {
    digest: String,
    size: u64,
    unpacked: u64,
    warnings: Vec<String>,
    value: T,
}

impl Cache {
    /// No cache.
    pub fn none() -> Self {
        Self { store: None }
    }

    /// The user's cache. One that cannot be used is done without, unless it was asked for by name.
    pub fn open(progress: &dyn Progress) -> Result<Self, Fatal> {
        let (folder, asked) = match env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(folder) => (Some(PathBuf::from(folder)), true),
            None => (usual_folder("rwsgi"), false),
        };
        let Some(folder) = folder else { return Ok(Self::none()) };
        let limit = room::limit()?;
        match Store::open(&folder, limit) {
            Ok(store) => Ok(Self { store: Some(store) }),
            Err(error) if asked => Err(disk::failed_at(
                &format!("use {} as {VARIABLE}", folder.display()),
                &folder,
                "Name another folder in it, or build with --no-cache",
                &error,
            )),
            Err(error) => {
                progress.note(&format!("Nothing is cached, because {} cannot be used: {error}.", folder.display()));
                Ok(Self::none())
            }
        }
    }

    /// The folder, which does not belong into an image.
    pub fn folder(&self) -> Option<&Path> {
        self.store.as_ref().map(|store| store.root.as_path())
    }

    /// What was remembered under `key`, unless one of the files that it was made of has changed.
    pub fn recall<T: DeserializeOwned>(&self, kind: &str, key: &Key) -> Option<T> {
        record::read(&self.store.as_ref()?.record(kind, key))
    }

    /// Remembers `value`, made of `inputs`. A cache that does not take it is no reason to fail.
    pub fn remember<T: Serialize>(&self, kind: &str, key: &Key, inputs: &Inputs, value: &T) {
        let Some(store) = &self.store else { return };
        if inputs.are_settled() {
            store.stored.store(true, Ordering::Relaxed);
            let written = record::bytes(inputs, value).and_then(|bytes| store.write(&store.record(kind, key), &bytes));
            if let Err(error) = written {
                tracing::debug!("not cached: {error}");
            }
        }
    }

    /// Bytes that were kept under `key`.
    pub fn bytes(&self, kind: &str, key: &Key) -> Option<Vec<u8>> {
        record::read_bytes(&self.store.as_ref()?.record(kind, key))
    }

    /// Keeps bytes.
    pub fn keep_bytes(&self, kind: &str, key: &Key, bytes: &[u8]) {
        let Some(store) = &self.store else { return };
        store.stored.store(true, Ordering::Relaxed);
        if let Err(error) = store.write(&store.record(kind, key), &record::sealed(bytes)) {
            tracing::debug!("not cached: {error}");
        }
    }

    /// The layer that `key` stands for: from the cache, with the warnings of the time when it was made, or from `make`.
    pub fn layer<T: Serialize + DeserializeOwned>(
        &self,
        name: &'static str,
        key: &Key,
        (work, progress, cancel): (&Path, &dyn Progress, &Cancel),
        make: impl FnOnce(&dyn Progress) -> Result<(Contents, T), Fatal>,
    ) -> Result<(Layer, T), Fatal> {
        if let Some((layer, warnings, value)) = self.known_layer(name, key) {
            for warning in warnings {
                progress.warning(&warning);
            }
            progress.note("unchanged, from the cache");
            return Ok((layer, value));
        }
        let recording = Recording::new(progress);
        let (contents, value) = make(&recording)?;
        let directory = self.store.as_ref().map_or(work, |store| store.temporary.path());
        let mut layer = contents.write(name, directory, progress, cancel)?;
        if let Some(store) = &self.store {
            let blob = store.blob(&layer.digest);
            fs_err::rename(&layer.path, &blob)
                .map_err(|error| disk::failed_in("keep a layer", store.temporary.path(), &error))?;
            layer.path = blob;
            let remembered = Remembered {
                digest: layer.digest.clone(),
                size: layer.size,
                unpacked: layer.unpacked,
                warnings: recording.warnings(),
                value,
            };
            self.remember(name, key, &contents.inputs().without(work), &remembered);
            return Ok((layer, remembered.value));
        }
        Ok((layer, value))
    }

    fn known_layer<T: DeserializeOwned>(&self, name: &'static str, key: &Key) -> Option<(Layer, Vec<String>, T)> {
        let store = self.store.as_ref()?;
        let known: Remembered<T> = self.recall(name, key)?;
        let path = store.blob(&known.digest);
        let there = fs_err::metadata(&path).ok()?;
        if there.len() != known.size {
            return None;
        }
        touch(&path);
        let Remembered { digest, size, unpacked, warnings, value } = known;
        Some((Layer { name, path, digest, size, unpacked, cached: true }, warnings, value))
    }

    /// Drops layers whose content is not what it was when they were kept, and says whether there are such.
    pub fn drop_damaged(&self, layers: &[Layer], cancel: &Cancel) -> Result<bool, Fatal> {
        let mut any = false;
        for layer in layers.iter().filter(|layer| layer.cached) {
            if !layer.is_intact(cancel)? {
                any = true;
                fs_err::remove_file(&layer.path).map_err(|error| disk::failed("drop a damaged layer", &error))?;
            }
        }
        Ok(any)
    }

    /// A file with the content of the blob `digest` in another form, made by `make` unless it is there; its own digest and
    /// length.
    pub fn derived(
        &self,
        digest: &str,
        form: &str,
        work: &Path,
        make: impl FnOnce(&Path) -> Result<(), Fatal>,
    ) -> Result<(PathBuf, String, u64), Fatal> {
        let name = format!("{digest}.{form}");
        let key = Key::default().with(&name);
        let read = |path: &Path| digest::of_file(path).map_err(|error| disk::failed("read a layer", &error));
        if let Some(store) = &self.store
            && let kept = store.root.join(BLOBS).join(&name)
            && kept.exists()
        {
            let (digest, size) = read(&kept)?;
            if self.bytes(form, &key).as_deref() == Some(digest.as_bytes()) {
                touch(&kept);
                return Ok((kept, digest, size));
            }
        }
        let mut path = self.store.as_ref().map_or(work, |store| store.temporary.path()).join(&name);
        make(&path)?;
        let (digest, size) = read(&path)?;
        if let Some(store) = &self.store {
            let kept = store.root.join(BLOBS).join(name);
            fs_err::rename(&path, &kept)
                .map_err(|error| disk::failed_in("keep a layer", store.temporary.path(), &error))?;
            self.keep_bytes(form, &key, digest.as_bytes());
            path = kept;
        }
        Ok((path, digest, size))
    }
}

impl Store {
    fn open(root: &Path, limit: u64) -> io::Result<Self> {
        // What apps have is for nobody else to read. Who has made the folder already has chosen for whom it is.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        for folder in [RECORDS, BLOBS, TEMPORARY] {
            fs_err::create_dir_all(root.join(folder))?;
        }
        let root = fs_err::canonicalize(root)?;
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists() {
            // Tells programs that make backups to leave it out; the words are those of bford.info/cachedir.
            fs_err::write(tag, "Signature: 8a477f597d28d172789f06886806bc55\n# Kept by rwsgi dockerize.\n")?;
        }
        if let Ok(_alone) = lock(&root, FlockArg::LockExclusiveNonblock) {
            room::sweep(&root.join(TEMPORARY));
        }
        let shared = lock(&root, FlockArg::LockShared)?;
        let temporary = tempfile::Builder::new().prefix("build-").tempdir_in(root.join(TEMPORARY))?;
        Ok(Self { root, temporary, shared, limit, stored: AtomicBool::new(false) })
    }

    fn record(&self, kind: &str, key: &Key) -> PathBuf {
        self.root.join(RECORDS).join(format!("{kind}-{}", key.digest()))
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.root.join(BLOBS).join(digest)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.temporary.path())?;
        io::Write::write_all(&mut file, content)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.stored.load(Ordering::Relaxed) {
            // flock converts what this build holds where nobody else holds it too; otherwise the next build sees to it.
            if let Ok(_alone) = self.shared.relock(FlockArg::LockExclusiveNonblock) {
                room::make(&[self.root.join(RECORDS), self.root.join(BLOBS)], self.limit);
            }
        }
    }
}

fn lock(root: &Path, how: FlockArg) -> io::Result<Flock<std::fs::File>> {
    let (file, _) = fs_err::File::options().create(true).append(true).open(root.join("lock"))?.into_parts();
    Flock::lock(file, how).map_err(|(_, error)| error.into())
}

/// Marks as used, for the order in which things are dropped.
fn touch(path: &Path) {
    if let Ok(file) = fs_err::File::options().append(true).open(path) {
        // A cache that cannot be written to is still good to read from.
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Where the cache of a program is, unless it is told otherwise (XDG Base Directory specification).
pub fn usual_folder(program: &str) -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(caches.join(program))
}

#[cfg(test)]
mod tests;
