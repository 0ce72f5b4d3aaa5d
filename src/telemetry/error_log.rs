//! The error log: what the program says through `tracing`, a line each, in gunicorn's format or as JSON.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    io::Write as _,
    os::fd::RawFd,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use tracing::{
    Event, Level as TracingLevel, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};

use super::{
    clock::{Clock, Form},
    output::Output,
    syslog::Syslog,
    text,
};
use crate::{
    exit::Fatal,
    settings::{Level, LogFormat, Settings},
    sys,
};

/// The target of an event that is critical: `tracing` has no level above ERROR.
pub const CRITICAL: &str = "rwsgi::critical";

/// The target of an event that reports an exception of the app's, which is a metric of its own.
pub const EXCEPTION: &str = "rwsgi::exception";

static LOG: Mutex<Option<Log>> = Mutex::new(None);

static AROUND_FORKS: Once = Once::new();

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

struct Log {
    output: Output,
    format: LogFormat,
    clock: Clock,
    syslog: Option<Syslog>,
    /// Whether standard output and standard error are this log too.
    capture: bool,
}

/// Opens what the log is written to.
pub(super) fn output(settings: &Settings) -> Result<Output, Fatal> {
    match settings.errorlog.as_str() {
        "-" => Ok(Output::Stderr),
        name => Output::file(name).map_err(|error| failed(settings, &error)),
    }
}

fn failed(settings: &Settings, error: &std::io::Error) -> Fatal {
    Fatal::new(format!(
        "Cannot open the error log {} (errorlog, --error-logfile): {error}. Name another file, or give this user the right to write there.",
        settings.errorlog
    ))
}

/// Starts the error log, or changes it to other settings.
pub(super) fn start(settings: &Settings) -> Result<(), Fatal> {
    let output = output(settings)?;
    let syslog = settings.syslog.as_ref();
    let log = Log {
        // Standard error is what it is: there is nothing to capture it for.
        capture: settings.capture_output && matches!(output, Output::File(..)),
        output,
        format: settings.log_format,
        clock: Clock::new(match settings.log_format {
            LogFormat::Text => Form::Error,
            LogFormat::Json => Form::Rfc3339,
        }),
        syslog: syslog.map(|syslog| Syslog::new(syslog, &super::program(), "error")),
    };
    log.capture().map_err(|error| failed(settings, &error))?;
    *lock() = Some(log);
    AROUND_FORKS.call_once(|| sys::around_forks(take_log, give_log));
    LEVEL.store(settings.loglevel as u8, Ordering::Relaxed);
    // Only a second call fails, and then the log that there is has been changed.
    let _ = tracing::subscriber::set_global_default(Listener);
    Ok(())
}

/// Has standard output and standard error go into the log again, after they went elsewhere, where they are to.
///
/// # Errors
/// The system does not do it.
pub fn capture() -> std::io::Result<()> {
    lock().as_ref().map_or(Ok(()), Log::capture)
}

/// Opens the log's file again under its name.
pub(super) fn reopen() {
    let result = lock().as_mut().map(|log| log.output.reopen().and_then(|()| log.capture()));
    if let Some(Err(error)) = result {
        tracing::error!("Cannot open the error log again: {error}. It goes on as before.");
    }
}

/// The file of the log, where it is one.
pub(super) fn path() -> Option<std::path::PathBuf> {
    lock().as_ref().and_then(|log| log.output.path().map(std::path::Path::to_owned))
}

/// Whether what is written to standard error is in the log as well as what is written to the log.
pub fn is_standard_error() -> bool {
    lock().as_ref().is_none_or(|log| log.format == LogFormat::Text && (log.capture || log.output.is_standard_error()))
}

/// The descriptor that the log is written to. It stays the same when the file is opened again.
pub fn descriptor() -> RawFd {
    lock().as_ref().map_or(2, |log| log.output.descriptor())
}

/// The least level that is said.
pub fn level() -> Level {
    let least = LEVEL.load(Ordering::Relaxed);
    [Level::Debug, Level::Info, Level::Warning, Level::Error]
        .into_iter()
        .find(|level| *level as u8 == least)
        .unwrap_or(Level::Critical)
}

/// Says something that the app's own loggers have found worth saying, whatever the level of this log.
pub fn tell(level: Level, message: &str) {
    if let Some(log) = lock().as_mut() {
        log.write(level, message);
    }
}

