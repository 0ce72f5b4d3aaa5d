//! `rwsgi APP`: serves an app. Its options are made from the table of settings.

use std::{ffi::OsString, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command, Subcommand as _};

use crate::{
    exit::Fatal,
    python::{self, LoadError},
    settings::{Given, Kind, Settings, TABLE},
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

/// Serves until a signal ends it.
///
/// # Errors
/// What keeps it from serving.
pub fn run(matches: &ArgMatches, args: Vec<OsString>) -> Result<(), LoadError> {
    let settings = Settings::resolve(&given(matches), |name| std::env::var(name).ok())?;
    let Some(spec) = matches.get_one::<String>("app") else {
        return Err(Fatal::new(
            "No application module specified. Name the app to serve, as in: rwsgi app:app --bind 0.0.0.0:5000",
        )
        .into());
    };
    worker::run(&settings, spec, args)
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

/// Says why the app is not served, with the user's own traceback below.
#[expect(clippy::print_stderr, reason = "this is where the program speaks to the terminal")]
pub fn fail(error: &LoadError) -> ExitCode {
    let code = super::fail(&error.fatal);
    if let Some(traceback) = &error.traceback {
        eprintln!("{traceback}");
    }
    code
}
