//! `rwsgi APP`: serves an app. Its options are made from the table of settings.

use std::{ffi::OsString, path::Path, process::ExitCode, sync::Arc};

use clap::{Arg, ArgAction, ArgMatches, Command, Subcommand as _};

use crate::{
    arbiter::{
        self, Commands, Ended, Limits, Service,
        upgrade::{self, Inherited},
    },
    exit::Fatal,
    link::Link,
    net::{Bind, Listener, systemd},
    python::{self, LoadError},
    settings::{Given, Kind, Settings, TABLE},
    telemetry::error_log,
    worker,
};

const ABOUT: &str = "Serve a WSGI app, or package it into a container image.";

const APP_HELP: &str = "The app to serve: MODULE:NAME, MODULE:FACTORY(ARGUMENTS), or MODULE, whose name is then \
                        `application`, or else `app`.";

/// The program's command line, with serving as what it does when no command is named.
pub fn command() -> Command {
    let version = format!("{} (CPython {})", env!("CARGO_PKG_VERSION"), python::full_version());
    let command = Command::new("rwsgi")
        .about(ABOUT)
        .version(version)
        // gunicorn's options may be shortened (argparse), and commands in the wild are.
        .infer_long_args(true)
        .args_conflicts_with_subcommands(true)
        .override_usage("rwsgi [OPTIONS] APP\n       rwsgi COMMAND ...")
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("Commands")
        .arg(Arg::new("app").value_name("APP").help(APP_HELP));
    let command = TABLE.iter().fold(command, |command, setting| command.arg(argument(setting)));
    super::Command::augment_subcommands(command).subcommand_required(false).arg_required_else_help(false)
}

fn argument(setting: &'static crate::settings::Setting) -> Arg {
    let (first, _) = setting.help.split_once(". ").unwrap_or((setting.help.trim_end_matches('.'), ""));
    let default = match setting.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    let mut argument = Arg::new(setting.name)
        .long(setting.long)
        .value_name(setting.value_name)
        .allow_hyphen_values(setting.kind == Kind::Number)
        .action(ArgAction::Append)
        .help(format!("{first}{default}"))
        .long_help(format!("{}{default}", setting.help));
    if let Some(short) = setting.short {
        argument = argument.short(short);
    }
    argument
}

/// Serves until a signal ends it, and returns the exit code. Returns in the processes of workers too.
///
/// # Errors
/// What keeps it from serving.
pub fn run(matches: &ArgMatches, args: &[OsString]) -> Result<ExitCode, Fatal> {
    let settings = Settings::resolve(&given(matches), |name| std::env::var(name).ok())?;
    let Some(spec) = matches.get_one::<String>("app") else {
        return Err(Fatal::new(
            "No application module specified. Name the app to serve, as in: rwsgi app:app --bind 0.0.0.0:5000",
        ));
    };
    let directory = std::env::current_dir()
        .map_err(|error| Fatal::new(format!("The working directory cannot be used: {error}.")))?;
    let interpreter = python::environment::interpreter(settings.venv.as_deref())?;
    if let Some(directory) = &settings.chdir {
        std::env::set_current_dir(directory).map_err(|error| {
            Fatal::new(format!("Cannot change to {} (from --chdir): {error}.", directory.display()))
        })?;
    }
    let inherited = upgrade::inherited();
    let listeners = listeners(&settings, inherited.as_ref())?;
    if let Some(target) = settings.accesslog.as_deref().filter(|target| *target != "-") {
        // A worker opens it for itself; what cannot be opened is told before anything is started.
        fs_err::OpenOptions::new().create(true).append(true).open(target).map_err(|error| {
            Fatal::new(format!("Cannot open the access log {target} (from --access-logfile): {error}."))
        })?;
    }
    error_log::start(settings.loglevel);
    announce(&settings, &listeners);
    let ended = arbiter::run(Service {
        workers: settings.workers,
        limits: Limits { graceful_timeout: settings.graceful_timeout, timeout: settings.timeout },
        command: upgrade::Command { args: args.to_vec(), directory },
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
        worker::run(self.plan(listeners, link)).map_or_else(|error| fail(&error), |()| 0)
    }

    fn template(self, listeners: Vec<Listener>, link: Link, mut commands: Commands) -> u8 {
        let next_worker = || commands.wait() == Some(arbiter::SPAWN);
        worker::template(self.plan(listeners, link), next_worker).map_or_else(|error| fail(&error), |()| 0)
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
}

/// What stood on the command line. An option that takes one value takes its last (argparse).
fn given(matches: &ArgMatches) -> Given {
    TABLE
        .iter()
        .filter_map(|setting| {
            let values: Vec<String> = matches.get_many(setting.name)?.cloned().collect();
            Some((setting.name, values))
        })
        .collect()
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
