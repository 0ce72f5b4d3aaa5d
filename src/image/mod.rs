//! Container images: from an app's folder to an image in an engine.
//!
//! Joins the parts: facts about the project and the interpreter, layers, the plan, and the engine it is loaded into. Prints
//! nothing.

pub mod archive;
pub mod base;
pub mod child;
pub mod closure;
pub mod dependencies;
pub mod disk;
pub mod ignore;
pub mod interpreter;
pub mod layer;
pub mod packages;
pub mod plan;
pub mod progress;
pub mod project;
pub mod reference;
pub mod sink;
pub mod strip;
pub mod tree;

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use archive::Archive;
use dependencies::Declared;
use ignore::Rules;
use interpreter::{Check, Interpreter};
use layer::{Contents, Layer, Times};
use plan::Plan;
use progress::{Cancel, Progress};
use project::App;
use reference::Reference;
use sink::engine::Engine;

use crate::exit::Fatal;

/// The folder, among what is made on the way, that dependencies are installed into.
const PACKAGES: &str = "packages";

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// The app's folder.
    pub folder: PathBuf,
    /// The image's name.
    pub reference: Reference,
    /// The app, where it is not to be looked for.
    pub app: Option<String>,
    /// The port that the app is to listen on.
    pub port: u16,
}

/// What came of it.
#[derive(Debug)]
pub struct Image {
    /// The engine's id for it.
    pub id: String,
    /// Name, layers and command.
    pub plan: Plan,
}

/// Makes the image that `request` asks for and loads it into the engine.
pub fn dockerize(request: &Request, progress: &dyn Progress, cancel: &Cancel) -> Result<Image, Fatal> {
    let folder = fs_err::canonicalize(&request.folder)
        .ok()
        .filter(|folder| folder.is_dir())
        .ok_or_else(|| Fatal::new(format!("There is no folder {}. Name the app's.", request.folder.display())))?;
    let engine = Engine::connect()?;
    let rules = ignore_rules(&folder)?;
    let declared = Declared::find(&folder)?;
    let program = std::env::current_exe().map_err(|error| disk::failed("find the running program", &error))?;
    let interpreter = Interpreter::ask(&program, cancel)?;

    progress.step("Finding the app");
    let app = project::find(&folder, request.app.as_deref(), &interpreter, cancel)?;
    progress.note(&format!("{} ({})", app.spec, app.reason));

    // Everything that is made on the way is in here and goes with it, whichever way this function ends.
    let work = tempfile::Builder::new()
        .prefix("rwsgi-image-")
        .tempdir()
        .map_err(|error| disk::failed("make a folder for the build", &error))?;
    let build = Build { folder: &folder, work: work.path(), interpreter: &interpreter, progress, cancel };

    progress.step(&format!("Gathering Python {} and its libraries", interpreter.facts.full_version));
    let (contents, closure) = base::gather(&interpreter, work.path(), progress, cancel)?;
    let base = contents.write("base", work.path(), cancel)?;

    let mut layers = vec![base];
    layers.extend(build.packages(&declared, &app, &closure)?);

    progress.step("Adding the app");
    let (layer, newest) = build.app(&app, &rules)?;
    layers.push(layer);

    let plan = Plan {
        reference: request.reference.clone(),
        layers,
        command: command(&app, request.port),
        port: request.port,
        created: created(newest.max(modified(&program)))?,
    };
    progress.step("Loading the image into the engine");
    let archive = Archive::of(&plan).map_err(|error| disk::failed("lay out the image", &error))?;
    let id = engine.load(archive, &plan.reference.to_string(), progress, cancel)?;
    Ok(Image { id, plan })
}

/// What the steps of a build share.
struct Build<'a> {
    folder: &'a Path,
    work: &'a Path,
    interpreter: &'a Interpreter,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
}

