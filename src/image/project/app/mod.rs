//! Which app a folder holds: what it says itself (`FLASK_APP`, a Procfile), or what its files look like.
//!
//! Nothing of the app is imported or run. In doubt the user is asked, with what was found.

mod candidates;
mod check;
pub mod configuration;
mod deeper;
pub mod procfile;
pub mod settings;

use std::path::{Path, PathBuf};

use candidates::{Choice, Sources};

use crate::{
    exit::Fatal,
    image::{cache::Cache, interpreter::Interpreter, job::progress::Cancel},
    settings::standard,
};

/// An app and how it was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct App {
    /// What rwsgi serves: `module:name`, `module:factory()`.
    pub spec: String,
    /// The folder to serve it from, below the app's, where it is another.
    pub folder: Option<PathBuf>,
    /// Why it was taken.
    pub reason: String,
}

/// The files of a folder that are looked into first.
const USUAL: [&str; 4] = ["wsgi.py", "app.py", "main.py", "application.py"];

/// Where packages lie that a project wants to have installed before it imports them ("src layout").
const SOURCES: &str = "src";

/// Finds the app in `folder`, or the one that `asked` names. It is one that can be loaded, as far as its name tells.
pub fn find(
    folder: &Path,
    asked: Option<&str>,
    interpreter: &Interpreter,
    cache: &Cache,
    cancel: &Cancel,
) -> Result<App, Fatal> {
    let app = choose(folder, asked, interpreter, cache, cancel)?;
    let from = folder.join(app.folder.as_deref().unwrap_or(Path::new("")));
    match standard::hides(&app.spec, &from) {
        Some(reason) => Err(Fatal::new(format!("{} cannot be served: {reason}", app.spec))),
        None => Ok(app),
    }
}

fn choose(
    folder: &Path,
    asked: Option<&str>,
    interpreter: &Interpreter,
    cache: &Cache,
    cancel: &Cancel,
) -> Result<App, Fatal> {
    let flask_app = flask_app(folder)
        .filter(|_| asked.is_none())
        .map(|(value, origin)| (Target::of(&value, folder), value, origin));
    let named = flask_app.as_ref().and_then(|(target, ..)| target.as_ref()?.file.clone());
    let sources = Sources::read(folder, named, interpreter, cache, cancel)?;
    let app = |spec: String, reason: String| App { spec, folder: None, reason };
    if let Some(spec) = asked {
        let below = sources_with(spec, folder);
        return Ok(App { folder: below, ..app(spec.to_owned(), "from --app".to_owned()) });
    }
    if let Some((target, value, origin)) = flask_app {
        let target = target.ok_or_else(|| {
            Fatal::new(format!(
                "FLASK_APP is {value:?} ({origin}), but there is no such file in {}. Correct it, or name the app with \
                 --app MODULE:NAME.",
                folder.display()
            ))
        })?;
        return Ok(App {
            folder: target.below.clone(),
            ..app(target.spec(&sources), format!("FLASK_APP, from {origin}"))
        });
    }
    if let Some(command) = text(&folder.join("Procfile")).and_then(|text| procfile::web(&text)) {
        // What only the other machine has, or a shell would have to make out, says nothing here.
        let below = command.folder.filter(|below| folder.join(below).is_dir()).unwrap_or_default();
        let below = sources_with(&command.spec, &folder.join(&below)).map_or(below.clone(), |more| below.join(more));
        let below = Some(below).filter(|below| *below != Path::new(""));
        let reason = "the web line of Procfile, of which only the app is taken".to_owned();
        return Ok(App { folder: below, ..app(command.spec, reason) });
    }
    if let Some(spec) = text(&folder.join(configuration::FILE)).and_then(|text| configuration::wsgi_app(&text)) {
        let below = sources_with(&spec, folder);
        return Ok(App { folder: below, ..app(spec, format!("wsgi_app in {}", configuration::FILE)) });
    }
    let (mut choice, mut obstacle) = ((sources.choose(), None), sources.obstacle());
    if matches!(choice.0, Choice::None) && folder.join(SOURCES).is_dir() {
        let below = Sources::read(&folder.join(SOURCES), None, interpreter, cache, cancel)?;
        choice = (below.choose(), Some(SOURCES.into()));
        obstacle = obstacle.or_else(|| below.obstacle());
    }
    match choice {
        (Choice::One { spec, reason }, below) => Ok(App { folder: below, ..app(spec, reason) }),
        (Choice::None, _) => {
            let why = if let Some(obstacle) = obstacle {
                obstacle
            } else {
                let deeper = deeper::found(folder, interpreter, cache, cancel)?;
                format!("{}.{deeper}", sources.looked_into())
            };
            Err(Fatal::new(format!("No WSGI app was found in {}: {why}", folder.display())))
        }
        (Choice::Several(found), _) => {
            let list: Vec<_> = found.iter().map(|(spec, why)| format!("\n  --app '{spec}'    {why}")).collect();
            let list = list.concat();
            let shown = folder.display();
            Err(Fatal::new(format!(
                "There is more than one app in {shown}, and nothing says which is meant. Name one:{list}"
            )))
        }
    }
}

