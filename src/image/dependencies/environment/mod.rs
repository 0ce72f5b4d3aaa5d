//! `--from-venv`: the packages of a virtual environment as they are, by what each says of its own files.
//!
//! Not what lies beside them: commands of the environment itself, byte code, what installs packages (pip, setuptools, wheel,
//! unless another package needs them), and rwsgi, which the image has already.

mod distribution;
mod paths;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::{Path, PathBuf},
};

use distribution::{Distribution, Place};

use super::lines;
use crate::{
    exit::Fatal,
    image::{
        cache::Key,
        choices::FromVenv,
        interpreter::Facts,
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        layer::inputs::Inputs,
    },
};

const VARIABLE: &str = "VIRTUAL_ENV";
/// What is there for installing, and goes along only where something needs it.
const INSTALLERS: [&str; 3] = ["pip", "setuptools", "wheel"];
/// What the image has already.
const OWN: &str = "rwsgi";
/// What virtualenv and uv put into an environment for its own sake.
const MACHINERY: [&str; 1] = ["_virtualenv.pth"];

/// What of an environment goes along.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Environment {
    /// As it was named.
    shown: String,
    /// The folder with the packages, below the environment's.
    packages: PathBuf,
    /// Files: their place below the environment's folder, and where they are.
    files: BTreeMap<PathBuf, PathBuf>,
    /// Files with another content than they have in the environment.
    texts: BTreeMap<PathBuf, String>,
}

impl Environment {
    /// The environment that is meant, if one is.
    ///
    /// # Errors
    /// It is none, is for another Python, or has packages whose files cannot be told or are not in it.
    pub fn find(
        wanted: &FromVenv,
        folder: &Path,
        facts: &Facts,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, Fatal> {
        let (prefix, shown) = match wanted {
            FromVenv::Unsaid | FromVenv::No => return Ok(None),
            FromVenv::Folder(prefix) => (prefix.clone(), prefix.display().to_string()),
            FromVenv::InUse => {
                let prefix = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
                let prefix = prefix.ok_or_else(|| {
                    Fatal::new(format!(
                        "No environment is in use: {VARIABLE} is not set. Activate one, or name it with --from-venv=DIR."
                    ))
                })?;
                let shown = format!("{} (from {VARIABLE})", prefix.display());
                (prefix, shown)
            }
        };
        // As records and other files name it.
        let prefix = prefix.canonicalize().unwrap_or(prefix);
        let packages = packages(&prefix, &shown, facts, progress)?;
        Self::read(shown, &prefix, &packages, folder).map(Some)
    }

    fn read(shown: String, prefix: &Path, packages: &Path, folder: &Path) -> Result<Self, Fatal> {
        let mut all = distributions(packages, &shown)?;
        let needed: BTreeSet<String> = all
            .iter()
            .filter(|one| !INSTALLERS.contains(&one.name.as_str()))
            .flat_map(|one| one.requires.iter().map(|requirement| lines::name(requirement)))
            .collect();
        all.retain(|one| one.name != OWN && (!INSTALLERS.contains(&one.name.as_str()) || needed.contains(&one.name)));
        let packages_name = packages.strip_prefix(prefix).unwrap_or(packages).to_owned();
        let mut environment = Self { shown, packages: packages_name, ..Self::default() };
        for one in &all {
            environment.add(one, prefix, packages, folder)?;
        }
        environment.add_loose_paths(packages, folder)?;
        Ok(environment)
    }

    fn add(&mut self, one: &Distribution, prefix: &Path, packages: &Path, folder: &Path) -> Result<(), Fatal> {
        let editable = one.editable_folder().map(|source| source.canonicalize().unwrap_or(source));
        if let Some((source, place)) =
            editable.as_ref().and_then(|source| Some((source, stays_behind(source, folder)?)))
        {
            return Err(Fatal::new(format!(
                "{} has {} in editable mode (-e): its files are in {}, {place}, and would stay on this machine. Install it \
                 without -e.",
                self.shown,
                one.name,
                source.display()
            )));
        }
        let mut record = String::new();
        for line in &one.record {
            let place = match line.place(packages, prefix) {
                Place::Inside(path) => path,
                Place::Elsewhere => {
                    return Err(Fatal::new(format!(
                        "{} has {}, which put {} outside of the environment. Install it another way, or without it.",
                        self.shown, one.name, line.path
                    )));
                }
                Place::Nowhere => continue,
            };
            let source = prefix.join(&place);
            let name = place.strip_prefix(&self.packages).unwrap_or(&place);
            // Byte code beside its source is made anew.
            let is_byte_code = source.extension().is_some_and(|extension| extension == "pyc");
            if one.is_local_url(name) || is_byte_code && source.with_extension("py").is_file() {
                continue;
            }
            if !source.is_file() {
                return Err(Fatal::new(format!(
                    "{} has {} without its file {}. Install it again: pip install --force-reinstall {}",
                    self.shown,
                    one.name,
                    source.display(),
                    one.name
                )));
            }
            let is_paths = place.extension().is_some_and(|extension| extension == "pth");
            if is_paths {
                self.texts.insert(place, paths::translate(&read(&source)?, &source, folder)?);
            } else if editable.is_some() && paths::is_finder(name) {
                let text = paths::replace(&read(&source)?, folder);
                if let Some(path) = paths::leads_out(&text) {
                    return Err(Fatal::new(format!(
                        "{} has {} in editable mode (-e): {} leads to {}, which would stay on this machine. Install it \
                         without -e.",
                        self.shown,
                        one.name,
                        source.display(),
                        path.display()
                    )));
                }
                self.texts.insert(place, text);
            } else if one.is_record(name) {
                // Written anew below, with what goes along.
            } else {
                self.files.insert(place, source);
            }
            record.push_str(&line.text());
        }
        self.texts.insert(self.packages.join(one.record_place()), record);
        Ok(())
    }

    /// Files with paths that no package has put there, but someone by hand.
    fn add_loose_paths(&mut self, packages: &Path, folder: &Path) -> Result<(), Fatal> {
        for entry in fs_err::read_dir(packages).map_err(|error| disk::failed("read the environment", &error))? {
            let entry = entry.map_err(|error| disk::failed("read the environment", &error))?;
            let (name, file) = (PathBuf::from(entry.file_name()), entry.path());
            let is_machinery = MACHINERY.iter().any(|known| name == Path::new(known));
            let is_paths = name.extension().is_some_and(|extension| extension == "pth");
            let place = self.packages.join(&name);
            if !is_paths || is_machinery || self.texts.contains_key(&place) || self.is_installers(&file)? {
                continue;
            }
            let text = read(&file)?;
            if paths::runs_code(&text) {
                return Err(Fatal::new(format!(
                    "{} belongs to no package and runs code whenever Python starts, which cannot be taken along. Remove it, \
                     or install what it is for as a package.",
                    file.display()
                )));
            }
            self.texts.insert(place, paths::translate(&text, &file, folder)?);
        }
        Ok(())
    }

    /// Whether a file belongs to a package that stays behind.
    fn is_installers(&self, file: &Path) -> Result<bool, Fatal> {
        Ok(distributions(file.parent().unwrap_or(file), &self.shown)?.iter().any(|one| {
            one.record.iter().any(|line| Path::new(&line.path) == Path::new(file.file_name().unwrap_or_default()))
        }))
    }

    /// What it is called, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What tells this environment from what it is after another install. Nothing, if it is just being changed.
    pub fn key(&self) -> Option<Key> {
        let mut inputs = Inputs::default();
        for source in self.files.values() {
            inputs.add(source);
        }
        let places = format!("{:?}{:?}", self.files, self.texts);
        inputs.are_settled().then(|| Key::default().with(places).with(inputs.to_bytes()))
    }

    /// Copies everything below `prefix`, as an installer would have put it there.
    ///
    /// # Errors
    /// A file cannot be copied, or the build was told to stop.
    pub fn copy(&self, prefix: &Path, progress: &dyn Progress, cancel: &Cancel) -> Result<(), Fatal> {
        let failed = |error| disk::failed("copy the environment", &error);
        let make_room = |place: &Path| {
            let to = prefix.join(place);
            to.parent().map_or(Ok(()), fs_err::create_dir_all).map(|()| to).map_err(failed)
        };
        for ((place, source), done) in self.files.iter().zip(0..) {
            cancel.check()?;
            progress.files(done, self.files.len() as u64);
            fs_err::copy(source, make_room(place)?).map_err(failed)?;
        }
        for (place, text) in &self.texts {
            fs_err::write(make_room(place)?, text).map_err(failed)?;
        }
        Ok(())
    }
}

/// What of the place of a package's `source` keeps it out of an image of the app in `folder`.
fn stays_behind(source: &Path, folder: &Path) -> Option<&'static str> {
    if !source.starts_with(folder) {
        return Some("outside of the app's folder");
    }
    // The app's folder may be an environment itself.
    let mut between = source.ancestors().take_while(|above| *above != folder);
    between.any(|above| above.join("pyvenv.cfg").exists()).then_some("in a virtual environment")
}

