//! Container images: from an app's folder to an image in an engine.
//!
//! Joins the parts: facts about the project and the interpreter, layers, the plan, and the engine it is loaded into. Prints
//! nothing.

pub mod archive;
pub mod base;
pub mod build;
pub mod cache;
pub mod child;
pub mod chosen;
pub mod closure;
pub mod dependencies;
pub mod disk;
pub mod extras;
pub mod ignore;
pub mod imports;
pub mod inputs;
pub mod interpreter;
pub mod layer;
pub mod package_tests;
pub mod packages;
pub mod plan;
pub mod progress;
pub mod project;
pub mod reference;
pub mod requirements;
pub mod shell;
pub mod sink;
pub mod stdlib;
pub mod strip;
pub mod tree;

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use build::Build;
use cache::Cache;
use dependencies::Declared;
use extras::Extras;
use ignore::Rules;
use interpreter::Interpreter;
use plan::Plan;
use progress::{Cancel, Progress};
use project::App;
use reference::Reference;
use sink::{Output, engine::Engine};

use crate::exit::Fatal;

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
    /// Another Python than the running one, by the folder that it is installed in.
    pub python_from: Option<PathBuf>,
    /// What goes in beyond what the app needs.
    pub extras: Extras,
    /// Where the image goes, if not to the engine.
    pub output: Option<Output>,
    /// Whether what earlier builds left may be used, and something left for later ones.
    pub cache: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Image {
    /// The engine's id for it.
    pub id: String,
    /// Name, layers and command.
    pub plan: Plan,
    /// The layers' lengths after compression, where they were compressed.
    pub compressed: Vec<u64>,
}

/// Makes the image that `request` asks for and puts it where it is to go.
pub fn dockerize(request: &Request, progress: &dyn Progress, cancel: &Cancel) -> Result<Image, Fatal> {
    let folder = fs_err::canonicalize(&request.folder)
        .ok()
        .filter(|folder| folder.is_dir())
        .ok_or_else(|| Fatal::new(format!("There is no folder {}. Name the app's.", request.folder.display())))?;
    // Whatever cannot go anywhere is not worth building.
    let engine = match &request.output {
        Some(output) => {
            output.check()?;
            None
        }
        None => Some(Engine::connect()?),
    };
    let rules = ignore_rules(&folder)?;
    let declared = Declared::find(&folder)?;
    let program = std::env::current_exe().map_err(|error| disk::failed("find the running program", &error))?;
    // Everything that is made on the way is in here and goes with it, whichever way this function ends.
    let (work, _lock) = cache::work_folder().map_err(|error| disk::failed("make a folder for the build", &error))?;
    let cache = if request.cache { Cache::open(progress)? } else { Cache::none() };
    let mut interpreter = Interpreter::ask(&program, &cache, cancel)?;
    if let Some(directory) = &request.python_from {
        interpreter = chosen::choose(directory, &interpreter, &cache, cancel)?;
    }

    progress.step("Finding the app");
    let app = project::find(&folder, request.app.as_deref(), &interpreter, &cache, cancel)?;
    progress.note(&format!("{} ({})", app.spec, app.reason));

    let result = request.output.as_ref().and_then(Output::path);
    let except: Vec<&Path> = [Some(work.path()), cache.folder(), result.as_deref()].into_iter().flatten().collect();
    let build = Build {
        folder: &folder,
        work: work.path(),
        except: &except,
        interpreter: &interpreter,
        extras: &request.extras,
        cache: &cache,
        progress,
        cancel,
    };
    let mut plan = Plan {
        reference: request.reference.clone(),
        layers: build.layers(&declared, &app, &rules)?,
        command: command(&app, request.port),
        port: request.port,
        created: created(&folder)?,
    };
    let mut known = engine.as_ref().map_or(0, |engine| engine.known(&plan));
    if cache.drop_damaged(&plan.layers[known..], cancel)? {
        progress.warning("The cache was damaged; what was is made anew.");
        plan.layers = build.layers(&declared, &app, &rules)?;
    }
    if let Some(output) = &request.output {
        let written = output.write(&plan, &cache, work.path(), progress, cancel)?;
        return Ok(Image { id: written.id, compressed: written.compressed, plan });
    }
    let engine = engine.map_or_else(Engine::connect, Ok)?;
    loop {
        match engine.put(&plan, known, progress, cancel) {
            Ok(id) => return Ok(Image { id, compressed: Vec::new(), plan }),
            // What it had a moment ago may have been removed since.
            Err(failure) if failure.answered && known > 0 => {
                known = 0;
                if cache.drop_damaged(&plan.layers, cancel)? {
                    plan.layers = build.layers(&declared, &app, &rules)?;
                }
            }
            Err(failure) => return Err(failure.error),
        }
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

/// When the image was made: `SOURCE_DATE_EPOCH`, or the time of the commit that is checked out, or the beginning of
/// 1970. The time of a build or of a file would make another image of the same sources.
fn created(folder: &Path) -> Result<String, Fatal> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().map_err(|_| {
            Fatal::new(format!("SOURCE_DATE_EPOCH is {text:?}, which is not a number of seconds. Correct or unset it."))
        })?,
        Err(_) => commit_time(folder).unwrap_or(0),
    };
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let time = jiff::Timestamp::try_from(time).map_err(|_| {
        Fatal::new(format!("SOURCE_DATE_EPOCH is {seconds}, which is beyond all calendars. Correct or unset it."))
    })?;
    Ok(time.to_string())
}

fn commit_time(folder: &Path) -> Option<u64> {
    let mut git = std::process::Command::new("git");
    git.arg("-C").arg(folder).args(["log", "-1", "--format=%ct"]).stdin(std::process::Stdio::null());
    let output = git.env("GIT_OPTIONAL_LOCKS", "0").stderr(std::process::Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