/// Sends to syslog, where that is asked for, what standard error has had in other words.
pub fn tell_syslog(level: Level, message: &str) {
    if let Some(log) = lock().as_mut() {
        let mut line = Vec::with_capacity(message.len());
        text::message(&mut line, message);
        log.send(level, &line);
    }
}

/// Writes what the app wrote to `wsgi.errors`: lines as they are, or what was written at once as one JSON object.
pub fn write_app(text: &str) {
    let mut log = lock();
    let Some(log) = log.as_mut() else { return };
    let mut line = Vec::with_capacity(text.len() + 100);
    match log.format {
        LogFormat::Text => line.extend_from_slice(text.as_bytes()),
        LogFormat::Json => {
            log.begin_json(&mut line);
            line.extend_from_slice(b",\"source\":\"wsgi.errors\",\"message\":");
            text::json_text(&mut line, text.trim_end_matches('\n'));
            line.extend_from_slice(b"}\n");
        }
    }
    // There is no other place to say that this one cannot be written to.
    let _ = log.output.write(&line);
}

thread_local! {
    /// The log, while this thread forks.
    static TAKEN: RefCell<Option<MutexGuard<'static, Option<Log>>>> = const { RefCell::new(None) };
}

/// Sees that no other thread is at the log during a fork: the child does not have that thread, and would wait for it.
extern "C" fn take_log() {
    // At the end of a thread there is no place to keep it.
    let _ = TAKEN.try_with(|taken| *taken.borrow_mut() = Some(lock()));
}

extern "C" fn give_log() {
    let _ = TAKEN.try_with(|taken| drop(taken.take()));
}

fn lock() -> MutexGuard<'static, Option<Log>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
        Level::Critical => "CRITICAL",
    }
}

impl Log {
    fn capture(&self) -> std::io::Result<()> {
        match &self.output {
            Output::File(_, file) if self.capture => sys::redirect_output(file),
            _ => Ok(()),
        }
    }

    fn write(&mut self, level: Level, message: &str) {
        let mut line = Vec::with_capacity(message.len() + 80);
        let mut start = 0;
        match self.format {
            LogFormat::Text => {
                self.clock.write(&mut line);
                drop(write!(line, " [{}] [{}] ", std::process::id(), name(level)));
                start = line.len();
                text::message(&mut line, message);
            }
            LogFormat::Json => {
                self.begin_json(&mut line);
                drop(write!(line, ",\"level\":\"{}\",\"message\":", name(level)));
                text::json_text(&mut line, message);
                line.push(b'}');
            }
        }
        let end = line.len();
        line.push(b'\n');
        // There is no other place to say that this one cannot be written to.
        let _ = self.output.write(&line);
        self.send(level, &line[start..end]);
    }

    fn send(&mut self, level: Level, line: &[u8]) {
        if let Some(syslog) = &mut self.syslog
            && let Err(error) = syslog.send(level, line)
        {
            self.syslog_failed(&error);
        }
    }

    fn begin_json(&mut self, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"time\":\"");
        self.clock.write(line);
        drop(write!(line, "\",\"pid\":{}", std::process::id()));
    }

    fn syslog_failed(&mut self, error: &std::io::Error) {
        let syslog = self.syslog.take();
        self.write(Level::Warning, &format!("Cannot send to syslog: {error}. Lines are lost until that works."));
        self.syslog = syslog;
    }
}

/// Takes the events of this program: those of its libraries mean nothing to whoever reads the log.
struct Listener;

fn level_of(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        TracingLevel::ERROR if metadata.target() == CRITICAL => Level::Critical,
        TracingLevel::ERROR => Level::Error,
        TracingLevel::WARN => Level::Warning,
        TracingLevel::INFO => Level::Info,
        TracingLevel::DEBUG | TracingLevel::TRACE => Level::Debug,
    }
}

fn is_said(level: Level) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed)
}

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // The level may change, so it is asked for each time.
        if metadata.target().starts_with("rwsgi") { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = level_of(metadata);
        // What is not said is counted all the same (gunicorn).
        metadata.target().starts_with("rwsgi")
            && (is_said(level) || level >= Level::Warning && super::statsd().is_some())
    }

    fn event(&self, event: &Event<'_>) {
        let level = level_of(event.metadata());
        let mut message = Message(String::new());
        event.record(&mut message);
        if is_said(level)
            && let Some(log) = lock().as_mut()
        {
            log.write(level, &message.0);
        }
        if let Some(statsd) = super::statsd() {
            statsd.logged(level, event.metadata().target() == EXCEPTION);
        }
    }

    // Nothing in this program uses spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
