//! What a project says of itself in its `pyproject.toml`: its name and version, its dependencies, and what it chooses for its
//! image.

mod document;
mod table;

use std::{collections::BTreeMap, path::Path};

use document::{At, find, parse};

use pep440_rs::{Version, VersionSpecifiers};

pub use crate::image::choices::FILE;
use crate::{
    exit::Fatal,
    image::{choices::Choices, job::disk},
};

/// What the file says; nothing where there is none.
#[derive(Debug, Default, PartialEq)]
pub struct Project {
    /// `project.name`, or Poetry's.
    pub name: Option<String>,
    /// `project.version`, unless the build makes it up, or Poetry's.
    pub version: Option<String>,
    /// `project.description`.
    pub description: Option<String>,
    /// `project.license`, where it is an SPDX expression.
    pub license: Option<String>,
    /// `project.urls`, by what they are called, in small letters and without anything else.
    pub urls: BTreeMap<String, String>,
    /// `project.entry-points`: groups, names, objects.
    pub entry_points: BTreeMap<String, BTreeMap<String, String>>,
    /// `project.requires-python`, and its line.
    pub requires_python: Option<(VersionSpecifiers, usize)>,
    /// What it needs.
    pub dependencies: Dependencies,
    /// `project.optional-dependencies`.
    pub optional: BTreeMap<String, Vec<Listed>>,
    /// Where packages come from by what only the project's own tool follows.
    pub sources: BTreeMap<String, Setting>,
    /// The same, where a lock has settled it: a repository, a folder, an address.
    pub settled_sources: BTreeMap<String, Setting>,
    /// The package indexes that only it asks.
    pub indexes: Vec<Setting>,
    /// `tool.rwsgi.image`.
    pub choices: Choices,
}

/// `project.dependencies`.
#[derive(Debug, Default, PartialEq)]
pub enum Dependencies {
    /// There is no such list.
    #[default]
    Absent,
    /// These.
    Listed(Vec<Listed>),
    /// They are somewhere that only the project's own tool reads.
    Elsewhere(&'static str),
}

/// A requirement and its line in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// As pip takes it.
    pub requirement: String,
    /// From 1.
    pub line: usize,
}

/// A setting of another tool's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// Its name with those of the tables that it is in.
    pub key: String,
    /// From 1.
    pub line: usize,
}

/// Where tools are told of package indexes.
const INDEXES: [[&str; 3]; 5] = [
    ["tool", "uv", "index"],
    ["tool", "uv", "index-url"],
    ["tool", "uv", "extra-index-url"],
    ["tool", "poetry", "source"],
    ["tool", "pdm", "source"],
];
/// By which Poetry is told to get a package from elsewhere than the usual index.
const SOURCES: [&str; 5] = ["git", "path", "file", "url", "source"];

impl Project {
    /// Reads the file in `folder`.
    ///
    /// # Errors
    /// It cannot be read, or says something that cannot be.
    pub fn read(folder: &Path) -> Result<Self, Fatal> {
        let file = folder.join(FILE);
        if !file.is_file() {
            return Ok(Self::default());
        }
        let text = fs_err::read_to_string(&file).map_err(|error| disk::failed("read the project", &error))?;
        Self::from_text(&text, folder)
    }

