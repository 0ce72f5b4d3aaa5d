//! The names in an app's files that look like apps, and which of them is the best.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::USUAL;
use crate::{
    exit::Fatal,
    image::{
        cache::{Cache, Key},
        interpreter::Interpreter,
        job::{disk, progress::Cancel},
    },
};

const FIND: &str = include_str!("../../../../python/find_apps.py");
/// Files beside the usual ones that are never an app.
const NEVER: [&str; 4] = ["setup.py", "conftest.py", "gunicorn.conf.py", "manage.py"];
/// The files of a package that are looked into.
const IN_PACKAGES: [&str; 3] = ["__init__.py", "app.py", "wsgi.py"];

/// What the files of a folder hold, by their paths in it.
#[derive(Debug, Default)]
pub struct Sources {
    files: BTreeMap<PathBuf, Source>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Source {
    names: Vec<Binding>,
    /// All names that the module has, where its source tells.
    #[serde(default)]
    bound: Option<Vec<String>>,
    #[serde(default)]
    error: Option<String>,
    /// Where the error is, if it is one that an import would meet too.
    #[serde(default)]
    line: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Binding {
    name: String,
    kind: Kind,
    /// What one is that speaks ASGI, or where one is imported from, as `module:name` with the dots before a relative module.
    #[serde(default)]
    what: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Bound to a call of `Flask`.
    Flask,
    /// Called `app` or `application`, and bound to something.
    Value,
    /// Called so, and imported from elsewhere.
    Import,
    /// `create_app` or `make_app`, to be called without arguments.
    Factory,
    ImportedFactory,
    /// One that needs arguments.
    ClosedFactory,
    /// Any other function.
    Function,
    ClosedFunction,
    /// What speaks ASGI, or makes something that does.
    Asgi,
}

/// What came of looking.
#[derive(Debug, Eq, PartialEq)]
pub enum Choice {
    One {
        spec: String,
        reason: String,
    },
    /// Specs, and what they are.
    Several(Vec<(String, String)>),
    None,
}

impl Sources {
    /// Looks into the files of `folder`, and into one that was `named`.
    pub fn read(
        folder: &Path,
        named: Option<PathBuf>,
        interpreter: &Interpreter,
        cache: &Cache,
        cancel: &Cancel,
    ) -> Result<Self, Fatal> {
        let all = files(folder)?.into_iter().chain(named);
        Self::look(folder, all, interpreter, cache, cancel)
    }

    /// Looks into these `files` of `folder`.
    pub fn look(
        folder: &Path,
        files: impl IntoIterator<Item = PathBuf>,
        interpreter: &Interpreter,
        cache: &Cache,
        cancel: &Cancel,
    ) -> Result<Self, Fatal> {
        const KIND: &str = "sources";
        let mut arguments = vec![folder.to_owned()];
        arguments.extend(files);
        let mut key = Key::default().with(&interpreter.facts.full_version).with(FIND);
        for file in &arguments {
            // What cannot be read has no content, and the script says so.
            let content = std::fs::read(folder.join(file)).unwrap_or_default();
            key = key.with(file.as_os_str().as_encoded_bytes()).with(content);
        }
        if let Some(found) =
            cache.bytes(KIND, &key).and_then(|text| Self::from_json(&String::from_utf8(text).ok()?).ok())
        {
            return Ok(found);
        }
        let text = interpreter.script(FIND, &arguments, Vec::new(), cancel)?;
        let found = Self::from_json(&text)?;
        cache.keep_bytes(KIND, &key, text.as_bytes());
        Ok(found)
    }

    /// Takes over what the script found.
    pub fn from_json(text: &str) -> Result<Self, Fatal> {
        let files = serde_json::from_str(text)
            .map_err(|error| Fatal::new(format!("The app's files cannot be looked into: {error}.")))?;
        Ok(Self { files })
    }

    /// Whether `name` in `file` is a function that a server would have to call to get an app.
    pub fn is_function(&self, file: &Path, name: &str) -> bool {
        self.files.get(file).is_some_and(|source| {
            source.names.iter().any(|candidate| {
                candidate.name == name
                    && matches!(candidate.kind, Kind::Factory | Kind::ImportedFactory | Kind::Function)
            })
        })
    }

    /// What to serve of `file`, if that is clear.
    pub fn best(&self, file: &Path) -> Option<String> {
        let mut found = self.files.get(file)?.candidates();
        (found.len() == 1).then(|| found.remove(0).0)
    }

    /// The one app, or all that might be it.
    pub fn choose(&self) -> Choice {
        for rank in 0..=LAST_RANK {
            let mut found: Vec<_> = self.candidates().filter(|candidate| candidate.0 == rank).collect();
            // Where one file defines an app and another imports it, they mean the same one.
            if found.iter().any(|(_, _, _, kind)| *kind != Kind::Import) {
                found.retain(|(_, _, _, kind)| *kind != Kind::Import);
            }
            match found.as_slice() {
                [] => {}
                [(_, spec, why, _)] => return Choice::One { spec: spec.clone(), reason: why.clone() },
                _ => return Choice::Several(self.all()),
            }
        }
        Choice::None
    }

    /// Why what is in `file` cannot be served by the name `object`, as far as its source tells: a sentence, and what to do.
    pub fn objection(&self, file: &Path, object: &str) -> Option<Objection> {
        let source = self.files.get(file)?;
        if let Some(broken) = source.broken(file) {
            return Some(Objection::Certain(format!("{broken}. Correct it.")));
        }
        let name = object.split(['.', '(']).next().unwrap_or_default();
        let wanted = if name.is_empty() { &["application", "app"][..] } else { &[name] };
        let has = |name: &&&str| source.bound.as_ref().is_none_or(|bound| bound.iter().any(|one| one == **name));
        match wanted.iter().find(has) {
            Some(found) if !object.contains('.') => {
                let found = source.names.iter().find(|name| name.name == **found)?;
                Some(Objection::Certain(asgi(file, found)?))
            }
            Some(_) => None,
            None if name.starts_with("__") => None,
            None => {
                let instead = source.candidates().into_iter().map(|(name, _)| name).collect();
                let wanted = wanted.join(" and no ");
                Some(Objection::NoName(format!("{} has no {wanted}.", file.display()), instead))
            }
        }
    }

    /// The module, and the name in it, that `object` in the `module` in `file` is imported from.
    pub fn origin(&self, file: &Path, module: &str, object: &str) -> Option<(String, String)> {
        let bound = self.files.get(file)?.names.iter().find(|one| one.name == object && one.kind == Kind::Import)?;
        let (from, name) = bound.what.as_ref()?.split_once(':')?;
        let rest = from.trim_start_matches('.');
        let dots = from.len() - rest.len();
        let mut parts: Vec<_> = if dots == 0 { Vec::new() } else { module.split('.').collect() };
        let up = dots.saturating_sub(usize::from(file.ends_with("__init__.py")));
        parts.truncate(parts.len().saturating_sub(up));
        parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
        Some((parts.join("."), name.to_owned()))
    }

    /// What is in the way of there being an app: a sentence, and what to do.
    pub fn obstacle(&self) -> Option<String> {
        let broken = self.ranked().find_map(|(file, source)| source.broken(file));
        let advice = "Correct that, or name the app with --app MODULE:NAME.";
        self.asgi().or_else(|| broken.map(|broken| format!("{broken}. {advice}")))
    }

    /// The best of what speaks ASGI: a sentence, and what to do.
    pub fn asgi(&self) -> Option<String> {
        self.ranked().find_map(|(file, source)| source.names.iter().find_map(|name| asgi(file, name)))
    }

    fn ranked(&self) -> impl Iterator<Item = (&PathBuf, &Source)> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|(file, _)| rank(file));
        files.into_iter()
    }