/// The folder of sources below `folder`, where the module of `spec` is in there and not in the folder itself.
fn sources_with(spec: &str, folder: &Path) -> Option<PathBuf> {
    let module = spec.split(':').next().unwrap_or_default();
    let is_in = |folder: &Path| candidates::file_of_module(folder, module).is_some();
    (!is_in(folder) && is_in(&folder.join(SOURCES))).then(|| SOURCES.into())
}

/// The text of a file, if it is one: to open a pipe is to wait for who writes into it.
fn text(file: &Path) -> Option<String> {
    file.is_file().then(|| fs_err::read_to_string(file).ok())?
}

/// The value of `FLASK_APP` and where it is set, in the order in which `flask run` looks.
fn flask_app(folder: &Path) -> Option<(String, &'static str)> {
    const NAME: &str = "FLASK_APP";
    let from_file = |file: &'static str| {
        let path = folder.join(file);
        let variables = path.is_file().then(|| dotenvy::from_path_iter(path).ok())??;
        // What cannot be read once cannot be read the next time either.
        let variables = variables.take_while(|read| !matches!(read, Err(dotenvy::Error::Io(_))));
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

/// What `flask --app VALUE run` would serve.
#[derive(Debug)]
struct Target {
    module: String,
    attribute: Option<String>,
    /// The folder that it would import from, where it is not the app's.
    below: Option<PathBuf>,
    /// The module's file, if it is in the folder.
    file: Option<PathBuf>,
}

impl Target {
    fn of(value: &str, folder: &Path) -> Option<Self> {
        let (name, attribute) = match value.split_once(':') {
            Some((name, attribute)) => (name.trim(), Some(attribute.trim().to_owned())),
            None => (value.trim(), None),
        };
        let is_path = name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "py");
        let (module, below) =
            if is_path { module_of_path(name, folder)? } else { (name.to_owned(), sources_with(name, folder)) };
        let from = folder.join(below.as_deref().unwrap_or(Path::new("")));
        let file = candidates::file_of_module(&from, &module);
        let file = file.and_then(|file| Some(file.strip_prefix(folder).ok()?.to_owned()));
        Some(Self { module, attribute, below, file })
    }

    fn spec(&self, sources: &Sources) -> String {
        let file = self.file.as_deref();
        let attribute = match &self.attribute {
            // `flask` calls a factory that is named without parentheses; a server takes the name as it is.
            Some(name) if file.is_some_and(|file| sources.is_function(file, name)) => Some(format!("{name}()")),
            Some(name) => Some(name.clone()),
            None => file.and_then(|file| sources.best(file)),
        };
        attribute.map_or_else(|| self.module.clone(), |attribute| format!("{}:{attribute}", self.module))
    }
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
