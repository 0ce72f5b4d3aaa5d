//! `rwsgi APP`: serves an app. Its options and settings are read elsewhere.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{ArgMatches, Command, Subcommand as _};

use super::{configuration::Configuration, options};
use crate::{
    arbiter::{
        self, Ended, Limits, PidFile, Service,
        upgrade::{self, Inherited},
    },
    exit::{Code, Fatal},
    link::{Birth, Commands, Link},
    net::{Bind, Listener, Options, systemd},
    python::{self, LoadError},
    settings::Settings,
    sys::{self, Apart},
    telemetry, worker,
};

const ABOUT: &str = "Serve a WSGI app, or package it into a container image.";

/// How long a configuration file may run when it is read again, while nobody looks after the workers.
const RELOAD: Duration = Duration::from_secs(30);

/// The program's command line, with serving as what it does when no command is named.
pub fn command() -> Command {
    let command = options::command()
        .about(ABOUT)
        .args_conflicts_with_subcommands(true)
        .override_usage("rwsgi [OPTIONS] APP\n       rwsgi COMMAND ...")
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("Commands");
    super::Command::augment_subcommands(command).subcommand_required(false).arg_required_else_help(false)
}

/// Serves until a signal ends it, and returns the exit code. Returns in the processes of workers too.
///
/// # Errors
/// What keeps it from serving.
pub fn run(matches: &ArgMatches, args: &[OsString]) -> Result<ExitCode, Fatal> {
    let configuration = Configuration::new(matches, args)?;
    let settings = configuration.load(None)?;
    let interpreter = python::environment::interpreter(settings.venv.as_deref())?;
    change_directory(&settings)?;
    let spec = configuration.app(&settings)?;
    if settings.check_config || settings.print_config {
        return check(&settings, &interpreter, spec, args);
    }
    let spec = spec.to_owned();
    let inherited = upgrade::inherited();
    let listeners = listeners(&settings, inherited.as_ref())?;
    // What is wrong with the logs is told while there is a terminal to tell it to.
    telemetry::start(&settings, &spec)?;
    let (user, group) = (settings.run_as.user.as_ref().map(|(id, _)| *id), settings.run_as.group);
    if user.is_some() || group.is_some() {
        telemetry::give_to(&settings, user, group)
            .map_err(|error| Fatal::new(format!("The logs cannot be given to the workers' user: {error}.")))?;
    }
    if settings.daemon && inherited.is_none() {
        sys::become_daemon(settings.enable_stdio_inheritance)
            .map_err(|error| Fatal::new(format!("The server cannot become a daemon (from --daemon): {error}.")))?;
    }
    let pidfile = pidfile(&settings, inherited.is_some())?;
    announce(&settings, &listeners);
    if let Some(name) = &settings.proc_name {
        sys::set_process_name(&format!("{name}: master"));
    }
    let ended = arbiter::run(Service {
        workers: settings.workers,
        limits: limits(&settings),
        command: upgrade::Command { args: args.to_vec(), directory: configuration.directory().to_owned() },
        predecessor: inherited.map(|inherited| inherited.parent),
        pidfile,
        daemon: settings.daemon,
        listeners,
        program: Program { configuration: &configuration, settings, interpreter, spec, args },
    })?;
    let (Ended::Arbiter(code) | Ended::Worker(code)) = ended;
    Ok(ExitCode::from(code))
}

fn limits(settings: &Settings) -> Limits {
    Limits { graceful_timeout: settings.graceful_timeout, timeout: settings.timeout }
}

/// Writes the pid file, beside that of a predecessor where there is one.
fn pidfile(settings: &Settings, has_predecessor: bool) -> Result<Option<(PidFile, PathBuf)>, Fatal> {
    let Some(path) = &settings.pidfile else { return Ok(None) };
    let first = if has_predecessor { PathBuf::from(format!("{}.2", path.display())) } else { path.clone() };
    Ok(Some((PidFile::write(&first)?, path.clone())))
}

/// What the arbiter's processes do.
struct Program<'a> {
    configuration: &'a Configuration,
    settings: Settings,
    interpreter: PathBuf,
    spec: String,
    args: &'a [OsString],
}

impl Program<'_> {
    fn plan(self, listeners: Vec<Listener>, link: Link) -> worker::Plan {
        let Self { configuration, settings, interpreter, spec, args } = self;
        let hooks = configuration.source().filter(|_| !settings.hooks.is_empty());
        worker::Plan { settings, interpreter, spec, args: args.to_vec(), hooks, listeners, link: Arc::new(link) }
    }
}

