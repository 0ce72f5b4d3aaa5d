//! `rwsgi APP`: serves an app. Its options and settings are read elsewhere.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{
    ArgMatches, Command, Subcommand as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{configuration::Configuration, options, output::say, sockets};
use crate::{
    arbiter::{self, Ended, Limits, PidFile, Service, Wanted, upgrade},
    exit::{Code, Fatal},
    link::{Birth, Commands, Link},
    net::{Bind, Listener, tls},
    python,
    settings::{Level, Settings},
    sys::{self, Apart, Directory, Signal},
    telemetry, worker,
    wsgi::SERVER_SOFTWARE,
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

/// What is wrong where a command line names two things to serve, which clap takes for a command behind an app.
pub fn second(error: &clap::Error) -> Option<Fatal> {
    let Some(ContextValue::String(second)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    (error.kind() == ErrorKind::ArgumentConflict).then(|| {
        let text = format!("{second:?} is one too many behind APP. Serving needs no command of its own: rwsgi app:app");
        Fatal::with_code(Code::Usage, text)
    })
}

/// Serves until a signal ends it, and returns the exit code. Returns in the processes of workers too.
///
/// # Errors
/// What keeps it from serving.
pub fn run(matches: &ArgMatches, args: &[OsString]) -> Result<ExitCode, Fatal> {
    // Whoever ignores it passes that on, and then no process would learn how its children end.
    sys::restore(Signal::Chld);
    // As gunicorn: modules look there for who serves them.
    sys::set_variable("SERVER_SOFTWARE", SERVER_SOFTWARE);
    let configuration = Configuration::new(matches, args)?;
    let settings = configuration.load(None)?;
    let interpreter = python::environment::interpreter(settings.venv.as_deref())?;
    let directory = change_directory(&settings)?;
    let spec = configuration.app(&settings)?;
    if settings.check_config || settings.print_config {
        return check(&settings, &interpreter, spec, args);
    }
    let spec = spec.to_owned();
    check_files(&settings)?;
    let inherited = upgrade::inherited();
    // What is wrong with the logs is told while there is a terminal to tell it to.
    logs(&settings, &spec)?;
    let mut listeners = sockets::listeners(&settings, inherited.as_ref())?;
    if settings.daemon && inherited.is_none() {
        sys::become_daemon(settings.enable_stdio_inheritance)
            .and_then(|()| telemetry::error_log::capture())
            .map_err(|error| Fatal::new(format!("The server cannot become a daemon: {error}.")))?;
        // They were another process's, which has ended.
        listeners.iter_mut().for_each(Listener::own_file);
    }
    let pidfile = pidfile(&settings, inherited.is_some()).inspect_err(|fatal| {
        if settings.daemon {
            // There is no terminal any more to say it at.
            tracing::error!("{fatal}");
        }
    })?;
    announce(&settings, &listeners);
    if let Some(name) = &settings.proc_name {
        sys::set_process_name(&format!("{name}: master"));
    }
    let ended = arbiter::run(Service {
        command: upgrade::Command { args: args.to_vec(), directory: configuration.directory().to_owned() },
        predecessor: inherited.map(|inherited| inherited.parent),
        pidfile,
        daemon: settings.daemon,
        listeners,
        program: Program {
            configuration: &configuration,
            now: Given { settings, interpreter, spec, directory },
            before: None,
            args,
        },
    })?;
    let (Ended::Arbiter(code) | Ended::Worker(code)) = ended;
    Ok(ExitCode::from(code))
}

/// Says what is wrong with the certificate before a worker meets it, which reads it anew, and which files there are not.
fn check_files(settings: &Settings) -> Result<(), Fatal> {
    let is_pattern = |name: &str| name.contains(['*', '?', '[']);
    if let Some(name) = settings.reload_extra_files.iter().find(|name| !is_pattern(name) && !Path::new(name).exists()) {
        return Err(Fatal::new(format!(
            "The file {name} (reload_extra_files, --reload-extra-file) does not exist in {}.",
            settings.chdir.display()
        )));
    }
    settings.tls.as_ref().map_or(Ok(()), |settings| tls::load(settings).map(drop))
}

/// Opens the logs, which whoever the workers run as should be able to open again.
fn logs(settings: &Settings, spec: &str) -> Result<(), Fatal> {
    telemetry::start(settings, spec)?;
    give_logs(settings);
    Ok(())
}

fn give_logs(settings: &Settings) {
    let (user, group) = (settings.run_as.user.as_ref().map(|(id, _)| *id), settings.run_as.group);
    if user.is_none() && group.is_none() {
        return;
    }
    telemetry::give_to(settings, user, group).unwrap_or_else(|error| {
        tracing::warn!(
            "The logs cannot be given to the workers' user: {error}. After USR1 workers may go on in the old files."
        );
    });
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
    /// What workers go by that are started now.
    now: Given,
    /// What those that serve go by, while a reload has to prove itself.
    before: Option<Given>,
    args: &'a [OsString],
}

/// What follows from the configuration.
struct Given {
    settings: Settings,
    interpreter: PathBuf,
    spec: String,
    /// What the name of the working directory led to.
    directory: Directory,
}

impl Given {
    /// Goes back to the directory and the logs, after a reload that failed. That they could be had before does not say that
    /// they can be now.
    fn resume(&self) {
        let entered = self.directory.enter().map_err(|error| {
            Fatal::new(format!(
                "Cannot go back to {}: {error}. New workers may find other code.",
                self.settings.chdir_shown
            ))
        });
        for outcome in [entered, logs(&self.settings, &self.spec)] {
            outcome.unwrap_or_else(|fatal| tracing::error!("{fatal}"));
        }
    }
}

impl Program<'_> {
    fn plan(self, mut listeners: Vec<Listener>, link: Link) -> worker::Plan {
        let Self { configuration, now: Given { settings, interpreter, spec, .. }, args, .. } = self;
        sockets::close_others(&settings, &mut listeners);
        let file = configuration.source().filter(|_| settings.file_lives());
        worker::Plan { settings, interpreter, spec, args: args.to_vec(), file, listeners, link: Arc::new(link) }
    }
}

impl arbiter::Program for Program<'_> {
    fn has_template(&self) -> bool {
        self.now.settings.preload_app || self.now.settings.file_lives()
    }

    fn hooks(&self) -> &[&'static str] {
        &self.before.as_ref().unwrap_or(&self.now).settings.hooks
    }

    fn reload(&mut self, listeners: &mut Vec<Listener>) -> Result<(), Fatal> {
        let settings = self.configuration.load(Some(RELOAD))?;
        let spec = self.configuration.app(&settings)?.to_owned();
        let interpreter = python::environment::interpreter(settings.venv.as_deref())?;
        let open = listeners.len();
        let entered = change_directory(&settings).and_then(|directory| {
            check_files(&settings)?;
            logs(&settings, &spec)?;
            sockets::open_missing(&settings, listeners, 1)?;
            Ok(directory)
        });
        let directory = entered.inspect_err(|_| self.now.resume())?;
        // From here on nothing fails.
        if listeners.len() > open {
            tracing::info!("Listening at: {} ({})", sockets::addresses(listeners, &settings), std::process::id());
        }
        for note in &settings.notes {
            tracing::info!("{note}");
        }
        let before = std::mem::replace(&mut self.now, Given { settings, interpreter, spec, directory });
        // A reload that takes the place of another one has the same to go back to.
        self.before.get_or_insert(before);
        Ok(())
    }

    fn settle(&mut self, adopted: bool, listeners: &mut Vec<Listener>) {
        if let Some(before) = self.before.take().filter(|_| !adopted) {
            self.now = before;
            self.now.resume();
        }
        sockets::close_others(&self.now.settings, listeners);
    }

    fn wanted(&self) -> Wanted<'_> {
        let settings = &self.now.settings;
        Wanted {
            workers: settings.workers,
            limits: Limits { graceful_timeout: settings.graceful_timeout, timeout: settings.timeout },
            pidfile: settings.pidfile.as_deref(),
            backlog_metric: settings.enable_backlog_metric,
        }
    }

    fn name(&self) -> &str {
        self.now.settings.proc_name.as_deref().unwrap_or(&self.now.spec)
    }

    fn reopen_logs(&self) {
        telemetry::reopen();
        give_logs(&self.now.settings);
    }

    fn worker(self, listeners: Vec<Listener>, link: Link) -> u8 {
        let served = worker::run(self.plan(listeners, link)).inspect_err(|_| python::write_out());
        served.map_or_else(|error| report_worker(&error), |()| 0)
    }

    fn template(self, birth: Birth, listeners: Vec<Listener>, link: Link, commands: Commands) -> u8 {
        let template = std::process::id();
        let served = worker::template(self.plan(listeners, link), &birth, commands);
        match served.inspect_err(|_| python::write_out()) {
            Ok(()) => 0,
            Err(error) if std::process::id() != template => report_worker(&error),
            Err(error) => match report(&error) {
                code if code == Code::Hook as u8 => code,
                // gunicorn's arbiter loads itself what is preloaded, and ends with this whatever is wrong.
                _ => Code::Failed as u8,
            },
        }
    }
}

