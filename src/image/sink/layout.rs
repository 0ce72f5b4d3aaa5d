//! An image as a folder: an OCI layout (OCI image specification, "Image Layout"), which may have several.
//!
//! A reader finds a whole image, or the one that was there before: the index is renamed into its place last of all, and the other
//! files never change.

use std::{
    collections::BTreeSet,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use fs_err::File;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use crate::{
    exit::Fatal,
    image::{
        cache::Cache,
        filter::images::{INDEX, MARK},
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        layer::{Layer, digest},
        oci::plan::Plan,
        sink::{
            Written,
            gzip::{self, Stopped},
            part::{Part, failed, lock, parent},
        },
    },
};

/// Where a layout has layers, manifests and configs.
const BLOBS: &str = "blobs/sha256";
/// What an image is called in a layout (OCI image specification, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Whether what is there is a layout, or may become one.
pub fn may_be(path: &Path) -> bool {
    path.join(MARK).is_file() || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Writes an image into the layout at `path`, beside those that it has, or in place of the one with its tag.
pub fn write(
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
    let put = |file: &Path, content: &[u8]| {
        Part::write(file, |part| fs_err::write(part, content).map_err(|error| failed(path, &error)))
    };
    // Before anything else, so that what a build leaves that is killed can be told from another folder.
    put(&path.join(MARK), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
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
        put(&blobs.join(digest::of(content)), content)?;
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
    put(&path.join(INDEX), index.to_string().as_bytes())
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

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::MetadataExt as _, path::Path};

    use serde_json::json;

    use super::REF_NAME;
    use crate::image::{
        cache::Cache,
        job::progress::{Cancel, Silent},
        oci::{container::Container, plan::Plan},
    };

    fn plan(tag: &str) -> Plan {
        let reference = format!("shop:{tag}").parse().unwrap();
        Plan { reference, layers: Vec::new(), container: Container::default(), created: tag.to_owned() }
    }

    fn write(layout: &Path, plan: &Plan) {
        let work = tempfile::tempdir().unwrap();
        super::write(layout, plan, &Cache::none(), work.path(), &Silent, &Cancel::default()).unwrap();
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
                scope.spawn(|| write(&layout, &plan(tag)));
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

        write(&layout, &Plan { created: "another".to_owned(), ..plan("0") });
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
            super::write(&layout, &plan, &Cache::none(), folder.path(), &Silent, &cancelled).unwrap_err()
        };
        stop("a");
        assert!(!layout.exists());
        write(&layout, &plan("1"));
        let files = || {
            let entries = walkdir::WalkDir::new(&layout).sort_by_file_name().into_iter();
            entries.map(|entry| entry.unwrap().into_path()).collect::<Vec<_>>()
        };
        let before = files();
        stop("b");
        assert_eq!(files(), before);
    }
}
