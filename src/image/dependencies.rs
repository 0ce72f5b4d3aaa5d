//! The app's dependencies: where they are declared, and installing them for the embedded Python into a folder of our own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::exit::Fatal;
use crate::image::child;
use crate::image::disk;
use crate::image::interpreter::Interpreter;
use crate::image::progress::{Cancel, Progress};

/// Where an app says what it needs.
#[derive(Debug, Eq, PartialEq)]
pub enum Declared {
    /// A `requirements.txt`.
    Requirements,
    /// `project.dependencies` of a `pyproject.toml`.
    Project(Vec<String>),
    /// Nowhere.
    Nowhere,
}

const REQUIREMENTS: &str = "requirements.txt";
const PROJECT: &str = "pyproject.toml";

impl Declared {
    /// Looks into `folder`.
    pub fn find(folder: &Path) -> Result<Self, Fatal> {
        if folder.join(REQUIREMENTS).is_file() {
            return Ok(Self::Requirements);
        }
        let file = folder.join(PROJECT);
        if !file.is_file() {
            return Ok(Self::Nowhere);
        }
        let text = fs_err::read_to_string(&file).map_err(|error| disk::failed("read the project", &error))?;
        Self::from_project(&text)
    }

    fn from_project(text: &str) -> Result<Self, Fatal> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            Fatal::new(format!("{PROJECT} cannot be read: {}. Correct it.", error.message()))
        })?;
        let project = table.get("project");
        if let Some(list) = project.and_then(|project| project.get("dependencies")) {
            let list = list.clone().try_into().map_err(|_| {
                Fatal::new(format!("project.dependencies in {PROJECT} is not a list of requirements. Correct it."))
            })?;
            return Ok(Self::Project(list));
        }
        let dynamic = project.and_then(|project| project.get("dynamic")?.as_array());
        if dynamic.is_some_and(|names| names.iter().any(|name| name.as_str() == Some("dependencies"))) {
            return Err(unreadable("says that its build computes them"));
        }
        if table.get("tool").and_then(|tool| tool.get("poetry")?.get("dependencies")).is_some() {
            return Err(unreadable("lists them for Poetry only"));
        }
        Ok(Self::Nowhere)
    }

    /// The requirement file to install from; one of our own, in `work`, where there is none.
    pub fn list(&self, folder: &Path, work: &Path) -> Result<Option<PathBuf>, Fatal> {
        match self {
            Self::Nowhere => Ok(None),
            Self::Requirements => Ok(Some(folder.join(REQUIREMENTS))),
            Self::Project(list) => {
                let file = work.join("pyproject-dependencies.txt");
                fs_err::write(&file, list.join("\n") + "\n")
                    .map_err(|error| disk::failed("write the list of dependencies", &error))?;
                Ok(Some(file))
            }
        }
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &'static str {
        match self {
            Self::Requirements => REQUIREMENTS,
            Self::Project(_) => PROJECT,
            Self::Nowhere => "nothing",
        }
    }
}

fn unreadable(how: &str) -> Fatal {
    Fatal::new(format!(
        "The dependencies cannot be read from {PROJECT}, which {how}. Export them to a {REQUIREMENTS}, which comes first."
    ))
}

/// Installs what is declared into `target`.
pub fn install(
    declared: &Declared,
    folder: &Path,
    interpreter: &Interpreter,
    target: &Path,
    work: &Path,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(), Fatal> {
    let Some(list) = declared.list(folder, work)? else { return Ok(()) };
    let installer = installer(interpreter, cancel)?;
    let mut command = installer.command(interpreter);
    command.args(["install", "--target"]).arg(target).arg("-r").arg(list).current_dir(folder);
    match installer {
        Installer::Pip { .. } => {
            command.args(["--no-compile", "--no-input", "--progress-bar", "off", "--no-color"]);
            command.args(["--disable-pip-version-check", "--no-warn-script-location"]);
            // A configuration for the user's own installs does not go together with --target.
            command.env("PIP_USER", "0").env("PIP_REQUIRE_VIRTUALENV", "0");
        }
        Installer::Uv => {
            command.args(["--no-progress", "--color", "never", "--python"]).arg(&interpreter.facts.executable);
        }
    }
    // Nobody would see a question for a password: a repository that needs one is an error.
    command.env("GIT_TERMINAL_PROMPT", "0");
    if std::env::var_os("GIT_SSH_COMMAND").is_none() {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    }
    // What is unpacked or built on the way disappears together with the rest of the build.
    command.env("TMPDIR", work);
    let output = child::run(&mut command, installer.name(), Vec::new(), cancel, |line| {
        if line.starts_with("Collecting ") || line.starts_with("Downloading ") || line.starts_with("Building ") {
            progress.detail(line);
        }
    })?;
    if output.status.success() {
        return refuse_editable(target, declared.file());
    }
    Err(explain(&output.stderr, declared.file(), &interpreter.facts.version))
}

/// An editable install leaves a package's files where they are: on this machine, not in the image.
fn refuse_editable(target: &Path, file: &str) -> Result<(), Fatal> {
    let entries = fs_err::read_dir(target).map_err(|error| disk::failed("look at the dependencies", &error))?;
    let editable = entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("__editable__") || name.ends_with(".egg-link")
    });
    if editable {
        return Err(Fatal::new(format!(
            "{file} asks for a package in editable mode (-e), whose files would stay on this machine. Leave out the -e."
        )));
    }
    Ok(())
}

enum Installer {
    /// The interpreter's own, in the base installation or in the environment in use.
    Pip {
        environment: Option<std::ffi::OsString>,
    },
    Uv,
}

