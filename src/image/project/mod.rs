//! Which app a folder holds: what it says itself (`FLASK_APP`, a Procfile), or what its files look like.
//!
//! Nothing of the app is imported or run. In doubt the user is asked, with what was found.

mod candidates;
mod procfile;

use std::path::{Path, PathBuf};

use candidates::{Choice, Sources};

use super::{interpreter::Interpreter, progress::Cancel};
use crate::exit::Fatal;

/// An app and how it was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct App {
    /// What rwsgi serves: `module:name`, `module:factory()`.
    pub spec: String,
    /// The folder to serve it from, below the app's, where it is another.
    pub folder: Option<PathBuf>,
    /// Why it was taken.
    pub reason: String,
    /// The modules that the files looked at import.
    pub imports: Vec<String>,
}

/// The files of a folder that are looked into first.
const USUAL: [&str; 4] = ["wsgi.py", "app.py", "main.py", "application.py"];

/// Finds the app in `folder`, or the one that `asked` names.
pub fn find(folder: &Path, asked: Option<&str>, interpreter: &Interpreter, cancel: &Cancel) -> Result<App, Fatal> {
    let sources = Sources::read(folder, interpreter, cancel)?;
    let imports = sources.imports();
    let app = |spec: String, reason: String| App { spec, folder: None, reason, imports: imports.clone() };
    if let Some(spec) = asked {
        return Ok(app(spec.to_owned(), "from --app".to_owned()));
    }
    if let Some((value, origin)) = flask_app(folder) {
        let (spec, below) = from_flask_app(&value, folder, &sources).ok_or_else(|| {
            Fatal::new(format!(
                "FLASK_APP is {value:?} ({origin}), but there is no such file in {}. Correct it, or name the app with \
                 --app MODULE:NAME.",
                folder.display()
            ))
        })?;
        return Ok(App { folder: below, ..app(spec, format!("FLASK_APP, from {origin}")) });
    }
    if let Some(command) = fs_err::read_to_string(folder.join("Procfile")).ok().and_then(|text| procfile::web(&text)) {
        return Ok(App { folder: command.folder, ..app(command.spec, "the web line of Procfile".to_owned()) });
    }
    match sources.choose() {
        Choice::One { spec, reason } => Ok(app(spec, reason)),
        Choice::None => Err(Fatal::new(format!(
            "No WSGI app was found in {}: {}. Name it with --app MODULE:NAME, for example --app app:app.",
            folder.display(),
            sources.looked_into()
        ))),
        Choice::Several(found) => Err(Fatal::new(format!(
            "There is more than one app in {}, and nothing says which is meant. Name one:\n{}",
            folder.display(),
            found.iter().map(|(spec, why)| format!("  --app '{spec}'    {why}\n")).collect::<String>().trim_end()
        ))),
    }
}

/// The value of `FLASK_APP` and where it is set, in the order in which `flask run` looks.
fn flask_app(folder: &Path) -> Option<(String, &'static str)> {
    const NAME: &str = "FLASK_APP";
    let from_file = |file: &'static str| {
        let variables = dotenvy::from_path_iter(folder.join(file)).ok()?;
        let (_, value) = variables.filter_map(Result::ok).filter(|(name, _)| name == NAME).last()?;
        Some((value, file))
    };
    std::env::var(NAME)
        .ok()
        .map(|value| (value, "the environment"))
        .or_else(|| from_file(".env"))
        .or_else(|| from_file(".flaskenv"))
        .filter(|(value, _)| !value.trim().is_empty())
}

/// What `flask --app VALUE run` would serve, and the folder that it would import from.
fn from_flask_app(value: &str, folder: &Path, sources: &Sources) -> Option<(String, Option<PathBuf>)> {
    let value = value.trim();
    let (name, attribute) = match value.split_once(':') {
        Some((name, attribute)) => (name, Some(attribute.trim())),
        None => (value, None),
    };
    let name = name.trim();
    let is_path = name.contains('/') || name.ends_with(".py");
    let (module, below) = if is_path { module_of_path(name, folder)? } else { (name.to_owned(), None) };
    let file = candidates::file_of_module(&folder.join(below.as_deref().unwrap_or(Path::new(""))), &module)
        .and_then(|file| Some(file.strip_prefix(folder).ok()?.to_owned()));
    let attribute = match attribute {
        // `flask` calls a factory that is named without parentheses; a server takes the name as it is.
        Some(name) if file.as_deref().is_some_and(|file| sources.is_function(file, name)) => Some(format!("{name}()")),
        Some(name) => Some(name.to_owned()),
        None => file.as_deref().and_then(|file| sources.best(file)),
    };
    Some((attribute.map_or_else(|| module.clone(), |attribute| format!("{module}:{attribute}")), below))
}

/// The module that a path means, and the folder it is imported from: the first one above it that is not a package.
fn module_of_path(path: &str, folder: &Path) -> Option<(String, Option<PathBuf>)> {
    let path = Path::new(path);
    let absolute = fs_err::canonicalize(folder.join(path))
        .or_else(|_| fs_err::canonicalize(folder.join(path).with_extension("py")))
        .ok()?;
    let relative = absolute.strip_prefix(folder).ok()?;
    let mut names = vec![relative.file_stem()?.to_str()?.to_owned()];
    if names[0] == "__init__" {
        names.clear();
    }
    let mut parent = relative.parent();
    while let Some(package) =
        parent.filter(|package| *package != Path::new("") && folder.join(package).join("__init__.py").exists())
    {
        names.insert(0, package.file_name()?.to_str()?.to_owned());
        parent = package.parent();
    }
    let below = parent.filter(|parent| *parent != Path::new("")).map(Path::to_owned);
    (!names.is_empty()).then(|| (names.join("."), below))
}

#[cfg(test)]
mod tests;
