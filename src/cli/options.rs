//! The options of serving, made from the table of settings, and what was given for them.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::{
    exit::{Code, Fatal},
    python,
    settings::{self, CMD_ARGS, CmdArgs, Given, Kind, SECTIONS, Setting, Standing, Value},
};

const APP_HELP: &str = "The app to serve: MODULE:NAME, MODULE:FACTORY(ARGUMENTS), or MODULE, whose name is then \
                        `application`, or else `app`. Without it the configuration's wsgi_app is served.";

/// A command with every option, and the app.
pub fn command() -> Command {
    let version = format!("{} (CPython {})", env!("CARGO_PKG_VERSION"), python::full_version());
    let print = Arg::new("version").short('v').visible_short_alias('V').long("version").action(ArgAction::Version);
    let command = Command::new("rwsgi")
        .version(version)
        .disable_version_flag(true)
        // gunicorn's options may be shortened (argparse), and commands in the wild are.
        .infer_long_args(true)
        .arg(Arg::new("app").value_name("APP").help(APP_HELP))
        .arg(print.help("Print the version"));
    SECTIONS.iter().fold(command, |command, section| {
        let settings = section.settings.iter().filter(|setting| !setting.flags.is_empty());
        settings.fold(command, |command, setting| command.arg(argument(setting).help_heading(section.title)))
    })
}

fn argument(setting: &'static Setting) -> Arg {
    let (first, _) = setting.help.split_once(". ").unwrap_or((setting.help.trim_end_matches('.'), ""));
    let default = match (setting.default, setting.kind) {
        (None | Some(""), _) | (_, Kind::Flag) => String::new(),
        (Some(default), _) => format!(" [default: {default}]"),
    };
    let standing = match setting.standing {
        Standing::Works => String::new(),
        Standing::Nothing { why } => format!(" Accepted, but there is nothing to do: {why}"),
        Standing::Refused { why, instead } => format!(" Not supported: {why} {instead}"),
    };
    let in_file =
        if setting.own { format!(" In a configuration file: {}.", setting.name_in_file()) } else { String::new() };
    let mut argument = Arg::new(setting.name)
        .help(format!("{first}{default}"))
        .long_help(format!("{}{in_file}{standing}{default}", setting.help))
        .hide_short_help(setting.standing != Standing::Works);
    argument = match setting.bare {
        // As argparse does, an option may stand there twice.
        Some(_) if setting.value_name.is_empty() => argument.action(ArgAction::SetTrue).overrides_with(setting.name),
        Some(bare) => argument.num_args(0..=1).default_missing_value(bare).action(ArgAction::Append),
        None => argument.action(ArgAction::Append),
    };
    if !setting.value_name.is_empty() {
        let number = matches!(setting.kind, Kind::Number | Kind::Count | Kind::Mode);
        argument = argument.value_name(setting.value_name).allow_hyphen_values(number);
    }
    for (place, long) in setting.longs().enumerate() {
        argument = if place == 0 { argument.long(long) } else { argument.visible_alias(long) };
    }
    if let Some(short) = setting.short() {
        argument = argument.short(short);
    }
    argument
}

/// What was given. An option that takes one value takes its last (argparse).
pub fn given(matches: &ArgMatches) -> Given {
    settings::all()
        .filter(|setting| !setting.flags.is_empty())
        .filter_map(|setting| {
            if let (Some(bare), true) = (setting.bare, setting.value_name.is_empty()) {
                return (matches.get_flag(setting.name)).then(|| (setting.name, Value::from(bare)));
            }
            let mut values = matches.get_many::<String>(setting.name)?.map(|value| Value::from(value.as_str()));
            let value = if setting.kind == Kind::List { Value::List(values.collect()) } else { values.next_back()? };
            Some((setting.name, value))
        })
        .collect()
}

/// What the variables [`CMD_ARGS`] give, each split as a shell would, and whether they name an app.
///
/// # Errors
/// One that cannot be split, or has what is no option.
pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<(CmdArgs, Vec<String>), Fatal> {
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for name in CMD_ARGS {
        let Some(text) = variable(name) else { continue };
        let text = text.into_string().map_err(|_| Fatal::new(format!("The variable {name} is not UTF-8.")))?;
        let words = split(&text)
            .ok_or_else(|| Fatal::new(format!("The variable {name} has a quote that is not closed: {text}")))?;
        let matches = command()
            .no_binary_name(true)
            .try_get_matches_from(words)
            .map_err(|error| Fatal::with_code(Code::Usage, format!("The variable {name} cannot be used: {error}")))?;
        if let Some(app) = matches.get_one::<String>("app") {
            notes.push(format!("{app} (from {name}) has nothing to do: only the command line names an app."));
        }
        found.push((name, given(&matches)));
    }
    Ok((found, notes))
}

/// Splits as a shell would, but for comments, which gunicorn does not have there.
fn split(text: &str) -> Option<Vec<String>> {
    // No variable holds a NUL.
    let words = shlex::split(&text.replace('#', "\0"))?;
    Some(words.into_iter().map(|word| word.replace('\0', "#")).collect())
}
