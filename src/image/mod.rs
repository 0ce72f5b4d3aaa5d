//! Container images: from an app's folder to an image in an engine.
//!
//! Joins the parts: facts about the project and the interpreter, layers, the plan, and the engine it is loaded into. Prints
//! nothing.

pub mod build;
pub mod cache;
pub mod choices;
pub mod contents;
pub mod dependencies;
pub mod elf;
pub mod filter;
pub mod interpreter;
pub mod job;
pub mod layer;
pub mod oci;
pub mod project;
pub mod sink;

use std::path::{Path, PathBuf};

use build::Build;
use cache::Cache;
use choices::Choices;
use contents::kept::Kept;
use dependencies::Declared;
use filter::{ignore::Patterns, screen::Screen};
use interpreter::{Interpreter, python_from};
use job::{
    disk,
    progress::{Cancel, Progress},
    work,
};
use oci::{container::Container, created, labels, plan::Plan};
use project::{app, git, pyproject::Project};
use sink::{Output, engine::Engine};

use crate::exit::{Code, Fatal};

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// The program that the image is to hold: `rwsgi`.
    pub program: PathBuf,
    /// The app's folder.
    pub folder: PathBuf,
    /// What the command line chooses.
    pub choices: Choices,
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
    /// The files that stayed out although nothing said so.
    pub left_out: Vec<PathBuf>,
}

/// Makes the image that `request` asks for and puts it where it is to go.
pub fn dockerize(request: &Request, progress: &dyn Progress, cancel: &Cancel) -> Result<Image, Fatal> {
    let folder = app_folder(&request.folder)?;
    let project = Project::read(&folder)?;
    let choices = request.choices.clone().over(project.choices.clone());
    let reference = choices.tag.clone().ok_or_else(nameless)?;
    // Whatever cannot go anywhere is not worth building.
    let engine = match &request.output {
        Some(output) => {
            output.check()?;
            None
        }
        None => Some(Engine::connect()?),
    };
    let ignored = ignored_by(&folder)?;
    let screen = Screen::new(&choices.include)?;
    warn_of_secrets(&choices, progress);
    // Everything that is made on the way is in here and goes with it, whichever way this function ends.
    let (work, _lock) = work::folder().map_err(|error| no_work_folder(&error))?;
    let cache = if request.cache { Cache::open(progress)? } else { Cache::none() };
    let mut interpreter = Interpreter::ask(&request.program, &cache, cancel)?;
    if let Some(directory) = &choices.python_from {
        let chosen = python_from::choose(directory, &interpreter, &cache, cancel);
        interpreter = chosen.map_err(|error| directory.locate(error))?;
    }
    project.check_python(&interpreter.facts.full_version)?;
    let declared = Declared::find(&folder, &project, &choices, &interpreter.facts, progress, cancel)?;

    progress.step("Finding the app");
    let app = app::find(&folder, choices.app.as_deref(), &interpreter, &cache, cancel)?;
    progress.note(&format!("{} ({})", app.spec, app.reason));
    app.check(&folder, &ignored, &choices, &interpreter, &cache, cancel)?;
    if !ignored.matches(app::configuration::FILE) {
        app::settings::check(&folder, &choices, (&interpreter, &cache), progress, cancel)?;
    }

    let result = request.output.as_ref().and_then(Output::path);
    let caches = dependencies::caches(&folder);
    let own = [Some(work.path()), cache.folder(), result.as_deref()].into_iter().flatten();
    let except: Vec<&Path> = own.chain(caches.iter().map(PathBuf::as_path)).collect();
    let kept = Kept::new(&choices.keep, choices.debug, choices.slim);
    let commit = git::commit(&folder, &except, progress);
    let build = Build {
        folder: &folder,
        work: work.path(),
        except: &except,
        interpreter: &interpreter,
        project: &project,
        choices: &choices,
        kept: &kept,
        cache: &cache,
        progress,
        cancel,
        commit: commit.as_ref(),
    };
    let created = created::created(commit.as_ref())?;
    let labels = labels::of(&project, commit.as_ref(), &created, &choices.labels);
    let container = Container::of(&app.spec, app.folder.as_deref(), &choices, labels)
        .with_path(app.python_path(&folder, &interpreter.facts.modules));
    let layers = build.layers(&declared, &app, &ignored, &screen)?;
    screen.report(progress);
    let left_out = screen.left_out();
    let mut plan = Plan { reference, layers, container, created };
    let mut known = engine.as_ref().map_or(0, |engine| engine.known(&plan));
    if cache.drop_damaged(&plan.layers[known..], cancel)? {
        progress.warning("The cache was damaged; what was is made anew.");
        plan.layers = build.layers(&declared, &app, &ignored, &screen)?;
    }
    if let Some(output) = &request.output {
        let written = output.write(&plan, &cache, work.path(), progress, cancel)?;
        return Ok(Image { id: written.id, compressed: written.compressed, plan, left_out });
    }
    let engine = engine.map_or_else(Engine::connect, Ok)?;
    loop {
        match engine.put(&plan, known, progress, cancel) {
            Ok(id) => return Ok(Image { id, compressed: Vec::new(), plan, left_out }),
            // What it had a moment ago may have been removed since.
            Err(failure) if failure.answered && known > 0 => {
                known = 0;
                if cache.drop_damaged(&plan.layers, cancel)? {
                    plan.layers = build.layers(&declared, &app, &ignored, &screen)?;
                }
            }
            Err(failure) => return Err(failure.error),
        }
    }
}

