//! What a project says of itself in its `pyproject.toml`: its name and version, its dependencies, and what it chooses for its
//! image.

mod document;
mod table;

use std::{collections::BTreeMap, path::Path};

use document::{At, find, parse};

use pep440_rs::{Version, VersionSpecifiers};

use crate::exit::Fatal;
use crate::image::choices::Choices;
pub use crate::image::choices::FILE;
use crate::image::disk;

/// What the file says; nothing where there is none.
#[derive(Debug, Default, PartialEq)]
pub struct Project {
    /// `project.name`.
    pub name: Option<String>,
    /// `project.version`, unless the build makes it up.
    pub version: Option<String>,
    /// `project.description`.
    pub description: Option<String>,
    /// `project.license`, where it is an SPDX expression.
    pub license: Option<String>,
    /// `project.urls`, by what they are called, in small letters and without anything else.
    pub urls: BTreeMap<String, String>,
    /// `project.requires-python`, and its line.
    pub requires_python: Option<(VersionSpecifiers, usize)>,
    /// What it needs.
    pub dependencies: Dependencies,
    /// `project.optional-dependencies`.
    pub optional: BTreeMap<String, Vec<Listed>>,
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
        let word = |name: &str| at(&["project", name]).and_then(|at| at.text().ok().map(str::to_owned));
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

fn listed(list: &At<'_>) -> Result<Vec<Listed>, Fatal> {
    list.list()?.iter().map(|at| Ok(Listed { requirement: at.text()?.to_owned(), line: at.line() })).collect()
}

/// A label as tools compare them: "Source Code" and "source-code" are one.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
