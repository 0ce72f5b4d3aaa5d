//! From what was given to typed values.

use std::{collections::BTreeMap, fmt::Write as _, num::NonZeroI32, path::PathBuf, time::Duration};

use super::{
    Address, Clients, Kind, Level, LogFormat, Setting, Sources, Standing, Surroundings, Syslog, SyslogAddress, Tls,
    Value, check, find, logs,
    sources::{Origin, invalid},
    worker_class,
};
use crate::{exit::Fatal, sys::User};

/// As with gunicorn, where that is not told.
const RELOAD_WITH_PRELOAD: &str = "reload has nothing to do: code that was preloaded stays as it is. Send SIGHUP to load new \
                                   code, or leave preload_app out.";

/// The threads of a worker when their number follows from `workers = auto`. An app that waits for its database half of
/// the time keeps a CPU busy with two; more than a few only hold the GIL from each other.
const AUTOMATIC_THREADS: usize = 4;

/// The settings of a server, checked.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the table says what each setting is, under the same name")]
#[expect(clippy::struct_excessive_bools, reason = "that is how many flags gunicorn has")]
pub struct Settings {
    pub wsgi_app: Option<String>,
    /// The directory to be in, absolute.
    pub chdir: PathBuf,
    /// The same as it was given, with where, for messages.
    pub chdir_shown: String,
    pub pythonpath: Vec<String>,
    /// Names and values.
    pub raw_env: Vec<(String, String)>,
    /// What the configuration file leaves to the app, and where the server was started.
    pub surroundings: Surroundings,
    pub venv: Option<PathBuf>,
    pub preload_app: bool,
    /// Where to listen, as written.
    pub bind: Vec<String>,
    /// What messages call the place that says so.
    pub bind_shown: String,
    pub backlog: u32,
    pub reuse_port: bool,
    pub workers: usize,
    /// Whether the number of workers was left to the machine.
    pub automatic: bool,
    pub threads: usize,
    pub max_requests: u64,
    pub max_requests_jitter: u64,
    /// After how many new objects Python's garbage collector runs; `None` is Python's own business.
    pub gc_threshold: Option<NonZeroI32>,
    /// `None` is for ever.
    pub timeout: Option<Duration>,
    pub graceful_timeout: Duration,
    pub clients: Clients,
    /// `None` is without TLS.
    pub tls: Option<Tls>,
    pub daemon: bool,
    pub pidfile: Option<PathBuf>,
    /// Whom workers run as: `user`, `group` and `initgroups`. Empty where these are the present ones.
    pub run_as: User,
    pub umask: u32,
    pub proc_name: Option<String>,
    pub enable_stdio_inheritance: bool,
    /// `-` is standard output.
    pub accesslog: Option<String>,
    pub access_log_format: String,
    /// `-` is standard error.
    pub errorlog: String,
    pub loglevel: Level,
    pub log_format: LogFormat,
    pub capture_output: bool,
    pub syslog: Option<Syslog>,
    pub statsd_host: Option<Address>,
    pub statsd_prefix: String,
    pub dogstatsd_tags: String,
    pub enable_backlog_metric: bool,
    pub reload: bool,
    pub reload_engine: String,
    pub reload_extra_files: Vec<String>,
    pub check_config: bool,
    pub print_config: bool,
    /// The names of the hooks that the configuration file has.
    pub hooks: Vec<&'static str>,
    /// What was given and has nothing to do, a sentence each, for the log.
    pub notes: Vec<String>,
    values: BTreeMap<&'static str, Value>,
}

