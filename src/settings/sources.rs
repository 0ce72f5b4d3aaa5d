//! Where values come from, and which of them counts.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use super::{Setting, Value, all, check, find};
use crate::exit::Fatal;

/// Values by the names of their settings.
pub type Given = BTreeMap<&'static str, Value>;

/// What each of the variables [`CMD_ARGS`] gives, the later ones counting more.
pub type CmdArgs = Vec<(&'static str, Given)>;

/// The variables that hold further options, from the one that counts least.
pub const CMD_ARGS: [&str; 2] = ["GUNICORN_CMD_ARGS", "RWSGI_CMD_ARGS"];

/// Everything that settings may come from. The later ones count more.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Environment variables, those of them that change a default.
    pub environment: HashMap<String, String>,
    /// The configuration file, when there is one.
    pub file: Option<ConfigFile>,
    /// The options in the variables [`CMD_ARGS`], by the names of these.
    pub cmd_args: CmdArgs,
    /// The options of the command line.
    pub command_line: Given,
    /// What the machine is like.
    pub machine: Machine,
}

/// A configuration file that has been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigFile {
    /// What messages call it.
    pub name: String,
    /// What it sets, by the names that a file has for settings.
    pub values: BTreeMap<String, Value>,
    /// The names that it sets and that are no settings.
    pub unknown: Vec<String>,
}

/// What defaults depend on.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The directory that the program was started in.
    pub directory: PathBuf,
    /// How many CPUs this process may use.
    pub processors: usize,
}

impl Default for Machine {
    fn default() -> Self {
        Self { directory: PathBuf::from("/"), processors: 1 }
    }
}

/// Where the configuration is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// `gunicorn.conf.py` in the directory of the start, if it is there.
    Default,
    /// A file, which must be there.
    File(PathBuf),
    /// A module, by its name.
    Module(String),
}

/// Where one value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    Default,
    Variable(&'static str),
    File(String),
    CmdArgs(&'static str),
    CommandLine,
}

impl Origin {
    /// What a message calls a setting that has a value from here.
    pub(super) fn of(&self, setting: &Setting) -> String {
        match self {
            Self::Default => setting.name.to_owned(),
            Self::Variable(variable) => (*variable).to_owned(),
            Self::File(file) => format!("{} (from {file})", setting.name_in_file()),
            Self::CmdArgs(variable) => format!("{} (from {variable})", setting.shown()),
            Self::CommandLine => setting.shown().to_owned(),
        }
    }
}

impl Sources {
    /// Where the configuration is. Only the command line and the [`CMD_ARGS`] say so.
    pub fn location(&self) -> Location {
        let given = std::iter::once(&self.command_line).chain(self.cmd_args.iter().rev().map(|(_, given)| given));
        let named = given.filter_map(|given| given.get("config")).find_map(|value| value.text());
        match named {
            None => Location::Default,
            Some(named) => match named.strip_prefix("python:") {
                Some(module) => Location::Module(module.to_owned()),
                None => Location::File(PathBuf::from(named.strip_prefix("file:").unwrap_or(named))),
            },
        }
    }

    /// What each setting has been given, from the source that counts most. Every source is checked, also one that
    /// another overrides.
    pub(super) fn merge(&self) -> Result<BTreeMap<&'static str, (Origin, Value)>, Fatal> {
        let mut merged = BTreeMap::new();
        for setting in all() {
            let default = check::default(setting)
                .map_err(|error| Fatal::new(format!("The setting {} {error}.", setting.name)))?;
            merged.insert(setting.name, (Origin::Default, default));
        }
        let mut take = |setting: &'static Setting, origin: Origin, value: &Value| {
            let checked = check::check(setting, value).map_err(|error| invalid(setting, &origin, value, &error))?;
            merged.insert(setting.name, (origin, checked));
            Ok(())
        };
        for (name, variable, value) in self.variables() {
            if let Some(setting) = find(name) {
                take(setting, Origin::Variable(variable), &value)?;
            }
        }
        if let Some(file) = &self.file {
            for setting in all() {
                if let Some(value) = file.values.get(&setting.name_in_file()) {
                    take(setting, Origin::File(file.name.clone()), value)?;
                }
            }
        }
        let cmd_args = self.cmd_args.iter().map(|(variable, given)| (Origin::CmdArgs(variable), given));
        for (origin, given) in cmd_args.chain([(Origin::CommandLine, &self.command_line)]) {
            for (name, value) in given {
                if let Some(setting) = find(name) {
                    take(setting, origin.clone(), value)?;
                }
            }
        }
        Ok(merged)
    }

    /// What environment variables change. An empty one changes nothing.
    fn variables(&self) -> Vec<(&'static str, &'static str, Value)> {
        let variable = |name: &str| self.environment.get(name).filter(|value| !value.is_empty());
        let mut found = Vec::new();
        if let Some(port) = variable("PORT") {
            found.push(("bind", "PORT", Value::Text(format!("0.0.0.0:{port}"))));
        }
        if let Some(workers) = variable("WEB_CONCURRENCY") {
            found.push(("workers", "WEB_CONCURRENCY", Value::Text(workers.clone())));
        }
        if let Some(addresses) = variable("FORWARDED_ALLOW_IPS") {
            found.push(("forwarded_allow_ips", "FORWARDED_ALLOW_IPS", Value::Text(addresses.clone())));
        }
        if let Some(sendfile) = variable("SENDFILE")
            && !["y", "1", "yes", "true"].contains(&sendfile.to_ascii_lowercase().as_str())
        {
            found.push(("sendfile", "SENDFILE", Value::Flag(false)));
        }
        found
    }
}

/// A value that its setting does not take.
pub(super) fn invalid(setting: &Setting, origin: &Origin, value: &Value, error: &str) -> Fatal {
    let shown = match value {
        Value::Text(text) => format!("{text:?}"),
        value => value.to_string(),
    };
    Fatal::new(format!("The value {shown} of {} {error}.", origin.of(setting)))
}
