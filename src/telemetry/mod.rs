//! What the server says while it runs: the error log, the access log and metrics, in gunicorn's formats or as JSON.
//!
//! [`start`] is for the arbiter, before there are workers, which inherit it; each worker has an access log of its own.

pub mod access;
mod clock;
pub mod error_log;
mod output;
mod statsd;
mod syslog;
mod text;

use std::sync::{Arc, Mutex, PoisonError};

pub use error_log::{CRITICAL, EXCEPTION};

use self::statsd::Statsd;
use crate::{
    exit::Fatal,
    settings::{Level, Settings},
};

static STATSD: Mutex<Option<Arc<Statsd>>> = Mutex::new(None);

static PROGRAM: Mutex<String> = Mutex::new(String::new());

/// Starts the error log and metrics as the settings say, and sees whether there can be an access log. `app` is the app's
/// spec, by which syslog knows the program if it has no other name. May be called again, with other settings.
///
/// # Errors
/// A file cannot be opened, or the format of the access log has a mistake.
pub fn start(settings: &Settings, app: &str) -> Result<(), Fatal> {
    let name = settings.syslog.as_ref().and_then(|syslog| syslog.prefix.clone());
    let name = name.unwrap_or_else(|| settings.proc_name.as_deref().unwrap_or(app).replace(':', "."));
    *PROGRAM.lock().unwrap_or_else(PoisonError::into_inner) = name;
    let format = access::check(settings)?;
    access::file(settings)?;
    error_log::start(settings)?;
    format.iter().for_each(access::warn);
    let statsd = settings.statsd_host.as_ref();
    let statsd = statsd.map(|address| Statsd::new(address, &settings.statsd_prefix, &settings.dogstatsd_tags));
    // That nobody counts is no reason not to serve.
    let statsd = statsd.transpose().unwrap_or_else(|error| {
        tracing::warn!("{error} No metrics are sent until the next HUP.");
        None
    });
    *STATSD.lock().unwrap_or_else(PoisonError::into_inner) = statsd.map(Arc::new);
    Ok(())
}

/// Says what would keep the logs from being written, and makes none that is not there.
///
/// # Errors
/// As [`start`] has them.
pub fn check(settings: &Settings) -> Result<(), Fatal> {
    access::check(settings)?;
    let is_there = |name: &String| name != "-" && std::path::Path::new(name).exists();
    if settings.accesslog.as_ref().is_some_and(is_there) {
        access::file(settings)?;
    }
    if is_there(&settings.errorlog) {
        error_log::output(settings)?;
    }
    Ok(())
}

/// Opens the files of both logs again under their names, as whoever rotates them asks for with `USR1`.
pub fn reopen() {
    error_log::reopen();
    access::reopen();
}

/// Says something in the error log, if that is to say as much.
pub fn say(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::debug!("{text}"),
        Level::Info => tracing::info!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
        Level::Critical => tracing::error!(target: CRITICAL, "{text}"),
    }
}

/// Says in the error log what an exception of the user's code has to say, which is a metric of its own.
pub fn say_exception(text: &str) {
    tracing::error!(target: EXCEPTION, "{text}");
}

/// The number of workers has become this: a metric.
pub fn workers(count: usize) {
    if let Some(statsd) = statsd() {
        statsd.workers(count);
    }
}

/// So many connections wait to be accepted: a metric.
pub fn backlog(count: u32) {
    tracing::debug!("socket backlog: {count}");
    if let Some(statsd) = statsd() {
        statsd.backlog(count);
    }
}

/// A hook's own metric, as statsd has it: `NAME:VALUE|FORM`.
pub fn metric(metric: &str) {
    if let Some(statsd) = statsd() {
        statsd.send(metric);
    }
}

/// Gives the files of the logs to the user and group that workers run as, who must be able to open them again.
///
/// # Errors
/// The first file that cannot be given away. One that is no regular file, `/dev/null` say, is left as it is.
pub fn give_to(settings: &Settings, user: Option<u32>, group: Option<u32>) -> std::io::Result<()> {
    // Where it was rotated there is none yet.
    access::file(settings).map_err(std::io::Error::other)?;
    let access = settings.accesslog.as_deref().filter(|name| *name != "-").map(std::path::PathBuf::from);
    for path in error_log::path().into_iter().chain(access) {
        if fs_err::metadata(&path)?.is_file() {
            std::os::unix::fs::chown(&path, user, group)?;
        }
    }
    Ok(())
}

fn statsd() -> Option<Arc<Statsd>> {
    STATSD.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The program's name in syslog.
fn program() -> String {
    PROGRAM.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