impl Settings {
    /// Checks what was given, and fills in defaults.
    ///
    /// # Errors
    /// A value that its setting does not take, or a setting that rwsgi does not have, named with its source.
    pub fn resolve(sources: &Sources) -> Result<Self, Fatal> {
        let merged = Merged { values: sources.merge()? };
        let mut notes = merged.standing()?;
        if merged.flag("reload") && merged.flag("preload_app") {
            notes.push(RELOAD_WITH_PRELOAD.to_owned());
        }
        let directory = &sources.machine.directory;
        let automatic = *merged.value("workers") == Value::from("auto");
        let workers = if automatic { sources.machine.processors.max(1) } else { merged.at_least_one("workers")? };
        let threads = match merged.origin("threads") {
            Origin::Default if automatic => AUTOMATIC_THREADS,
            _ => merged.at_least_one("threads")?,
        };
        let class = merged.text("worker_class").unwrap_or_default();
        worker_class::check(&class).map_err(|why| {
            let (class, shown) = (class.escape_debug(), merged.shown("worker_class"));
            Fatal::new(format!("The worker class {class} of {shown} is not supported. {why}"))
        })?;
        let given = merged.text("chdir").unwrap_or_default();
        let chdir_shown = match merged.origin("chdir") {
            Origin::Default => directory.display().to_string(),
            Origin::CommandLine => format!("{given} (from --chdir)"),
            _ => format!("{given}, {}", merged.shown("chdir")),
        };
        let chdir = directory.join(given);
        let chdir: PathBuf = chdir.components().collect();
        let mut surroundings = sources.file.as_ref().map(|file| file.surroundings.clone()).unwrap_or_default();
        if chdir != *directory {
            surroundings.paths.push(directory.clone());
        }
        let mut values: BTreeMap<_, _> =
            merged.values.iter().map(|(name, (_, value))| (*name, value.clone())).collect();
        values.insert("chdir", Value::Text(chdir.display().to_string()));
        Ok(Self {
            wsgi_app: merged.text("wsgi_app"),
            chdir,
            chdir_shown,
            pythonpath: merged.text("pythonpath").map_or_else(Vec::new, |text| {
                text.split(',').filter(|directory| !directory.is_empty()).map(str::to_owned).collect()
            }),
            raw_env: merged.raw_env()?,
            surroundings,
            venv: merged.text("venv").map(|venv| directory.join(venv)),
            preload_app: merged.flag("preload_app"),
            bind: merged.addresses()?,
            bind_shown: merged.shown("bind"),
            backlog: u32::try_from(merged.at_least_one("backlog")?).unwrap_or(u32::MAX),
            reuse_port: merged.flag("reuse_port"),
            workers,
            automatic,
            threads,
            max_requests: merged.number("max_requests"),
            max_requests_jitter: merged.number("max_requests_jitter"),
            gc_threshold: NonZeroI32::new(i32::try_from(merged.number("gc_threshold")).unwrap_or(i32::MAX)),
            timeout: Some(merged.seconds("timeout")).filter(|time| !time.is_zero()),
            graceful_timeout: merged.seconds("graceful_timeout"),
            clients: merged.clients()?,
            tls: merged.tls()?,
            daemon: merged.flag("daemon"),
            pidfile: merged.text("pidfile").map(PathBuf::from),
            run_as: merged.run_as()?,
            umask: u32::try_from(merged.number("umask"))
                .ok()
                .filter(|mask| *mask <= 0o777)
                .ok_or_else(|| merged.invalid("umask", "is more than 0777"))?,
            proc_name: merged.text("proc_name"),
            enable_stdio_inheritance: merged.flag("enable_stdio_inheritance"),
            accesslog: merged.text("accesslog"),
            access_log_format: merged.text("access_log_format").unwrap_or_default(),
            errorlog: merged.text("errorlog").unwrap_or_else(|| "-".to_owned()),
            loglevel: merged.level(&mut notes),
            log_format: match merged.text("log_format").as_deref() {
                Some("json") => LogFormat::Json,
                _ => LogFormat::Text,
            },
            capture_output: merged.flag("capture_output"),
            syslog: merged.syslog()?,
            statsd_host: merged.text("statsd_host").and_then(|text| Address::parse(&text, 8125)),
            statsd_prefix: merged.text("statsd_prefix").unwrap_or_default(),
            dogstatsd_tags: merged.text("dogstatsd_tags").unwrap_or_default(),
            enable_backlog_metric: merged.flag("enable_backlog_metric"),
            reload: merged.flag("reload"),
            reload_engine: merged.text("reload_engine").unwrap_or_default(),
            reload_extra_files: merged.value("reload_extra_files").texts(),
            check_config: merged.flag("check_config"),
            print_config: merged.flag("print_config"),
            hooks: merged.hooks(),
            notes,
            values,
        })
    }

    /// Whether the configuration file lives on in the process that workers are made from: it has hooks, or does something to
    /// its process that an app would notice.
    pub fn file_lives(&self) -> bool {
        !self.hooks.is_empty() || self.surroundings.acts
    }

    /// Every setting with its value, by its name.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }

    /// Every setting with its value, a line each, as gunicorn prints them, by what it is called in a configuration file.
    pub fn print(&self) -> String {
        let named = |name: &&str| find(name).map_or_else(|| (*name).to_owned(), Setting::name_in_file);
        let values: BTreeMap<_, _> = self.values.iter().map(|(name, value)| (named(name), value)).collect();
        let width = values.keys().map(String::len).max().unwrap_or_default();
        values.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:width$} = {value}");
            text
        })
    }
}

/// The value of each setting that counts, with where it is from.
pub(super) struct Merged {
    values: BTreeMap<&'static str, (Origin, Value)>,
}

impl Merged {
    fn entry(&self, name: &str) -> &(Origin, Value) {
        self.values.get(name).expect("every setting that is asked for is in the table")
    }

    pub(super) fn origin(&self, name: &str) -> &Origin {
        &self.entry(name).0
    }

    pub(super) fn value(&self, name: &str) -> &Value {
        &self.entry(name).1
    }

    pub(super) fn shown(&self, name: &str) -> String {
        find(name).map_or_else(|| name.to_owned(), |setting| self.origin(name).of(setting))
    }

