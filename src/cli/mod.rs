//! The command line: which command was meant, and how its outcome is told to the terminal.

mod dockerize;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::exit::Fatal;

#[derive(Parser)]
#[command(name = "rwsgi", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dockerize(dockerize::Arguments),
}

/// Runs what `args` (with the program's name first) ask for.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let matches = match Arguments::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => error.exit(),
    };
    let outcome = match Arguments::from_arg_matches(&matches) {
        Ok(Arguments { command: Command::Dockerize(arguments) }) => dockerize::run(&arguments),
        Err(error) => error.exit(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => fail(&fatal),
    }
}

#[expect(clippy::print_stderr, reason = "this is where the program speaks to the terminal")]
fn fail(fatal: &Fatal) -> ExitCode {
    eprintln!("Error: {fatal}");
    fatal.code().into()
}