    /// What the search saw, for the message that it found nothing.
    pub fn looked_into(&self) -> String {
        let closed = self.files.iter().find_map(|(file, source)| {
            Some((file, source.names.iter().find(|name| name.kind == Kind::ClosedFactory)?))
        });
        if let Some((file, factory)) = closed {
            return format!("{} in {} needs arguments that only you know", factory.name, file.display());
        }
        if self.files.is_empty() {
            return "it has no Python file that could be an app's".to_owned();
        }
        let files: Vec<_> = self.files.keys().map(|file| file.display().to_string()).collect();
        format!("looked into {}", files.join(", "))
    }

    /// Spec and description of each app there is.
    pub fn all(&self) -> Vec<(String, String)> {
        self.candidates().map(|(_, spec, why, _)| (spec, why)).collect()
    }

    /// Rank (lower is better), spec, description, kind.
    fn candidates(&self) -> impl Iterator<Item = (usize, String, String, Kind)> {
        self.files.iter().flat_map(|(file, source)| {
            let module = module_of(file);
            source.candidates().into_iter().map(move |(attribute, kind)| {
                let why = match kind {
                    Kind::Flask => "a Flask app",
                    Kind::Import => "an app that is imported there",
                    Kind::Factory | Kind::ImportedFactory => "an app factory",
                    _ => "a WSGI app by its name",
                };
                (rank(file), format!("{module}:{attribute}"), format!("{why} in {}", file.display()), kind)
            })
        })
    }
}