    pub(super) fn invalid(&self, name: &'static str, error: &str) -> Fatal {
        find(name).map_or_else(
            || Fatal::new(format!("{name} {error}.")),
            |setting| invalid(setting, self.origin(name), self.value(name), error),
        )
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).text().map(str::to_owned)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name).is_true()
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Number(number) => u64::try_from(*number).unwrap_or_default(),
            _ => 0,
        }
    }

    /// A time, which is one that can be added to any other.
    pub(super) fn seconds(&self, name: &str) -> Duration {
        const CENTURY: u64 = 100 * 365 * 24 * 60 * 60;
        Duration::from_secs(self.number(name).min(CENTURY))
    }

    pub(super) fn size(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    fn addresses(&self) -> Result<Vec<String>, Fatal> {
        let addresses = self.value("bind").texts();
        let is_none = addresses.iter().all(String::is_empty);
        if is_none { Err(self.invalid("bind", "names no address")) } else { Ok(addresses) }
    }

    fn at_least_one(&self, name: &'static str) -> Result<usize, Fatal> {
        match self.number(name) {
            0 if find(name).is_some_and(|setting| setting.kind == Kind::Count) => {
                Err(self.invalid(name, check::NO_COUNT))
            }
            0 => Err(self.invalid(name, "is not a whole number from 1")),
            number => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
        }
    }

    fn run_as(&self) -> Result<User, Fatal> {
        let number = |name| {
            let is_own = find(name).is_some_and(|setting| is_default(setting, self.value(name)));
            (!is_own).then(|| self.number(name).to_string())
        };
        User::find(number("user").as_deref(), number("group").as_deref(), self.flag("initgroups"))
            .map_err(|error| Fatal::new(format!("{error}.")))
    }

    fn raw_env(&self) -> Result<Vec<(String, String)>, Fatal> {
        let pair = |text: String| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !text.contains('\0') => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Fatal::new(format!("The value {text:?} of {} is not NAME=VALUE.", self.shown("raw_env")))),
        };
        self.value("raw_env").texts().into_iter().map(pair).collect()
    }

    /// What is no level is info (gunicorn), and a note.
    fn level(&self, notes: &mut Vec<String>) -> Level {
        match self.text("loglevel").unwrap_or_default().to_ascii_lowercase().as_str() {
            "debug" => Level::Debug,
            "info" => Level::Info,
            "warning" => Level::Warning,
            "error" => Level::Error,
            "critical" => Level::Critical,
            _ => {
                let invalid = self.invalid("loglevel", "is not one of debug, info, warning, error, critical");
                notes.push(format!("{invalid} It is taken for info."));
                Level::Info
            }
        }
    }

    fn syslog(&self) -> Result<Option<Syslog>, Fatal> {
        if !self.flag("syslog") {
            return Ok(None);
        }
        let address = self.text("syslog_addr").unwrap_or_default();
        let facility = self.text("syslog_facility").unwrap_or_default();
        Ok(Some(Syslog {
            address: SyslogAddress::parse(&address).ok_or_else(|| {
                self.invalid("syslog_addr", "is none of udp://HOST:PORT, tcp://HOST:PORT and unix://PATH")
            })?,
            prefix: self.text("syslog_prefix"),
            facility: logs::facility(&facility)
                .ok_or_else(|| self.invalid("syslog_facility", "names no facility, such as user or local0"))?,
            access: !self.flag("disable_redirect_access_to_syslog"),
        }))
    }

    fn hooks(&self) -> Vec<&'static str> {
        let works = |name| find(name).is_some_and(|setting| setting.standing == Standing::Works);
        let is_set = |(_, value): &(Origin, Value)| matches!(value, Value::Function { .. });
        self.values.iter().filter(|(name, entry)| is_set(entry) && works(name)).map(|(name, _)| *name).collect()
    }

    /// Refuses what rwsgi does not do, and says what has nothing to do. A setting that has its default value does
    /// neither, however often it was given.
    fn standing(&self) -> Result<Vec<String>, Fatal> {
        let mut notes = Vec::new();
        for (name, (origin, value)) in &self.values {
            let Some(setting) = find(name) else { continue };
            if *origin == Origin::Default || is_default(setting, value) {
                continue;
            }
            let shown = origin.of(setting);
            match setting.standing {
                Standing::Works => {}
                Standing::Nothing { why } => notes.push(format!("{shown} has nothing to do: {why}")),
                Standing::Refused { why, instead } => {
                    return Err(Fatal::new(format!("{shown} is not supported. {why} {instead}")));
                }
            }
        }
        Ok(notes)
    }
}

fn is_default(setting: &Setting, value: &Value) -> bool {
    // `simple` is what gunicorn called its logger once, and still understands; `Statsd` is the same one with the metrics
    // that statsd_host asks for.
    let same = ["simple", "gunicorn.instrument.statsd.Statsd"];
    let synonym = setting.name == "logger_class" && value.text().is_some_and(|class| same.contains(&class));
    let unset = matches!(setting.kind, Kind::Text | Kind::Flag | Kind::Class)
        && matches!(value, Value::None | Value::Flag(false))
        && matches!(setting.default, None | Some("" | "False"));
    synonym || unset || check::default(setting).is_ok_and(|default| default == *value)
}

#[cfg(test)]
mod tests;