/// The folder with the packages.
fn packages(prefix: &Path, shown: &str, facts: &Facts, progress: &dyn Progress) -> Result<PathBuf, Fatal> {
    let version = &facts.version;
    let packages = prefix.join("lib").join(format!("python{version}")).join("site-packages");
    let configuration = fs_err::read_to_string(prefix.join("pyvenv.cfg")).unwrap_or_default();
    if packages.is_dir() {
        if paths::has_system_packages(&configuration) {
            progress.warning(&format!(
                "{shown} sees the system's packages too (include-system-site-packages); those are not in it and stay behind."
            ));
        }
        return Ok(packages);
    }
    let others = fs_err::read_dir(prefix.join("lib")).into_iter().flatten().filter_map(Result::ok);
    let other = others.filter_map(|entry| entry.file_name().into_string().ok()).find(|name| name.starts_with("python"));
    Err(Fatal::new(match other {
        Some(other) => format!(
            "{shown} is an environment of {}, but the image gets Python {version}, which this rwsgi embeds. Make one with \
             python{version} -m venv, or take an rwsgi that embeds the other.",
            other.replace("python", "Python ")
        ),
        None => format!(
            "{shown} is no virtual environment: there is no {}. Name one with --from-venv=DIR.",
            packages.display()
        ),
    }))
}

fn distributions(packages: &Path, shown: &str) -> Result<Vec<Distribution>, Fatal> {
    let failed = |error| disk::failed("read the environment", &error);
    let mut found = Vec::new();
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in fs_err::read_dir(packages).map_err(failed)? {
        names.push(entry.map_err(failed)?.path());
    }
    names.sort();
    for path in names {
        match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("dist-info") => found.push(Distribution::read(&path, shown)?),
            Some("egg-info" | "egg" | "egg-link") => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let name = name.split('-').next().unwrap_or_default().to_owned();
                return Err(distribution::unrecorded(shown, &name));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn read(file: &Path) -> Result<String, Fatal> {
    let bytes = fs_err::read(file).map_err(|error| disk::failed("read the environment", &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
