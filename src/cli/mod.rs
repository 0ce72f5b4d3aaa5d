//! The command line: which command was meant, and how its outcome is told to the terminal.

mod configuration;
mod dockerize;
mod healthcheck;
mod ldconfig;
mod options;
mod output;
mod serve;
mod sockets;
mod terminal;

use std::{ffi::OsString, io::Write as _, process::ExitCode};

use clap::{FromArgMatches as _, Subcommand};

use crate::{exit::Fatal, python, sys};

#[derive(Subcommand)]
enum Command {
    #[command(about = dockerize::ABOUT, disable_help_flag = true)]
    Dockerize {
        /// What `rwsgi dockerize --help` lists.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    Healthcheck(healthcheck::Arguments),
    /// Run the embedded Python, with its own options, as `python` would.
    #[command(disable_help_flag = true)]
    Python {
        /// What `python` takes: options, -c CODE, -m MODULE, FILE.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// Does what `args` (with the program's name first) ask for: serves, unless another command is named.
pub fn run(args: Vec<OsString>) -> ExitCode {
    sys::note_foreign_threads();
    sys::restore_faults();
    if let Some(args) = python::command::as_executed(&args) {
        return ended(python::command::run_as_called(args));
    }
    if args.first().is_some_and(|program| ldconfig::called_so(program)) {
        return ldconfig::run(&args);
    }
    // Everything behind these is another's, also what clap would take for an option of ours.
    match args.get(1).and_then(|command| command.to_str()) {
        Some("python") => return run_python(args.into_iter().skip(2)),
        Some("dockerize") => return fail(&dockerize::become_packager(args.into_iter().skip(2))),
        _ => {}
    }
    let matches = match serve::command().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => match serve::second(&error) {
            Some(fatal) => return fail(&fatal),
            None => error.exit(),
        },
    };
    if matches.subcommand().is_none() {
        return serve::run(&matches, &args).unwrap_or_else(|fatal| fail(&fatal));
    }
    let outcome = match Command::from_arg_matches(&matches) {
        Ok(Command::Dockerize { args }) => Err(dockerize::become_packager(args.into_iter())),
        Ok(Command::Healthcheck(arguments)) => healthcheck::run(&arguments),
        Ok(Command::Python { args }) => return run_python(args.into_iter()),
        Err(error) => error.exit(),
    };
    finish(outcome)
}

/// Makes an image as `args` (with the program's name first) ask for.
pub fn dockerize(args: Vec<OsString>) -> ExitCode {
    match dockerize::arguments(args) {
        Ok(arguments) => finish(dockerize::run(&arguments)),
        Err(error) => error.exit(),
    }
}

fn run_python(args: impl Iterator<Item = OsString>) -> ExitCode {
    python::command::run(args).map_or_else(|fatal| fail(&fatal), ended)
}

fn finish(outcome: Result<(), Fatal>) -> ExitCode {
    outcome.map_or_else(|fatal| fail(&fatal), |()| ExitCode::SUCCESS)
}

/// An interpreter's exit code as the process's.
fn ended(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn fail(fatal: &Fatal) -> ExitCode {
    tell(&format!("Error: {fatal}"));
    if let Some(traceback) = fatal.traceback() {
        tell(traceback);
    }
    fatal.code().into()
}

/// Says something to the terminal. Nobody may listen there any more.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