/// Why something cannot be served.
#[derive(Debug, Eq, PartialEq)]
pub enum Objection {
    /// A sentence, and what to do.
    Certain(String),
    /// A sentence that a module has no such name, and what it has instead. Other modules might give it one.
    NoName(String, Vec<String>),
}

fn asgi(file: &Path, name: &Binding) -> Option<String> {
    let what = name.what.as_ref().filter(|_| name.kind == Kind::Asgi)?;
    Some(format!(
        "{} in {} is {what}, which speaks ASGI, and rwsgi serves WSGI apps. Make it one with ASGIMiddleware of the package \
         a2wsgi, or serve it with an ASGI server such as uvicorn.",
        name.name,
        file.display()
    ))
}

impl Source {
    /// Why it is no Python, if it is none for certain.
    fn broken(&self, file: &Path) -> Option<String> {
        let (error, line) = (self.error.as_ref()?, self.line?);
        Some(format!("{}, line {line}, cannot be read as Python ({error})", file.display()))
    }

    /// The best names in the file; more than one if they are of equal standing.
    fn candidates(&self) -> Vec<(String, Kind)> {
        let of = |wanted: &[Kind]| -> Vec<(String, Kind)> {
            let chosen = self.names.iter().filter(|name| wanted.contains(&name.kind));
            chosen.map(|name| (name.name.clone(), name.kind)).collect()
        };
        let apps = of(&[Kind::Flask, Kind::Value, Kind::Import]);
        for name in ["application", "app"] {
            if let Some(app) = apps.iter().find(|app| app.0 == name) {
                return vec![app.clone()];
            }
        }
        if !apps.is_empty() {
            return apps;
        }
        let factories = of(&[Kind::Factory, Kind::ImportedFactory]);
        let first = factories.iter().find(|factory| factory.0 == "create_app").or(factories.first());
        first.map(|(name, kind)| (format!("{name}()"), *kind)).into_iter().collect()
    }
}

const LAST_RANK: usize = 3;

/// `wsgi.py` is there to be served; then come the usual names, packages, and other files.
fn rank(file: &Path) -> usize {
    let in_root = file.parent().is_none_or(|parent| parent == Path::new(""));
    match USUAL.iter().position(|usual| file == Path::new(usual)) {
        Some(0) => 0,
        Some(_) => 1,
        None if !in_root => 2,
        None => LAST_RANK,
    }
}

/// The module that a file is.
fn module_of(file: &Path) -> String {
    let names: Vec<_> = file.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let names: &[String] =
        if names.last().is_some_and(|name| name == "__init__") { &names[..names.len() - 1] } else { &names };
    names.join(".")
}

/// The file that a module is.
pub fn file_of_module(folder: &Path, module: &str) -> Option<PathBuf> {
    let path = folder.join(module.replace('.', "/"));
    [path.join("__init__.py"), path.with_extension("py")].into_iter().find(|file| file.is_file())
}

/// The files worth looking into: the folder's own and its packages', without tests and setup.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Fatal> {
    let failed = |error: std::io::Error| disk::failed("look for the app", &error);
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = folder.join(name);
        if path.join("__init__.py").is_file() && name != "tests" {
            files.extend(
                IN_PACKAGES.iter().map(|file| Path::new(name).join(file)).filter(|file| folder.join(file).is_file()),
            );
        } else if let Some(stem) = name.strip_suffix(".py")
            && path.is_file()
            && !NEVER.contains(&name)
            && !name.starts_with("test_")
            // The package of the same name is what an import gets.
            && !folder.join(stem).join("__init__.py").is_file()
        {
            files.push(PathBuf::from(name));
        }
    }
    files.sort();
    Ok(files)
}
