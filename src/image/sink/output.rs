//! An image as files: one tar that engines load, or an OCI layout. Neither needs an engine.
//!
//! A reader finds a whole image, or the one that was there before: a tar is written beside its place and renamed, and so is, last
//! of all, the index of a layout, whose other files never change. Only what is no file, a pipe say, is written into as it is.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _, Read, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use fs_err::File;
use nix::{
    fcntl::{Flock, FlockArg},
    unistd::{AccessFlags, access},
};
use serde_json::{Value, json};

use crate::{
    exit::Fatal,
    image::{
        cache::Cache,
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        layer::{Layer, digest},
        oci::{
            archive::{Archive, Piece},
            plan::Plan,
        },
        sink::{
            gzip::{self, Stopped},
            part::{Part, failed, lock, parent},
        },
    },
};

const CHUNK: usize = 1 << 18;
/// The file that makes a folder an OCI layout.
const MARK: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256";
/// What an image is called in a layout (OCI image specification, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Other names of standard output.
const STANDARD: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Where an image goes, if not to an engine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// A tar.
    Archive(PathBuf),
    /// A tar, on standard output.
    Standard,
    /// A folder.
    Layout(PathBuf),
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The image's id.
    pub id: String,
    /// The layers' lengths, where they were compressed.
    pub compressed: Vec<u64>,
}

impl Output {
    /// What `text` on a command line means.
    pub fn of(text: &str) -> Self {
        match text.strip_prefix("oci:") {
            Some(folder) => Self::Layout(folder.into()),
            None if STANDARD.contains(&text) => Self::Standard,
            None => Self::Archive(text.into()),
        }
    }

    /// The file or folder, in full.
    pub fn path(&self) -> Option<PathBuf> {
        let (Self::Archive(path) | Self::Layout(path)) = self else { return None };
        let parent = fs_err::canonicalize(parent(path)).ok()?;
        Some(parent.join(path.file_name()?))
    }

    /// Whether it can be written at all, before anything is built.
    pub fn check(&self) -> Result<(), Fatal> {
        let refused = |path: &Path, why: &str| {
            Err(Fatal::new(format!("The image cannot be written to {}: {why}.", path.display())))
        };
        let can_write = |path: &Path, folder: &Path| match access(folder, AccessFlags::W_OK) {
            Ok(()) => Ok(()),
            Err(error) => {
                let (folder, error) = (folder.display(), error.desc());
                refused(
                    path,
                    &format!("{folder} cannot be written to ({error}). Name another place, or change who may"),
                )
            }
        };
        match self {
            Self::Standard if io::stdout().is_terminal() => Err(Fatal::new(
                "An image is nothing for a terminal. Send it on (--output - | docker load), or name a file.",
            )),
            Self::Archive(path) | Self::Layout(path) if path.file_name().is_none() => {
                refused(path, "it names no file. Name one")
            }
            Self::Archive(path) | Self::Layout(path) if !parent(path).is_dir() => {
                refused(path, &format!("there is no folder {}. Make it first", parent(path).display()))
            }
            Self::Archive(path) if path.is_dir() => {
                refused(path, "it is a folder. Name a file, or write oci: in front to get a layout")
            }
            Self::Layout(path) if path.exists() && !is_layout(path) => {
                refused(path, "it exists, and is no OCI layout. Name another folder, or remove it")
            }
            Self::Archive(path) if !is_no_file(path) => can_write(path, parent(path)),
            Self::Layout(path) => can_write(path, if path.exists() { path } else { parent(path) }),
            Self::Standard | Self::Archive(_) => Ok(()),
        }
    }

