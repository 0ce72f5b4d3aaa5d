//! Brings what is declared into a folder: by pip or uv, whichever is there, or from an environment.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{declared::Declared, explain::explain, key, leftovers::Leftovers, lines};
use crate::{
    exit::Fatal,
    image::{
        cache::{Key, usual_folder},
        filter::secrets::without_passwords,
        interpreter::Interpreter,
        job::{
            child,
            progress::{Cancel, Progress},
        },
        layer::normal,
    },
};

/// What is to be installed, and what it is installed with.
pub struct Installation<'a> {
    declared: &'a Declared,
    /// The list to install from; none for an environment.
    list: Option<PathBuf>,
    /// The app's folder.
    folder: &'a Path,
    work: &'a Path,
}

impl<'a> Installation<'a> {
    /// What `declared` asks for, in the app's `folder`; nothing if that is nothing. What is made on the way is put into `work`.
    ///
    /// # Errors
    /// A list cannot be written.
    pub fn of(declared: &'a Declared, folder: &'a Path, work: &'a Path) -> Result<Option<Self>, Fatal> {
        let list = declared.list(folder, work)?;
        Ok((*declared != Declared::Nowhere).then_some(Self { declared, list, folder, work }))
    }

    /// What is done, for people.
    pub fn step(&self) -> String {
        let place = self.declared.file();
        match self.list {
            Some(_) => format!("Installing the dependencies in {place}"),
            None => format!("Copying the packages of {place}"),
        }
    }

    /// What decides what would be installed. Nothing, if that may change behind its back.
    pub fn key(&self, interpreter: &Interpreter) -> Option<Key> {
        match (self.declared, &self.list) {
            (Declared::Environment(environment), _) => environment.key(),
            (_, Some(list)) => {
                let prefix = interpreter.facts.executable.ancestors().nth(2).unwrap_or(Path::new("/"));
                Some(key::key(list, self.folder, prefix)?.with(self.declared.file()))
            }
            _ => None,
        }
    }

    /// Puts it below `prefix`, as it would be below a Python's own.
    ///
    /// # Errors
    /// It cannot be installed, or the build was told to stop.
    pub fn run(
        &self,
        interpreter: &Interpreter,
        prefix: &Path,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<(), Fatal> {
        match (self.declared, &self.list) {
            (Declared::Environment(environment), _) => environment.copy(prefix, progress, cancel),
            (_, Some(list)) => {
                refuse_editable(list, self.folder)?;
                self.install(list, interpreter, prefix, progress, cancel)
            }
            _ => Ok(()),
        }
    }

    fn install(
        &self,
        list: &Path,
        interpreter: &Interpreter,
        prefix: &Path,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<(), Fatal> {
        let Self { declared, folder, work, .. } = self;
        let installer = installer(interpreter, cancel)?;
        let mut command = installer.command(interpreter);
        match installer {
            Installer::Pip { .. } => {
                command.args(["install", "--no-compile", "--no-input", "--progress-bar", "off", "--no-color"]);
                command.args(["--disable-pip-version-check", "--no-warn-script-location"]);
                // Whatever its Python has already is not in the image.
                command.args(["--ignore-installed", "--no-warn-conflicts"]);
                // A configuration for the user's own installs does not go together with --prefix.
                command.args(["--target", ""]).env("PIP_USER", "0").env("PIP_REQUIRE_VIRTUALENV", "0");
            }
            Installer::Uv => {
                command.args(["pip", "install", "--no-progress", "--color", "never", "--python"]);
                command.arg(&interpreter.facts.executable);
                // As pip has it: where one line has a hash, all must.
                if lines::read(list).iter().any(|line| line.text.contains("--hash")) {
                    command.arg("--require-hashes");
                }
            }
        }
        // Not into a folder of packages alone (--target): data files would be lost, or lie among them.
        command.arg("--prefix").arg(prefix).arg("-r").arg(list).current_dir(folder);
        // Nobody would see a question for a password: a repository that needs one is an error.
        command.env("GIT_TERMINAL_PROMPT", "0");
        if chooses_ssh(work) {
            command.env("SSH_ASKPASS_REQUIRE", "force");
            if std::env::var_os("SSH_ASKPASS").is_none() {
                command.env("SSH_ASKPASS", "false");
            }
        } else {
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        }
        // Debug information names the folder that something was compiled in, another one each time. Not in CFLAGS: what configures
        // itself has its own only where that is not set.
        let mut flags = std::env::var_os("CPPFLAGS").unwrap_or_default();
        flags.push(" -g0");
        command.env("CPPFLAGS", flags);
        let _leftovers = Leftovers::of(list, folder);
        // What is unpacked or built on the way disappears together with the rest of the build.
        command.env("TMPDIR", work);
        let output = child::run(&mut command, installer.name(), Vec::new(), cancel, |line| {
            if line.starts_with("Collecting ") || line.starts_with("Downloading ") || line.starts_with("Building ") {
                progress.detail(&without_passwords(line));
            }
        })?;
        if output.status.success() {
            if matches!(installer, Installer::Uv) && fs_err::read_dir(prefix).is_ok_and(|mut all| all.next().is_none())
            {
                return Err(Fatal::new(
                    "uv has installed the dependencies elsewhere: its setting pip.target counts more than what it is told. \
                     Leave that out of uv.toml or [tool.uv.pip].",
                ));
            }
            // What uv leaves there for itself.
            let _ = fs_err::remove_file(prefix.join(".lock"));
            return Ok(());
        }
        Err(explain(&without_passwords(&output.stderr), declared, folder, &interpreter.facts.version))
    }
}

/// Whether the user has git call ssh in a way of their own. Asked in a folder that is in no repository, as those are where
/// installers clone to.
fn chooses_ssh(folder: &Path) -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    let mut git = Command::new("git");
    git.args(["config", "--get", "core.sshCommand"]).current_dir(folder).stdin(Stdio::null());
    is_set("GIT_SSH_COMMAND") || is_set("GIT_SSH") || git.output().is_ok_and(|output| output.status.success())
}

/// Where installers keep what they download, which is no part of an app, although it may be in its `folder`.
pub fn caches(folder: &Path) -> Vec<PathBuf> {
    let caches = [("PIP_CACHE_DIR", "pip"), ("UV_CACHE_DIR", "uv")].into_iter().filter_map(|(variable, program)| {
        let named = std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        named.or_else(|| usual_folder(program))
    });
    // One may be made by the build.
    caches.map(|cache| folder.join(cache)).map(|cache| fs_err::canonicalize(&cache).unwrap_or(normal(&cache))).collect()
}

/// An editable install leaves a package's files where they are: on this machine, not in the image.
fn refuse_editable(list: &Path, folder: &Path) -> Result<(), Fatal> {
    let lines = lines::read(list);
    let editable = lines.iter().find(|line| ["-e", "--editable"].iter().any(|option| line.text.starts_with(option)));
    let Some(line) = editable else { return Ok(()) };
    Err(Fatal::new(format!(
        "Line {} of {} asks for a package in editable mode ({}), whose files would stay on this machine. Leave out the -e.",
        line.number,
        line.file.strip_prefix(folder).unwrap_or(&line.file).display(),
        without_passwords(&line.text)
    )))
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
            Self::Uv => Command::new("uv"),
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
