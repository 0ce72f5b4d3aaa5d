//! Where the settings of a server come from, ready to be read, again and again: a reload reads them anew.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use clap::ArgMatches;

use super::options;
use crate::{
    exit::Fatal,
    python::{self, Interpreter, config::Read, hooks::Source},
    settings::{ConfigFile, Location, Machine, Settings, Sources},
    sys::{self, Apart},
};

/// The file that is read when none is named (gunicorn).
const DEFAULT_FILE: &str = "gunicorn.conf.py";

/// Everything that the settings come from.
pub struct Configuration {
    /// All but the file.
    sources: Sources,
    app: Option<String>,
    notes: Vec<String>,
    args: Vec<OsString>,
}

impl Configuration {
    /// Looks at the command line and the environment. The present directory is the one that relative paths belong to.
    ///
    /// # Errors
    /// Options in a variable that cannot be read.
    pub fn new(matches: &ArgMatches, args: &[OsString]) -> Result<Self, Fatal> {
        let directory = directory()?;
        let (cmd_args, notes) = options::from_variables(|name| env::var_os(name))?;
        let sources = Sources {
            environment: env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            file: None,
            cmd_args,
            command_line: options::given(matches),
            // The CPUs that the process may run on, and the quotas of cgroups (v1 and v2): the fewest of them.
            machine: Machine { directory, processors: available_parallelism().map_or(1, Into::into) },
        };
        Ok(Self { sources, app: matches.get_one("app").cloned(), notes, args: args.to_vec() })
    }

    /// The directory that the program was started in.
    pub fn directory(&self) -> &Path {
        &self.sources.machine.directory
    }

    /// Reads the settings, the file anew. Nothing of the user's runs in this process, which must have a single thread.
    ///
    /// # Errors
    /// What is wrong with them, or a file that takes longer than `limit`.
    pub fn load(&self, limit: Option<Duration>) -> Result<Settings, Fatal> {
        let mut sources = self.sources.clone();
        sources.file = self.file(limit)?;
        sources.file.as_ref().map_or(Ok(()), ConfigFile::check_names)?;
        let mut settings = Settings::resolve(&sources)?;
        settings.notes.extend(self.notes.iter().cloned());
        settings.notes.extend(sources.file.iter().flat_map(ConfigFile::misnamed));
        Ok(settings)
    }

    /// The spec of the app to serve.
    ///
    /// # Errors
    /// None is named.
    pub fn app<'a>(&'a self, settings: &'a Settings) -> Result<&'a str, Fatal> {
        self.app.as_deref().or(settings.wsgi_app.as_deref()).ok_or_else(|| {
            Fatal::new(
                "No application module specified. Name the app to serve, as in: rwsgi app:app --bind 0.0.0.0:5000",
            )
        })
    }

    /// Where the file is, if there is one.
    pub fn source(&self) -> Option<Source> {
        self.named().ok().flatten().map(|(_, source)| source)
    }

    /// Where the file is, and what messages call it.
    fn named(&self) -> Result<Option<(String, Source)>, Fatal> {
        let directory = self.directory();
        let (name, source, is_module): (String, OsString, bool) = match self.sources.location() {
            Location::Default => {
                let path = directory.join(DEFAULT_FILE);
                if !path.exists() {
                    return Ok(None);
                }
                (format!("./{DEFAULT_FILE}"), path.into_os_string(), false)
            }
            Location::File(path) => {
                let name = path.display().to_string();
                let path = directory.join(path);
                if !path.exists() {
                    return Err(Fatal::new(format!("The configuration file {name} (from --config) does not exist.")));
                }
                (name, path.into_os_string(), false)
            }
            Location::Module(module) => (format!("python:{module}"), module.into(), true),
        };
        Ok(Some((name, Source { directory: directory.to_owned(), name: source, is_module })))
    }

    fn file(&self, limit: Option<Duration>) -> Result<Option<ConfigFile>, Fatal> {
        let directory = self.directory();
        let Some((name, Source { name: source, is_module, .. })) = self.named()? else { return Ok(None) };
        // The file may name an environment for the app, but runs in the one that is known before it is read.
        let venv = Sources { file: None, ..self.sources.clone() };
        let venv = Settings::resolve(&venv).ok().and_then(|settings| settings.venv);
        let interpreter = python::environment::interpreter(venv.as_deref())?;
        let read = || read(directory, &interpreter, self.args.clone(), &source, is_module);
        let outcome = sys::run_apart(limit, read)
            .map_err(|error| Fatal::new(format!("The configuration file {name} cannot be run: {error}.")))?;
        let answer = match outcome {
            Apart::Done(answer) => answer,
            Apart::Died(Ok(code)) => {
                return Err(Fatal::new(format!("The configuration file {name} ended its process with code {code}.")));
            }
            Apart::Died(Err(signal)) => {
                return Err(Fatal::new(format!("Signal {signal} ended the configuration file {name}.")));
            }
            Apart::TooLong => {
                let seconds = limit.unwrap_or_default().as_secs();
                return Err(Fatal::new(format!("The configuration file {name} runs for more than {seconds} s.")));
            }
        };
        match answer.split_first() {
            Some((&OK, json)) => {
                let Read { values, unknown, surroundings } = serde_json::from_slice(json)
                    .map_err(|error| Fatal::new(format!("The configuration file {name} cannot be read: {error}.")))?;
                Ok(Some(ConfigFile { name, values, unknown, surroundings }))
            }
            Some((_, reason)) => Err(Fatal::new(String::from_utf8_lossy(reason))),
            None => Err(Fatal::new(format!("The configuration file {name} ended its process."))),
        }
    }
}

/// The working directory by the name that it was entered by, which may be a link: when that leads to another release, so does
/// a reload (gunicorn).
fn directory() -> Result<PathBuf, Fatal> {
    let directory =
        env::current_dir().map_err(|error| Fatal::new(format!("The working directory cannot be used: {error}.")))?;
    let identity = |path: &Path| fs_err::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let entered = env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    Ok(entered.filter(|path| identity(path) == identity(&directory)).unwrap_or(directory))
}

const OK: u8 = b'+';
const FAILED: u8 = b'-';

/// Runs the file, in a process of its own. The first byte of the answer says what the rest is.
fn read(directory: &Path, interpreter: &Path, args: Vec<OsString>, source: &OsStr, is_module: bool) -> Vec<u8> {
    let outcome = std::env::set_current_dir(directory)
        .map_err(|error| Fatal::new(format!("Cannot change to {}: {error}.", directory.display())))
        .and_then(|()| Interpreter::start(interpreter, args))
        .and_then(|interpreter| {
            let json = interpreter.read_config(source, is_module);
            // Not its own end: that would wait for the file's threads.
            python::write_out();
            json
        });
    let (first, text) = outcome.map_or_else(|fatal| (FAILED, fatal.to_string()), |json| (OK, json));
    let mut answer = vec![first];
    answer.extend(text.into_bytes());
    answer
}