    /// Writes the image.
    pub fn write(
        &self,
        plan: &Plan,
        cache: &Cache,
        work: &Path,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Written, Fatal> {
        progress.step("Writing the image");
        if let Self::Layout(path) = self {
            return write_layout(path, plan, cache, work, progress, cancel);
        }
        let archive = Archive::of(plan, 0).map_err(|error| disk::failed("lay out the image", &error))?;
        let id = format!("sha256:{}", archive.config);
        if let Self::Archive(path) = self {
            let write =
                |mut file: File| copy(&archive, &mut file, progress, cancel).map_err(|stopped| at(path, stopped));
            let failed = |error| failed(path, &error);
            if is_no_file(path) {
                write(fs_err::OpenOptions::new().write(true).truncate(true).open(path).map_err(failed)?)?;
            } else {
                Part::write(path, |part| write(File::create(part).map_err(failed)?))?;
            }
        } else {
            let mut out = io::stdout().lock();
            copy(&archive, &mut out, progress, cancel).map_err(|stopped| at(Path::new("standard output"), stopped))?;
            out.flush().map_err(|error| failed(Path::new("standard output"), &error))?;
        }
        Ok(Written { id, compressed: Vec::new() })
    }
}

fn write_layout(
    path: &Path,
    plan: &Plan,
    cache: &Cache,
    work: &Path,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Written, Fatal> {
    let mut layers = Vec::new();
    for layer in &plan.layers {
        layers.push(cache.derived(&layer.digest, "gz", work, |target| compress(layer, target, progress, cancel))?);
    }
    let is_new = !path.exists();
    // Nobody adds an image meanwhile, nor takes away what no image is made of yet.
    let _alone = alone(path).map_err(|error| failed(path, &error))?;
    let config = plan.config();
    let written = add_image(path, plan, &config, &layers, cancel);
    if written.is_err() && is_new && index(path).is_null() {
        let _ = std::fs::remove_dir_all(path);
    }
    sweep(path);
    written?;
    let compressed = layers.iter().map(|(_, _, size)| *size).collect();
    Ok(Written { id: format!("sha256:{}", digest::of(&config)), compressed })
}

/// Makes a layout's folder if it is not there, and keeps others out of it as long as what is returned lives.
fn alone(path: &Path) -> io::Result<Option<Flock<std::fs::File>>> {
    loop {
        fs_err::create_dir_all(path)?;
        let folder = File::open(path)?;
        let inode = folder.metadata()?.ino();
        let lock = lock(folder, FlockArg::LockExclusive);
        // Who had it before may have removed it.
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.ino() == inode) {
            return Ok(lock);
        }
    }
}

/// Adds an image to a layout, of layers that are compressed: files, digests, lengths.
fn add_image(
    path: &Path,
    plan: &Plan,
    config: &[u8],
    layers: &[(PathBuf, String, u64)],
    cancel: &Cancel,
) -> Result<(), Fatal> {
    let write = |file: &Path, content: &[u8]| {
        Part::write(file, |part| fs_err::write(part, content).map_err(|error| failed(path, &error)))
    };
    // Before anything else, so that what a build leaves that is killed can be told from another folder.
    write(&path.join(MARK), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let blobs = path.join(BLOBS);
    fs_err::create_dir_all(&blobs).map_err(|error| failed(path, &error))?;
    let mut descriptors = Vec::new();
    for (file, digest, size) in layers {
        cancel.check()?;
        // The cache may be on another disk, and its files are not to be changed through a link.
        Part::write(&blobs.join(digest), |part| {
            fs_err::copy(file, part).map(drop).map_err(|error| failed(path, &error))
        })?;
        descriptors.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{digest}"),
            "size": size,
        }));
    }
    let manifest = plan.manifest_with(config, &descriptors);
    for content in [config, &manifest] {
        write(&blobs.join(digest::of(content)), content)?;
    }
    let mut manifests = manifests(path);
    manifests.retain(|manifest| manifest["annotations"][REF_NAME] != plan.reference.tag());
    manifests.push(json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{}", digest::of(&manifest)),
        "size": manifest.len(),
        "annotations": { REF_NAME: plan.reference.tag() },
    }));
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    cancel.check()?;
    write(&path.join(INDEX), index.to_string().as_bytes())
}

/// The index of a layout; null where there is none.
fn index(layout: &Path) -> Value {
    let index = std::fs::read(layout.join(INDEX)).unwrap_or_default();
    serde_json::from_slice(&index).unwrap_or_default()
}

/// The images that a layout has.
fn manifests(layout: &Path) -> Vec<Value> {
    index(layout)["manifests"].as_array().cloned().unwrap_or_default()
}

