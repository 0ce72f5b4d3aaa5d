//! From what was given to typed values.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::table::{Kind, TABLE};
use crate::exit::Fatal;

/// What was given for each setting, by its name, as text.
pub type Given = BTreeMap<&'static str, Vec<String>>;

/// The settings of a server, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Where to listen, as written.
    pub bind: Vec<String>,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Worker processes.
    pub workers: usize,
    /// Requests that the app handles at a time, in each worker.
    pub threads: usize,
    /// Whether the app is loaded once, before the workers are made.
    pub preload_app: bool,
    /// Requests after which a worker is replaced; 0 is never.
    pub max_requests: u64,
    /// What is added to it at most.
    pub max_requests_jitter: u64,
    /// How long a worker may be silent; `None` for ever.
    pub timeout: Option<Duration>,
    /// How long running requests may take to finish once the server stops.
    pub graceful_timeout: Duration,
    /// The directory to change to before the app is loaded.
    pub chdir: Option<PathBuf>,
    /// The virtual environment named on the command line.
    pub venv: Option<PathBuf>,
    /// Where the access log goes: `-` is standard output.
    pub accesslog: Option<String>,
    /// How much the error log says.
    pub loglevel: Level,
}

/// gunicorn's log levels, from the one that says most.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl Settings {
    /// Checks what was given and fills in defaults; `variable` looks up the environment.
    ///
    /// # Errors
    /// A value that its setting does not take, named with the setting.
    pub fn resolve(given: &Given, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Fatal> {
        let mut given = given.clone();
        if let Some(workers) = variable("WEB_CONCURRENCY").filter(|workers| !workers.is_empty()) {
            given.entry("workers").or_insert_with(|| vec![workers]);
        }
        let given = &given;
        let values = Values { given };
        let mut bind = values.all("bind");
        if !given.contains_key("bind")
            && let Some(port) = variable("PORT").filter(|port| !port.is_empty())
        {
            bind = vec![format!("0.0.0.0:{port}")];
        }
        Ok(Self {
            bind,
            backlog: u32::try_from(values.at_least_one("backlog")?).unwrap_or(u32::MAX),
            workers: usize::try_from(values.at_least_one("workers")?).unwrap_or(usize::MAX),
            threads: usize::try_from(values.at_least_one("threads")?).unwrap_or(usize::MAX),
            preload_app: values.one("preload_app").is_some_and(|value| value == "true"),
            max_requests: values.number("max_requests")?,
            max_requests_jitter: values.number("max_requests_jitter")?,
            timeout: Some(values.number("timeout")?).filter(|seconds| *seconds > 0).map(Duration::from_secs),
            graceful_timeout: Duration::from_secs(values.number("graceful_timeout")?),
            chdir: values.one("chdir").map(PathBuf::from),
            venv: values.one("venv").map(PathBuf::from),
            accesslog: values.one("accesslog"),
            loglevel: values.level()?,
        })
    }
}

struct Values<'a> {
    given: &'a Given,
}

impl Values<'_> {
    fn all(&self, name: &str) -> Vec<String> {
        if let Some(values) = self.given.get(name) {
            return values.clone();
        }
        let default = TABLE.iter().find(|setting| setting.name == name).map_or("", |setting| setting.default);
        if default.is_empty() { Vec::new() } else { vec![default.to_owned()] }
    }

    fn one(&self, name: &str) -> Option<String> {
        self.all(name).pop().filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<u64, Fatal> {
        debug_assert!(TABLE.iter().any(|setting| setting.name == name && setting.kind == Kind::Number), "{name}");
        let text = self.one(name).unwrap_or_default();
        parse_number(&text).ok_or_else(|| invalid(name, &text, "a whole number from 0"))
    }

    fn at_least_one(&self, name: &str) -> Result<u64, Fatal> {
        match self.number(name)? {
            0 => Err(invalid(name, "0", "a whole number from 1")),
            number => Ok(number),
        }
    }

    fn level(&self) -> Result<Level, Fatal> {
        let text = self.one("loglevel").unwrap_or_default();
        Ok(match text.to_ascii_lowercase().as_str() {
            "debug" => Level::Debug,
            "info" => Level::Info,
            "warning" => Level::Warning,
            "error" => Level::Error,
            "critical" => Level::Critical,
            _ => return Err(invalid("loglevel", &text, "one of debug, info, warning, error, critical")),
        })
    }
}

fn invalid(name: &str, value: &str, expected: &str) -> Fatal {
    let flag = TABLE.iter().find(|setting| setting.name == name).map_or(name, |setting| setting.long);
    Fatal::new(format!("The value {value:?} of --{flag} is not {expected}."))
}

/// As Python's `int(text, 0)`, which gunicorn reads numbers with: `0x10`, `0o20` and `0b1` are numbers too.
fn parse_number(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, radix) = match text.get(..2) {
        Some("0x") => (&text[2..], 16),
        Some("0o") => (&text[2..], 8),
        Some("0b") => (&text[2..], 2),
        _ => (text.as_str(), 10),
    };
    u64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

#[cfg(test)]
mod tests {
    use super::{Given, Level, Settings};

    fn resolve(given: &[(&'static str, &str)], port: Option<&str>) -> Result<Settings, String> {
        let given: Given = given.iter().map(|(name, value)| (*name, vec![(*value).to_owned()])).collect();
        Settings::resolve(&given, |name| (name == "PORT").then_some(port?.to_owned()))
            .map_err(|fatal| fatal.to_string())
    }

    #[test]
    fn defaults_are_gunicorns() {
        let settings = resolve(&[], None).expect("defaults are valid");
        assert_eq!(settings.bind, ["127.0.0.1:8000"]);
        assert_eq!((settings.threads, settings.backlog, settings.graceful_timeout.as_secs()), (1, 2048, 30));
        assert_eq!((settings.loglevel, settings.accesslog), (Level::Info, None));
    }

    #[test]
    fn port_changes_the_default_bind_only() {
        assert_eq!(resolve(&[], Some("5000")).expect("valid").bind, ["0.0.0.0:5000"]);
        assert_eq!(resolve(&[("bind", "[::1]:80")], Some("5000")).expect("valid").bind, ["[::1]:80"]);
    }

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        assert_eq!(resolve(&[("threads", "0x10")], None).expect("valid").threads, 16);
        assert_eq!(
            resolve(&[("threads", "many")], None),
            Err("The value \"many\" of --threads is not a whole number from 0.".to_owned())
        );
        assert_eq!(
            resolve(&[("threads", "0")], None),
            Err("The value \"0\" of --threads is not a whole number from 1.".to_owned())
        );
        assert!(resolve(&[("backlog", "-1")], None).is_err());
    }

    #[test]
    fn an_unknown_log_level_is_refused_by_name() {
        let error = resolve(&[("loglevel", "loud")], None).expect_err("no such level");
        assert_eq!(error, "The value \"loud\" of --log-level is not one of debug, info, warning, error, critical.");
    }
}
