//! Where values come from, and which of them counts.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use serde::Deserialize;

use super::{Setting, Value, all, check, find, setting::OWN};
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
    /// What it has changed of the process that it ran in.
    pub surroundings: Surroundings,
}

/// What a configuration file changes of its process beside the settings: under gunicorn that is the app's.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct Surroundings {
    /// Variables of the environment; no value where one was taken away.
    pub variables: BTreeMap<String, Option<String>>,
    /// Directories that modules are looked for in.
    pub paths: Vec<PathBuf>,
    /// The mask of permissions that new files do not get.
    pub umask: Option<u32>,
    /// Whether it may do more, so that it is to run in the process that workers are made from.
    #[serde(default)]
    pub acts: bool,
}

impl ConfigFile {
    /// Refuses a name that only a setting of rwsgi's own could have, and none has: what was asked for would not be.
    ///
    /// # Errors
    /// There is one.
    pub fn check_names(&self) -> Result<(), Fatal> {
        let Some(name) = self.unknown.iter().find(|name| name.starts_with(OWN)) else { return Ok(()) };
        let all: Vec<_> = all().filter(|setting| setting.own).map(Setting::name_in_file).collect();
        Err(Fatal::new(format!("{name} (from {}) is no setting of rwsgi's, which are {}.", self.name, all.join(", "))))
    }

    /// Settings of rwsgi's own that are set by the bare name that their options have, which does nothing: a sentence each.
    pub fn misnamed(&self) -> impl Iterator<Item = String> {
        let is_set = |setting: &&Setting| setting.own && self.unknown.iter().any(|name| name == setting.name);
        all().filter(is_set).map(|setting| {
            let (name, full) = (setting.name, setting.name_in_file());
            format!(
                "{name} (from {}) is no setting of gunicorn's. rwsgi's is called {full} in a configuration file.",
                self.name
            )
        })
    }
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
        for (setting, variable, value) in self.variables() {
            take(setting, Origin::Variable(variable), &value)?;
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

    /// What environment variables change. An empty one changes nothing, unless it is a list: of no proxy then.
    fn variables(&self) -> impl Iterator<Item = (&'static Setting, &'static str, Value)> {
        all().filter_map(|setting| {
            let variable = setting.variable?;
            let is_list = setting.name == "forwarded_allow_ips";
            let text = self.environment.get(variable).filter(|text| is_list || !text.is_empty())?;
            let value = match setting.name {
                "bind" => Value::Text(format!("0.0.0.0:{text}")),
                "sendfile" if ["y", "1", "yes", "true"].contains(&text.to_ascii_lowercase().as_str()) => return None,
                "sendfile" => Value::Flag(false),
                _ => Value::from(text.as_str()),
            };
            Some((setting, variable, value))
        })
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