impl Build<'_> {
    fn packages(&self, declared: &Declared, app: &App, base: &closure::Closure) -> Result<Option<Layer>, Fatal> {
        if *declared == Declared::Nowhere {
            self.progress
                .note("Neither requirements.txt nor pyproject.toml names dependencies, so none are installed.");
            self.warn_of_undeclared(app, None);
            return Ok(None);
        }
        self.progress.step(&format!("Installing the dependencies in {}", declared.file()));
        let target = self.work.join(PACKAGES);
        fs_err::create_dir_all(&target).map_err(|error| disk::failed("install the dependencies", &error))?;
        dependencies::install(declared, self.folder, self.interpreter, &target, self.work, self.progress, self.cancel)?;
        self.warn_of_undeclared(app, Some(&target));
        let contents = packages::gather(self.interpreter, &target, self.work, base, self.progress, self.cancel)?;
        contents.write("dependencies", self.work, self.cancel).map(Some)
    }

    fn warn_of_undeclared(&self, app: &App, packages: Option<&Path>) {
        let provided = |module: &str| {
            let known = self.interpreter.facts.modules.iter().any(|name| name == module);
            let there = |folder: &Path| folder.join(module).is_dir() || folder.join(format!("{module}.py")).is_file();
            known || there(self.folder) || packages.is_some_and(there)
        };
        // Other modules may be optional; an app that imports flask is nothing without it.
        if app.imports.iter().any(|module| module == "flask") && !provided("flask") {
            self.progress.warning(
                "The app imports flask, which is not installed in the image: no requirements.txt or pyproject.toml names \
                 it. Add it there.",
            );
        }
    }

    /// Whether the module that a container starts with is in the image.
    fn has_module(&self, app: &App, contents: &Contents) -> bool {
        let module = app.spec.split([':', '.']).next().unwrap_or_default();
        let place = Path::new("app").join(app.folder.as_deref().unwrap_or(Path::new("")));
        let names = [module.to_owned(), format!("{module}.py")];
        let installed = |name: &String| self.work.join(PACKAGES).join(name).exists();
        names.iter().any(|name| contents.contains(place.join(name)) || installed(name))
            || self.interpreter.facts.modules.iter().any(|known| known == module)
    }

    fn app(&self, app: &App, rules: &Rules) -> Result<(Layer, Option<SystemTime>), Fatal> {
        let mut contents = Contents::new(Times::ByContent);
        let found = tree::add_app(&mut contents, Path::new("app"), self.folder, rules, self.work, self.progress)?;
        if !self.has_module(app, &contents) {
            self.progress.warning(&format!(
                "The module of {} is neither among the app's files nor among its dependencies, so a container will not \
                 start. See to --app and .dockerignore.",
                app.spec
            ));
        }
        let into = self.work.join("app-byte-code");
        fs_err::create_dir_all(&into).map_err(|error| disk::failed("compile the app", &error))?;
        let compiled = self.interpreter.compile(contents.files(), Check::ByHash, &into, self.cancel)?;
        for (path, file) in compiled {
            contents.file(path, file, false);
        }
        Ok((contents.write("app", self.work, self.cancel)?, found.newest))
    }
}

fn ignore_rules(folder: &Path) -> Result<Rules, Fatal> {
    let file = folder.join(".dockerignore");
    if !file.exists() {
        return Ok(Rules::default());
    }
    let text = fs_err::read(&file).map_err(|error| disk::failed("read .dockerignore", &error))?;
    Rules::parse(".dockerignore", &String::from_utf8_lossy(&text))
        .map_err(|error| Fatal::new(format!("Cannot tell what stays out of the image: {error}. Correct it.")))
}

fn command(app: &App, port: u16) -> Vec<String> {
    let mut command = vec!["rwsgi".to_owned(), app.spec.clone(), "--bind".to_owned(), format!("0.0.0.0:{port}")];
    if let Some(folder) = &app.folder {
        command.extend(["--chdir".to_owned(), format!("/app/{}", folder.display())]);
    }
    command
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs_err::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// When the image was made: `SOURCE_DATE_EPOCH`, or the time of its newest part, so that nothing new makes no new image.
fn created(newest: Option<SystemTime>) -> Result<String, Fatal> {
    let time = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => {
            let seconds = text.parse().map_err(|_| {
                Fatal::new(format!(
                    "SOURCE_DATE_EPOCH is {text:?}, which is not a number of seconds. Correct or unset it."
                ))
            })?;
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        }
        Err(_) => newest.unwrap_or_else(SystemTime::now),
    };
    let time = jiff::Timestamp::try_from(time).ok().and_then(|time| time.round(jiff::Unit::Second).ok());
    Ok(time.unwrap_or_else(jiff::Timestamp::now).to_string())
}