/// Removes what no image of a layout is made of, as far as that can be done: images that were replaced, what could not be
/// finished.
fn sweep(layout: &Path) {
    let blobs = layout.join(BLOBS);
    let mut needed = BTreeSet::new();
    if need(&manifests(layout), &blobs, &mut needed).is_err() {
        return;
    }
    for entry in std::fs::read_dir(&blobs).into_iter().flatten().filter_map(Result::ok) {
        if !entry.file_name().to_str().is_some_and(|name| needed.contains(name)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Adds what images consist of: their manifests, and all that these name.
///
/// # Errors
/// A manifest cannot be read.
fn need(descriptors: &[Value], blobs: &Path, needed: &mut BTreeSet<String>) -> io::Result<()> {
    for descriptor in descriptors {
        let Some(name) = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")) else {
            continue;
        };
        let kind = descriptor["mediaType"].as_str().unwrap_or_default();
        let names_others = ["manifest", "index"].iter().any(|word| kind.contains(word));
        if !needed.insert(name.to_owned()) || !names_others || name.contains('/') {
            continue;
        }
        let content = match std::fs::read(blobs.join(name)) {
            // A layout may lack what it names, and then goes on lacking it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            content => content?,
        };
        let content: Value = serde_json::from_slice(&content).unwrap_or_default();
        for member in ["manifests", "layers"] {
            need(content[member].as_array().map_or(&[], Vec::as_slice), blobs, needed)?;
        }
        need(std::slice::from_ref(&content["config"]), blobs, needed)?;
    }
    Ok(())
}

fn compress(layer: &Layer, target: &Path, progress: &dyn Progress, cancel: &Cancel) -> Result<(), Fatal> {
    let compressed = File::create(target).map_err(Stopped::Disk);
    let compressed = compressed.and_then(|mut target| gzip::compress(layer, &mut target, progress, cancel));
    compressed.map_err(|stopped| match stopped {
        Stopped::Told(fatal) => fatal,
        Stopped::Disk(error) => disk::failed_in("compress a layer", parent(target), &error),
    })
}

/// The sentence for what stopped a copy to `path`.
fn at(path: &Path, stopped: Stopped) -> Fatal {
    match stopped {
        Stopped::Told(fatal) => fatal,
        Stopped::Disk(error) => failed(path, &error),
    }
}

fn copy(archive: &Archive, to: &mut impl Write, progress: &dyn Progress, cancel: &Cancel) -> Result<(), Stopped> {
    let mut done = 0;
    let mut chunk = vec![0; CHUNK];
    for piece in &archive.pieces {
        match piece {
            Piece::Bytes(bytes) => {
                to.write_all(bytes).map_err(Stopped::Disk)?;
                done += bytes.len() as u64;
            }
            Piece::File(path) => {
                let mut file = File::open(path).map_err(Stopped::Disk)?;
                loop {
                    cancel.check().map_err(Stopped::Told)?;
                    let count = file.read(&mut chunk).map_err(Stopped::Disk)?;
                    if count == 0 {
                        break;
                    }
                    to.write_all(&chunk[..count]).map_err(Stopped::Disk)?;
                    done += count as u64;
                    progress.bytes(done, archive.size);
                }
            }
        }
    }
    Ok(())
}

/// Whether what is there is to be written into, not replaced: a pipe, a device, what a process has open.
fn is_no_file(path: &Path) -> bool {
    let is_open = ["/dev", "/proc"].iter().any(|place| path.starts_with(place)) && path.is_symlink();
    is_open || std::fs::metadata(path).is_ok_and(|there| !there.is_file())
}

fn is_layout(path: &Path) -> bool {
    path.join(MARK).is_file() || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        os::unix::fs::MetadataExt as _,
        path::{Path, PathBuf},
    };

    use serde_json::json;

    use super::{Output, REF_NAME};
    use crate::image::cache::Cache;
    use crate::image::job::progress::{Cancel, Silent};
    use crate::image::oci::container::Container;
    use crate::image::oci::plan::Plan;

    fn plan(tag: &str) -> Plan {
        let reference = format!("shop:{tag}").parse().unwrap();
        Plan { reference, layers: Vec::new(), container: Container::default(), created: tag.to_owned() }
    }

    fn write(output: &Output, tag: &str) {
        let work = tempfile::tempdir().unwrap();
        output.write(&plan(tag), &Cache::none(), work.path(), &Silent, &Cancel::default()).unwrap();
    }

    /// Writes another image under the same name.
    fn write_other(layout: &Path, tag: &str) {
        let plan = Plan { created: "another".to_owned(), ..plan(tag) };
        let work = tempfile::tempdir().unwrap();
        let output = Output::Layout(layout.to_owned());
        output.write(&plan, &Cache::none(), work.path(), &Silent, &Cancel::default()).unwrap();
    }

    #[test]
    fn a_pipe_is_written_into_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut tar = Vec::new();
                std::fs::File::open(pipe).unwrap().read_to_end(&mut tar).unwrap();
                tar
            }
        });
        let tar = folder.path().join("image.tar");
        write(&Output::Archive(tar.clone()), "1");
        write(&Output::Archive(pipe.clone()), "1");
        assert!(reader.join().unwrap() == std::fs::read(tar).unwrap());
        assert!(!pipe.metadata().unwrap().is_file());
        let there = std::fs::File::create(folder.path().join("open")).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&there);
        write(&Output::Archive(format!("/dev/fd/{number}").into()), "1");
        assert!(there.metadata().unwrap().len() > 0);
        write(&Output::Archive("/dev/null".into()), "1");
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn writers_of_one_layout_keep_each_others_images_and_sweep_what_the_killed_left() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("layout");
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(layout.join("oci-layout"), "").unwrap();
        for left in [".00.1-0.rwsgi-part", "00"] {
            std::fs::write(blobs.join(left), "").unwrap();
        }
        let identity = layout.metadata().unwrap().ino();
        let tags: Vec<_> = (0..8).map(|number| number.to_string()).collect();
        std::thread::scope(|scope| {
            for tag in &tags {
                scope.spawn(|| write(&Output::Layout(layout.clone()), tag));
            }
        });
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        let mut found: Vec<_> = manifests.iter().map(|manifest| manifest["annotations"][REF_NAME].clone()).collect();
        found.sort_by_key(ToString::to_string);
        assert_eq!(json!(found), json!(tags));
        // Of each, a manifest and a config.
        assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 2 * tags.len());
        assert_eq!(layout.metadata().unwrap().ino(), identity, "it may be a mount, which cannot be replaced");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");

        write_other(&layout, "0");
        assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 2 * tags.len(), "what was replaced is gone");
    }

    #[test]
    fn a_layout_that_is_not_finished_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("layout");
        let cancelled = Cancel::default();
        cancelled.cancel();
        let stop = |created: &str| {
            let plan = Plan { created: created.to_owned(), ..plan("1") };
            Output::Layout(layout.clone()).write(&plan, &Cache::none(), folder.path(), &Silent, &cancelled).unwrap_err()
        };
        stop("a");
        assert!(!layout.exists());
        write(&Output::Layout(layout.clone()), "1");
        let files = || {
            let entries = walkdir::WalkDir::new(&layout).sort_by_file_name().into_iter();
            entries.map(|entry| entry.unwrap().into_path()).collect::<Vec<_>>()
        };
        let before = files();
        stop("b");
        assert_eq!(files(), before);
    }

    #[test]
    fn a_place_is_told_by_its_form() {
        for (text, output) in [
            ("-", Output::Standard),
            ("/dev/stdout", Output::Standard),
            ("image.tar", Output::Archive("image.tar".into())),
            ("./-", Output::Archive("./-".into())),
            ("oci:image", Output::Layout("image".into())),
        ] {
            assert_eq!(Output::of(text), output);
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::fs::create_dir(path("empty")).unwrap();
        std::fs::create_dir_all(path("full/x")).unwrap();
        let check = |output: Output| output.check().map_err(|error| error.to_string());
        for (output, why) in [
            (Output::Archive(path("none/image.tar")), "there is no folder"),
            (Output::Archive(path("empty")), "it is a folder"),
            (Output::Layout(path("full")), "is no OCI layout"),
            (Output::Layout(path("file")), "is no OCI layout"),
            (Output::Layout(PathBuf::new()), "names no file"),
        ] {
            assert!(check(output.clone()).is_err_and(|error| error.contains(why)), "{output:?}");
        }
        for output in [Output::Archive(path("image.tar")), Output::Archive(path("file")), Output::Layout(path("empty"))]
        {
            assert_eq!(check(output), Ok(()));
        }
    }
}