    fn from_text(text: &str, folder: &Path) -> Result<Self, Fatal> {
        let root = parse(text)?;
        let at = |key: &[&str]| find(text, root.get_ref(), key);
        let word = |name: &str| {
            let value = at(&["project", name]).or_else(|| at(&["tool", "poetry", name]));
            value.and_then(|at| at.text().ok().map(str::to_owned))
        };
        let mut project = Self {
            name: word("name"),
            version: word("version"),
            description: word("description"),
            license: word("license"),
            ..Self::default()
        };
        if let Some(urls) = at(&["project", "urls"]) {
            for (name, url) in urls.table()? {
                project.urls.insert(plain(&name), url.text()?.to_owned());
            }
        }
        if let Some(groups) = at(&["project", "entry-points"]) {
            for (group, entries) in groups.table()? {
                let entries = entries.table()?.into_iter().map(|(name, object)| Ok((name, object.text()?.to_owned())));
                project.entry_points.insert(group, entries.collect::<Result<_, Fatal>>()?);
            }
        }
        if let Some(wanted) = at(&["project", "requires-python"]) {
            let specifiers = wanted.text()?.parse();
            let refused = |_| wanted.refuse("is not a version specifier such as \">=3.9\" (PEP 440)");
            project.requires_python = Some((specifiers.map_err(refused)?, wanted.line()));
        }
        let poetry = at(&["tool", "poetry", "dependencies"]);
        project.dependencies = match (at(&["project", "dependencies"]), at(&["project", "dynamic"])) {
            (Some(list), _) => Dependencies::Listed(listed(&list)?),
            (None, Some(names)) if names.list()?.iter().any(|name| name.text() == Ok("dependencies")) => {
                Dependencies::Elsewhere("says that its build computes them")
            }
            _ if poetry.is_some() => Dependencies::Elsewhere("lists them for Poetry only"),
            _ => Dependencies::Absent,
        };
        if let Some(groups) = at(&["project", "optional-dependencies"]) {
            for (name, list) in groups.table()? {
                project.optional.insert(name, listed(&list)?);
            }
        }
        let sources = at(&["tool", "uv", "sources"]).map_or(Ok(Vec::new()), |sources| sources.table())?;
        let (indexes, settled): (Vec<_>, Vec<_>) = sources.into_iter().partition(|(_, at)| has_any(at, &["index"]));
        let dependencies = poetry.map_or(Ok(Vec::new()), |dependencies| dependencies.table())?;
        // From somewhere in particular, or one of several places that Poetry chooses from.
        let elsewhere = dependencies.into_iter().filter(|(_, at)| has_any(at, &SOURCES));
        project.sources = indexes.into_iter().chain(elsewhere).map(|(name, at)| (name, setting(&at))).collect();
        project.settled_sources = settled.into_iter().map(|(name, at)| (name, setting(&at))).collect();
        project.indexes = INDEXES.iter().filter_map(|key| at(key)).map(|at| setting(&at)).collect();
        if let Some(ours) = at(&["tool", "rwsgi"]) {
            project.choices = table::choices(&ours, folder)?;
        }
        Ok(project)
    }
}

impl Project {
    /// Sees whether the project runs on a `version` of Python.
    ///
    /// # Errors
    /// It says itself that it does not.
    pub fn check_python(&self, version: &str) -> Result<(), Fatal> {
        let Some((wanted, line)) = &self.requires_python else { return Ok(()) };
        match version.parse::<Version>() {
            Ok(found) if !wanted.contains(&found) => Err(Fatal::new(format!(
                "{FILE}, line {line}: project.requires-python is \"{wanted}\", and the Python of the image is {version}. \
                 Install rwsgi into one that it allows, or name one with --python-from."
            ))),
            _ => Ok(()),
        }
    }
}

impl Project {
    /// What `importlib.metadata` finds of the project, which is served from its folder and not installed: the name of a folder
    /// beside the packages, and its files (the packaging specification "Recording installed projects"). Only where name and version
    /// are known, and nothing of what is `installed` is this project.
    pub fn record(&self, installed: &[String]) -> Option<(String, Vec<(&'static str, String)>)> {
        let name = self.name.as_ref().filter(|name| {
            let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !name.is_empty() && name.bytes().all(is_of_name)
        })?;
        let version: Version = self.version.as_ref()?.parse().ok()?;
        let folder = |name: &str| {
            let words: Vec<_> = name.split(['-', '_', '.']).filter(|word| !word.is_empty()).collect();
            words.join("_").to_ascii_lowercase()
        };
        let own = folder(name);
        let is_own = |entry: &String| {
            let record = entry.strip_suffix(".dist-info").or_else(|| entry.strip_suffix(".egg-info"));
            record.is_some_and(|record| folder(record.split('-').next().unwrap_or_default()) == own)
        };
        if installed.iter().any(is_own) {
            return None;
        }
        let mut files = vec![
            ("METADATA", format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")),
            ("INSTALLER", "rwsgi\n".to_owned()),
        ];
        if !self.entry_points.is_empty() {
            let group = |(group, entries): (&String, &BTreeMap<String, String>)| {
                let lines = entries.iter().map(|(name, object)| format!("{name} = {object}\n"));
                format!("[{group}]\n{}", lines.collect::<String>())
            };
            files.push(("entry_points.txt", self.entry_points.iter().map(group).collect()));
        }
        Some((format!("{own}-{version}.dist-info"), files))
    }
}

fn listed(list: &At<'_>) -> Result<Vec<Listed>, Fatal> {
    list.list()?.iter().map(|at| Ok(Listed { requirement: at.text()?.to_owned(), line: at.line() })).collect()
}

fn setting(at: &At<'_>) -> Setting {
    Setting { key: at.key.clone(), line: at.line() }
}

/// Whether a table, or one of several, has any of these names.
fn has_any(at: &At<'_>, names: &[&str]) -> bool {
    let several = at.list().unwrap_or_else(|_| vec![at.clone()]);
    several.iter().any(|one| names.iter().any(|name| one.get(name).is_some()))
}

/// A label as tools compare them: "Source Code" and "source-code" are one.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