fn change_directory(settings: &Settings) -> Result<Directory, Fatal> {
    std::env::set_current_dir(&settings.chdir)
        .and_then(|()| Directory::current())
        .map_err(|error| Fatal::new(format!("Cannot change to {}: {error}.", settings.chdir_shown)))
}

fn announce(settings: &Settings, listeners: &[Listener]) {
    tracing::info!("Starting rwsgi {} (CPython {})", env!("CARGO_PKG_VERSION"), python::full_version());
    tracing::info!("Listening at: {} ({})", sockets::addresses(listeners, settings), std::process::id());
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
fn check(settings: &Settings, interpreter: &Path, spec: &str, args: &[OsString]) -> Result<ExitCode, Fatal> {
    if settings.print_config {
        say(&settings.print())?;
    }
    for note in &settings.notes {
        super::tell(note);
    }
    let logs = settings.accesslog.iter().chain([&settings.errorlog]).filter(|name| *name != "-").map(Path::new);
    logs.chain(settings.pidfile.as_deref()).try_for_each(check_folder)?;
    for bind in &settings.bind {
        if let Bind::Unix(path) = sockets::address(bind, settings)? {
            check_folder(&path)?;
        }
    }
    check_files(settings)?;
    telemetry::check(settings)?;
    let outcome = sys::run_apart(None, || match worker::try_app(settings, interpreter, spec, args.to_vec()) {
        Ok(()) => vec![0],
        Err(fatal) => {
            super::fail(&fatal);
            vec![fatal.code() as u8]
        }
    });
    Ok(match outcome {
        Ok(Apart::Done(code)) if code == [0] => ExitCode::SUCCESS,
        Ok(_) => Code::Failed.into(),
        Err(error) => return Err(Fatal::new(format!("The app cannot be tried: {error}."))),
    })
}

/// Says of a file that a server makes whether there is a folder for it, and makes none.
fn check_folder(file: &Path) -> Result<(), Fatal> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(());
    }
    let (file, folder) = (file.display(), folder.display());
    Err(Fatal::new(format!("{file} cannot be made: there is no folder {folder}. Make it, or name another.")))
}

/// Says why a worker does not serve, between the lines that gunicorn's has.
fn report_worker(fatal: &Fatal) -> u8 {
    if fatal.code() == Code::WorkerBoot {
        telemetry::say_exception("Exception in worker process");
    }
    let code = report(fatal);
    tracing::info!("Worker exiting (pid: {})", std::process::id());
    code
}

/// Says in the error log why a worker does not serve. Where that is standard error, it is said as to a user at a
/// terminal.
fn report(fatal: &Fatal) -> u8 {
    let traceback = fatal.traceback().map(|traceback| format!("\n{traceback}")).unwrap_or_default();
    if telemetry::error_log::is_standard_error() {
        super::fail(fatal);
        telemetry::error_log::tell_syslog(Level::Error, &format!("{fatal}{traceback}"));
    } else {
        tracing::error!("{fatal}{traceback}");
    }
    fatal.code() as u8
}
