//! An installed distribution: what its `.dist-info` says (recording installed projects, packaging.python.org).

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::super::lines;
use crate::{exit::Fatal, image::layer::normal};

/// A distribution.
#[derive(Debug)]
pub struct Distribution {
    /// As package indexes compare it.
    pub name: String,
    /// What it needs without any extra, whatever the system: markers are not looked at.
    pub requires: Vec<String>,
    /// Its files.
    pub record: Vec<Recorded>,
    /// The name of its folder.
    folder: PathBuf,
    /// Where it was installed from, if that was said.
    origin: Option<Value>,
}

/// A line of a `RECORD`.
#[derive(Debug, Eq, PartialEq)]
pub struct Recorded {
    /// Relative to the packages' folder.
    pub path: String,
    /// Hash and length, with the comma between them.
    rest: String,
}

/// Where a recorded file is.
#[derive(Debug, Eq, PartialEq)]
pub enum Place {
    /// In the environment, under this name.
    Inside(PathBuf),
    /// Outside of the environment.
    Elsewhere,
    /// It is byte code, which is made anew.
    Nowhere,
}

impl Distribution {
    /// Reads a `.dist-info`, of the environment `shown`.
    ///
    /// # Errors
    /// It has no record of its files.
    pub fn read(folder: &Path, shown: &str) -> Result<Self, Fatal> {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        let stem = folder.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.split('-').next().unwrap_or_default();
        let record = text("RECORD").ok_or_else(|| unrecorded(shown, name))?;
        let metadata = text("METADATA").unwrap_or_default();
        // As in a mail, the header ends with an empty line.
        let requires = metadata
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix("Requires-Dist:"))
            .filter(|requirement| !requirement.split(';').nth(1).is_some_and(|marker| marker.contains("extra")))
            .map(|requirement| requirement.trim().to_owned());
        Ok(Self {
            name: lines::name(name),
            requires: requires.collect(),
            record: record.lines().filter_map(Recorded::of).collect(),
            folder: folder.file_name().unwrap_or_default().into(),
            origin: text("direct_url.json").and_then(|text| serde_json::from_str(&text).ok()),
        })
    }

    /// The folder that its files are in, where they are not in the environment (PEP 660).
    pub fn editable_folder(&self) -> Option<PathBuf> {
        let origin = self.origin.as_ref()?;
        if origin["dir_info"]["editable"].as_bool() != Some(true) {
            return None;
        }
        let path = origin["url"].as_str()?.strip_prefix("file://")?;
        Some(PathBuf::from(percent_decode_str(path).decode_utf8_lossy().into_owned()))
    }

    /// Whether a file says where on this machine the distribution came from, which is nobody else's business.
    pub fn is_local_url(&self, place: &Path) -> bool {
        let is_local =
            self.origin.as_ref().is_some_and(|it| it["url"].as_str().is_some_and(|url| url.starts_with("file:")));
        is_local && place == self.folder.join("direct_url.json")
    }

    /// Whether a file is the record itself.
    pub fn is_record(&self, place: &Path) -> bool {
        place == self.record_place()
    }

    /// Where the record is.
    pub fn record_place(&self) -> PathBuf {
        self.folder.join("RECORD")
    }
}

impl Recorded {
    /// Reads a line; nothing in what is none.
    pub fn of(line: &str) -> Option<Self> {
        // A name with a comma in it is in quotes.
        let (path, rest) = if let Some(quoted) = line.strip_prefix('"') {
            let end = quoted.rfind("\",")?;
            (quoted[..end].replace("\"\"", "\""), &quoted[end + 2..])
        } else {
            let (path, rest) = line.split_once(',')?;
            (path.to_owned(), rest)
        };
        Some(Self { path, rest: rest.to_owned() })
    }

    /// Where it is, for an environment `prefix` with its `packages`.
    pub fn place(&self, packages: &Path, prefix: &Path) -> Place {
        let path = Path::new(&self.path);
        if path.parent().is_some_and(|folder| folder.ends_with("__pycache__")) {
            return Place::Nowhere;
        }
        let whole = normal(&packages.join(path));
        whole.strip_prefix(prefix).map_or(Place::Elsewhere, |inside| Place::Inside(inside.to_owned()))
    }

    /// The line as it is written.
    pub fn text(&self) -> String {
        let path = &self.path;
        let path = if path.contains(',') { format!("\"{}\"", path.replace('"', "\"\"")) } else { path.clone() };
        format!("{path},{}\n", self.rest)
    }
}

/// The error for a distribution whose files cannot be told.
pub fn unrecorded(shown: &str, name: &str) -> Fatal {
    Fatal::new(format!(
        "{shown} has {name} without a record of its files, as older tools installed it. Install it again: pip install \
         --force-reinstall {name}"
    ))
}