impl Installer {
    fn name(&self) -> &'static str {
        match self {
            Self::Pip { .. } => "pip",
            Self::Uv => "uv",
        }
    }

    fn command(&self, interpreter: &Interpreter) -> Command {
        match self {
            Self::Pip { environment } => {
                let mut command = interpreter.command();
                if let Some(environment) = environment {
                    command.env("VIRTUAL_ENV", environment);
                }
                command.args(["-m", "pip"]);
                command
            }
            Self::Uv => {
                let mut command = Command::new("uv");
                command.arg("pip");
                command
            }
        }
    }
}

fn installer(interpreter: &Interpreter, cancel: &Cancel) -> Result<Installer, Fatal> {
    let active = std::env::var_os("VIRTUAL_ENV").filter(|value| !value.is_empty());
    let candidates = [
        Some(Installer::Pip { environment: None }),
        active.map(|it| Installer::Pip { environment: Some(it) }),
        Some(Installer::Uv),
    ];
    for candidate in candidates.into_iter().flatten() {
        let mut command = candidate.command(interpreter);
        command.arg("--version");
        match child::run(&mut command, candidate.name(), Vec::new(), cancel, |_| {}) {
            Ok(output) if output.status.success() => return Ok(candidate),
            _ => cancel.check()?,
        }
    }
    let version = &interpreter.facts.version;
    Err(Fatal::new(format!(
        "The app's dependencies cannot be installed: Python {version} has no pip, and there is no uv. Install one \
         (python{version} -m ensurepip, or your system's python3-pip)."
    )))
}

/// One sentence from what an installer printed.
fn explain(stderr: &str, file: &str, version: &str) -> Fatal {
    let after = |marker: &str| stderr.lines().find_map(|line| line.split_once(marker).map(|(_, rest)| rest.trim()));
    if stderr.contains("No space left on device") {
        return disk::full("install the dependencies");
    }
    let unreachable =
        ["NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "Failed to establish a new connection"];
    if unreachable.iter().any(|sign| stderr.contains(sign)) {
        return Fatal::new(
            "The package index cannot be reached. Check the network and pip's index settings (pip config list), and try \
             again.",
        );
    }
    if let Some(requirement) = after("No matching distribution found for ") {
        let versions = after("(from versions: ").map(|list| list.trim_end_matches(')'));
        let why = match versions {
            None | Some("" | "none") => format!("the package index has nothing of that name for Python {version}"),
            Some(versions) => {
                let latest = versions.rsplit(", ").next().unwrap_or(versions);
                format!("the package index has no such version for Python {version} (its latest is {latest})")
            }
        };
        return Fatal::new(format!("{file} asks for {requirement}, but {why}. Correct {file}."));
    }
    if let Some(package) = after("Failed building wheel for ").or_else(|| after("Failed to build ")) {
        return Fatal::new(format!(
            "{package}, which {file} asks for, has no ready-made package for Python {version} here, and building it from \
             source failed. Run pip install {package} to see why, or ask for another version."
        ));
    }
    let error =
        after("ERROR: ").or_else(|| after("error: ")).or_else(|| stderr.lines().last()).unwrap_or("no reason given");
    Fatal::new(format!(
        "The dependencies in {file} cannot be installed: {}. Correct {file}.",
        error.trim_end_matches('.')
    ))
}

#[cfg(test)]
mod tests {
    use super::{Declared, explain};

    #[test]
    fn a_project_declares_its_dependencies() {
        let found = Declared::from_project("[project]\nname = 'x'\ndependencies = ['flask>=3', 'redis']\n");
        assert_eq!(found, Ok(Declared::Project(vec!["flask>=3".to_owned(), "redis".to_owned()])));
        assert_eq!(Declared::from_project("[tool.black]\nline-length = 1\n"), Ok(Declared::Nowhere));
    }

    #[test]
    fn what_cannot_be_read_from_a_project_is_refused_with_the_way_out() {
        for text in [
            "[project]\ndynamic = ['dependencies']",
            "[tool.poetry.dependencies]\nflask = '*'",
            "[",
            "[project]\ndependencies = 3",
        ] {
            let error = Declared::from_project(text).map(|_| ()).map_err(|error| error.to_string());
            assert!(error.is_err_and(|text| text.contains("pyproject.toml")), "{text}");
        }
    }

    #[test]
    fn pip_is_boiled_down_to_one_sentence() {
        for (stderr, sentence) in [
            (
                "ERROR: Could not find a version that satisfies the requirement nonesuch (from versions: none)\n\
                 ERROR: No matching distribution found for nonesuch\n",
                "requirements.txt asks for nonesuch, but the package index has nothing of that name for Python 3.11. \
                 Correct requirements.txt.",
            ),
            (
                "ERROR: Could not find a version that satisfies the requirement flask==99 (from versions: 2.0, 3.1.3)\n\
                 ERROR: No matching distribution found for flask==99\n",
                "requirements.txt asks for flask==99, but the package index has no such version for Python 3.11 (its \
                 latest is 3.1.3). Correct requirements.txt.",
            ),
            (
                "ERROR: Invalid requirement: 'a b': Expected end\n",
                "The dependencies in requirements.txt cannot be installed: Invalid requirement: 'a b': Expected end. \
                 Correct requirements.txt.",
            ),
        ] {
            assert_eq!(explain(stderr, "requirements.txt", "3.11").to_string(), sentence);
        }
        assert!(explain("OSError: [Errno 28] No space left on device", "x", "3.11").to_string().contains("is full"));
    }
}