impl arbiter::Program for Program<'_> {
    fn has_template(&self) -> bool {
        self.settings.preload_app || !self.settings.hooks.is_empty()
    }

    fn hooks(&self) -> &[&'static str] {
        &self.settings.hooks
    }

    fn reload(&mut self, listeners: &mut Vec<Listener>) -> Result<(usize, Limits), Fatal> {
        let settings = self.configuration.load(Some(RELOAD))?;
        let spec = self.configuration.app(&settings)?.to_owned();
        let interpreter = python::environment::interpreter(settings.venv.as_deref())?;
        change_directory(&settings)?;
        // Sockets that systemd has passed stay what they are, whatever the settings name.
        if settings.bind != self.settings.bind && listeners.len() == self.settings.bind.len() {
            let known = |bind: &String| self.settings.bind.contains(bind);
            let fresh: Vec<_> = settings
                .bind
                .iter()
                .map(|bind| if known(bind) { Ok(Vec::new()) } else { open(bind, &settings) })
                .collect::<Result<_, Fatal>>()?;
            // From here on nothing fails. What is in both lists stays open: an address cannot be opened twice.
            let mut kept: Vec<_> = self.settings.bind.iter().zip(listeners.drain(..)).collect();
            let mut all = Vec::new();
            for (bind, fresh) in settings.bind.iter().zip(fresh) {
                if let Some(at) = kept.iter().position(|(known, _)| *known == bind) {
                    all.push(kept.swap_remove(at).1);
                }
                all.extend(fresh);
            }
            *listeners = all;
            tracing::info!("Listening at: {} ({})", addresses(listeners), std::process::id());
        }
        telemetry::start(&settings, &spec)?;
        for note in &settings.notes {
            tracing::info!("{note}");
        }
        let answer = (settings.workers, limits(&settings));
        (self.settings, self.spec, self.interpreter) = (settings, spec, interpreter);
        Ok(answer)
    }

    fn worker(self, listeners: Vec<Listener>, link: Link) -> u8 {
        worker::run(self.plan(listeners, link)).map_or_else(|error| report(&error), |()| 0)
    }

    fn template(self, birth: Birth, listeners: Vec<Listener>, link: Link, commands: Commands) -> u8 {
        worker::template(self.plan(listeners, link), &birth, commands).map_or_else(|error| report(&error), |()| 0)
    }
}

fn change_directory(settings: &Settings) -> Result<(), Fatal> {
    std::env::set_current_dir(&settings.chdir)
        .map_err(|error| Fatal::new(format!("Cannot change to {}: {error}.", settings.chdir_shown)))
}

fn open(bind: &str, settings: &Settings) -> Result<Vec<Listener>, Fatal> {
    let run_as = &settings.run_as;
    let options = Options {
        backlog: settings.backlog,
        reuse_port: settings.reuse_port,
        umask: settings.umask,
        owner: (run_as.user.as_ref().map(|(id, _)| *id), run_as.group),
    };
    Listener::open(&bind.parse::<Bind>()?, &options)
}

fn addresses(listeners: &[Listener]) -> String {
    listeners.iter().map(|listener| listener.address().to_string()).collect::<Vec<_>>().join(",")
}

/// Takes the listeners from the arbiter before, or from systemd, or opens those that the settings name.
fn listeners(settings: &Settings, inherited: Option<&Inherited>) -> Result<Vec<Listener>, Fatal> {
    let descriptors = inherited.map_or_else(systemd::descriptors, |inherited| inherited.listeners.clone());
    if descriptors.is_empty() {
        let opened = settings.bind.iter().map(|bind| open(bind, settings)).collect::<Result<Vec<_>, Fatal>>()?;
        return Ok(opened.into_iter().flatten().collect());
    }
    let adopt = |number: i32| {
        Listener::adopt(number, inherited.is_some()).map_err(|error| {
            Fatal::new(format!("The socket that was passed as descriptor {number} cannot be used: {error}."))
        })
    };
    descriptors.into_iter().map(adopt).collect()
}

fn announce(settings: &Settings, listeners: &[Listener]) {
    tracing::info!("Starting rwsgi {} (CPython {})", env!("CARGO_PKG_VERSION"), python::full_version());
    tracing::info!("Listening at: {} ({})", addresses(listeners), std::process::id());
    match settings.threads {
        1 => tracing::info!("Using worker: threads (1 thread)"),
        threads => tracing::info!("Using worker: threads ({threads} threads)"),
    }
    if settings.automatic {
        let (workers, threads) = (settings.workers, settings.threads);
        tracing::info!("Workers: {workers}, one for each CPU that may be used, with {threads} threads each");
    }
    for note in &settings.notes {
        tracing::info!("{note}");
    }
}

/// Prints the settings, if that is asked for, and tries whether the app loads.
#[expect(clippy::print_stdout, reason = "this is where the program speaks to the terminal")]
fn check(settings: &Settings, interpreter: &Path, spec: &str, args: &[OsString]) -> Result<ExitCode, Fatal> {
    if settings.print_config {
        print!("{}", settings.print());
    }
    for note in &settings.notes {
        super::note(note);
    }
    for bind in &settings.bind {
        bind.parse::<Bind>()?;
    }
    let outcome = sys::run_apart(None, || match worker::try_app(settings, interpreter, spec, args.to_vec()) {
        Ok(()) => vec![0],
        Err(error) => vec![fail(&error)],
    });
    Ok(match outcome {
        Ok(Apart::Done(code)) if code == [0] => ExitCode::SUCCESS,
        Ok(_) => Code::Failed.into(),
        Err(error) => return Err(Fatal::new(format!("The app cannot be tried: {error}."))),
    })
}

/// Says in the error log why a worker does not serve. Where that is standard error, it is said as to a user at a
/// terminal.
fn report(error: &LoadError) -> u8 {
    if telemetry::error_log::is_standard_error() {
        return fail(error);
    }
    let traceback = error.traceback.as_ref().map(|traceback| format!("\n{traceback}")).unwrap_or_default();
    tracing::error!("{}{traceback}", error.fatal);
    error.fatal.code() as u8
}

/// Says why a worker does not serve, with the user's own traceback below, and gives its exit code.
#[expect(clippy::print_stderr, reason = "this is where the program speaks to the terminal")]
fn fail(error: &LoadError) -> u8 {
    super::fail(&error.fatal);
    if let Some(traceback) = &error.traceback {
        eprintln!("{traceback}");
    }
    error.fatal.code() as u8
}
