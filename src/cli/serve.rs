//! `rwsgi APP`: serves an app. Its options and settings are read elsewhere.

use std::{ffi::OsString, path::Path, process::ExitCode, sync::Arc};

use clap::{ArgMatches, Command, Subcommand as _};

use super::{configuration::Configuration, options};
use crate::{
    arbiter::{
        self, Commands, Ended, Limits, Service,
        upgrade::{self, Inherited},
    },
    exit::{Code, Fatal},
    link::Link,
    net::{Bind, Listener, systemd},
    python::{self, LoadError},
    settings::Settings,
    sys::{self, Apart},
    telemetry, worker,
};

const ABOUT: &str = "Serve a WSGI app, or package it into a container image.";

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
    std::env::set_current_dir(&settings.chdir)
        .map_err(|error| Fatal::new(format!("Cannot change to {}: {error}.", settings.chdir_shown)))?;
    let spec = configuration.app(&settings)?;
    if settings.check_config || settings.print_config {
        return check(&settings, &interpreter, spec, args);
    }
    let inherited = upgrade::inherited();
    let listeners = listeners(&settings, inherited.as_ref())?;
    telemetry::start(&settings, spec)?;
    announce(&settings, &listeners);
    let ended = arbiter::run(Service {
        workers: settings.workers,
        limits: Limits { graceful_timeout: settings.graceful_timeout, timeout: settings.timeout },
        command: upgrade::Command { args: args.to_vec(), directory: configuration.directory().to_owned() },
        predecessor: inherited.map(|inherited| inherited.parent),
        pidfile: None,
        daemon: false,
        listeners,
        program: Program { settings: &settings, interpreter: &interpreter, spec, args },
    })?;
    let (Ended::Arbiter(code) | Ended::Worker(code)) = ended;
    Ok(ExitCode::from(code))
}

/// What the arbiter's processes do.
struct Program<'a> {
    settings: &'a Settings,
    interpreter: &'a Path,
    spec: &'a str,
    args: &'a [OsString],
}

impl<'a> Program<'a> {
    fn plan(self, listeners: Vec<Listener>, link: Link) -> worker::Plan<'a> {
        let Self { settings, interpreter, spec, args } = self;
        worker::Plan { settings, interpreter, spec, args: args.to_vec(), listeners, link: Arc::new(link) }
    }
}

impl arbiter::Program for Program<'_> {
    fn has_template(&self) -> bool {
        self.settings.preload_app
    }

    fn worker(self, listeners: Vec<Listener>, link: Link) -> u8 {
        worker::run(self.plan(listeners, link)).map_or_else(|error| report(&error), |()| 0)
    }

    fn template(self, listeners: Vec<Listener>, link: Link, mut commands: Commands) -> u8 {
        let next_worker = || commands.wait() == Some(arbiter::SPAWN);
        worker::template(self.plan(listeners, link), next_worker).map_or_else(|error| report(&error), |()| 0)
    }
}

/// Takes the listeners from the arbiter before, or from systemd, or opens those that the settings name.
fn listeners(settings: &Settings, inherited: Option<&Inherited>) -> Result<Vec<Listener>, Fatal> {
    let descriptors = inherited.map_or_else(systemd::descriptors, |inherited| inherited.listeners.clone());
    if descriptors.is_empty() {
        let open = |bind: &String| Listener::open(&bind.parse::<Bind>()?, settings.backlog);
        return Ok(settings.bind.iter().map(open).collect::<Result<Vec<_>, Fatal>>()?.into_iter().flatten().collect());
    }
    let adopt = |number: i32| {
        Listener::adopt(number, inherited.is_some()).map_err(|error| {
            Fatal::new(format!("The socket that was passed as descriptor {number} cannot be used: {error}."))
        })
    };
    descriptors.into_iter().map(adopt).collect()
}

fn announce(settings: &Settings, listeners: &[Listener]) {
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address().to_string()).collect();
    tracing::info!("Starting rwsgi {} (CPython {})", env!("CARGO_PKG_VERSION"), python::full_version());
    tracing::info!("Listening at: {} ({})", addresses.join(","), std::process::id());
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
