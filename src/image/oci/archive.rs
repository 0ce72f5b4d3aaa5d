//! One tar with a whole image: an OCI layout, and beside it the `manifest.json` without which engines do not load it.
//!
//! Layers stay where they are on disk; the archive is a list of pieces that a sink reads one after the other.

use std::{io, path::PathBuf};

use serde_json::json;

use crate::image::{filter::images, layer::digest, oci::plan::Plan};

/// A piece of the archive.
#[derive(Debug)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A whole file.
    File(PathBuf),
}

/// An image's archive.
#[derive(Debug)]
pub struct Archive {
    /// In order.
    pub pieces: Vec<Piece>,
    /// The length of all pieces.
    pub size: u64,
    /// The digest of the image config, which is the image's id.
    pub config: String,
    /// The digest of the manifest, which is its id where the engine keeps images as containerd does.
    pub manifest: String,
}

const BLOCK: u64 = 512;

impl Archive {
    /// The archive of `plan`, without the content of its first `known` layers, which whoever reads it has.
    pub fn of(plan: &Plan, known: usize) -> io::Result<Self> {
        let config = plan.config();
        let manifest = plan.manifest(&config);
        let (config_digest, manifest_digest) = (digest::of(&config), digest::of(&manifest));
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": format!("sha256:{manifest_digest}"),
                "size": manifest.len(),
                "annotations": {
                    // containerd keeps it under this very name, and the engine looks for the canonical one.
                    "io.containerd.image.name": plan.reference.canonical(),
                    "org.opencontainers.image.ref.name": plan.reference.tag(),
                },
            }],
        });
        let for_engines = json!([{
            "Config": blob(&config_digest),
            "RepoTags": [plan.reference.to_string()],
            "Layers": plan.layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
        }]);
        let mut archive =
            Self { pieces: Vec::new(), size: 0, config: config_digest.clone(), manifest: manifest_digest.clone() };
        archive.file(images::MARK, br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())?;
        archive.file(images::INDEX, index.to_string().into_bytes())?;
        archive.file("manifest.json", for_engines.to_string().into_bytes())?;
        archive.file(&blob(&config_digest), config)?;
        archive.file(&blob(&manifest_digest), manifest)?;
        for (index, layer) in plan.layers.iter().enumerate() {
            // Two empty layers are the same blob.
            if index >= known && plan.layers[..index].iter().all(|earlier| earlier.digest != layer.digest) {
                archive.header(&blob(&layer.digest), layer.size)?;
                archive.push(Piece::File(layer.path.clone()), layer.size);
            }
        }
        archive.push(Piece::Bytes(vec![0; 1024]), 1024);
        Ok(archive)
    }

    fn file(&mut self, name: &str, content: Vec<u8>) -> io::Result<()> {
        let size = content.len() as u64;
        self.header(name, size)?;
        self.push(Piece::Bytes(content), size);
        Ok(())
    }

    fn header(&mut self, name: &str, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_path(name)?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.push(Piece::Bytes(header.as_bytes().to_vec()), BLOCK);
        Ok(())
    }

    fn push(&mut self, piece: Piece, size: u64) {
        self.size += size;
        self.pieces.push(piece);
        let padding = size.next_multiple_of(BLOCK) - size;
        if padding > 0 {
            self.size += padding;
            self.pieces.push(Piece::Bytes(vec![0; usize::try_from(padding).unwrap_or(0)]));
        }
    }
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use serde_json::{Value, json};

    use super::{Archive, Piece};
    use crate::image::job::progress::{Cancel, Silent};
    use crate::image::layer::Contents;
    use crate::image::layer::digest;
    use crate::image::oci::container::Container;
    use crate::image::oci::plan::Plan;

    #[test]
    fn an_archive_is_a_layout_and_what_engines_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name, text: &str| {
            let mut contents = Contents::default();
            contents.bytes("file", text, false);
            contents.write(name, folder.path(), &Silent, &Cancel::default()).unwrap()
        };
        let plan = Plan {
            reference: "shop".parse().unwrap(),
            layers: vec![write("one", "1"), write("two", "2"), write("three", "2")],
            container: Container::default(),
            created: "2026-01-01T00:00:00Z".to_owned(),
        };
        let archive = Archive::of(&plan, 0).unwrap();
        let bytes: Vec<u8> = archive
            .pieces
            .iter()
            .flat_map(|piece| match piece {
                Piece::Bytes(bytes) => bytes.clone(),
                Piece::File(path) => std::fs::read(path).unwrap(),
            })
            .collect();
        assert_eq!(bytes.len() as u64, archive.size);
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), content);
        }
        for (path, content) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(path.strip_prefix("blobs/sha256/").unwrap(), digest::of(content));
        }
        let read = |path: &str| serde_json::from_slice::<Value>(&files[path]).unwrap();
        let engines = &read("manifest.json")[0];
        assert_eq!(engines["RepoTags"], json!(["shop:latest"]));
        let index = read("index.json");
        let name = &index["manifests"][0]["annotations"]["io.containerd.image.name"];
        assert_eq!(name, "docker.io/library/shop:latest");
        let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
        let manifest = read(&format!("blobs/{digest}"));
        let config = manifest["config"]["digest"].as_str().unwrap().replace(':', "/");
        assert_eq!(engines["Config"], format!("blobs/{config}"));
        let config = read(&format!("blobs/{config}"));
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
        assert_eq!(config["history"].as_array().unwrap().len(), 3);
        for (path, layer) in engines["Layers"].as_array().unwrap().iter().zip(&plan.layers) {
            assert_eq!(files[path.as_str().unwrap()].len() as u64, layer.size);
        }
        let known = Archive::of(&plan, 2).unwrap();
        assert!(archive.size - known.size > plan.layers[0].size + plan.layers[1].size);
    }
}