fn no_work_folder(error: &std::io::Error) -> Fatal {
    let advice = "TMPDIR must be a folder that is there and can be written to, with some room";
    disk::failed_at("make a folder for the build", &std::env::temp_dir(), advice, error)
}

fn ignored_by(folder: &Path) -> Result<Patterns, Fatal> {
    let file = folder.join(".dockerignore");
    if !file.is_file() {
        return Ok(Patterns::default());
    }
    let text = fs_err::read(&file).map_err(|error| disk::failed("read .dockerignore", &error))?;
    Patterns::parse(".dockerignore", &String::from_utf8_lossy(&text))
        .map_err(|error| Fatal::new(format!("Cannot tell what stays out of the image: {error}. Correct it.")))
}

fn app_folder(named: &Path) -> Result<PathBuf, Fatal> {
    let folder = fs_err::canonicalize(named)
        .ok()
        .filter(|folder| folder.is_dir())
        .ok_or_else(|| Fatal::new(format!("There is no folder {}. Name the app's.", named.display())))?;
    // Some make an environment of the app's own folder.
    let is_source = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|it| it.path().extension().is_some_and(|end| end == "py"))
    };
    if folder.join("pyvenv.cfg").exists() && !std::fs::read_dir(&folder).is_ok_and(|mut all| all.any(is_source)) {
        return Err(Fatal::new(format!(
            "{} is a virtual environment, and no app's folder. Name that; --from-venv=DIR, with =, takes the packages of an \
             environment.",
            folder.display()
        )));
    }
    Ok(folder)
}

fn nameless() -> Fatal {
    Fatal::with_code(
        Code::Usage,
        "The image has no name. Give it one with --tag NAME:TAG, or with tag in the table [tool.rwsgi.image] of \
         pyproject.toml.",
    )
}

fn warn_of_secrets(choices: &Choices, progress: &dyn Progress) {
    for name in choices.environment.keys().filter(|name| choices::sounds_secret(name)) {
        progress.warning(&format!(
            "The variable {name} goes into the image, where everyone who has it can read it. If its value is a secret, give \
             it to the container instead (docker run --env)."
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::ignored_by;

    #[test]
    fn a_list_of_what_stays_out_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join(".dockerignore");
        nix::unistd::mkfifo(&list, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(!ignored_by(folder.path()).unwrap().matches("a"));
        std::fs::remove_file(&list).unwrap();
        std::fs::write(&list, "a\n").unwrap();
        assert!(ignored_by(folder.path()).unwrap().matches("a"));
    }
}
