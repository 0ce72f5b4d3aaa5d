//! The access log: a line for each request, made and written in batches by a thread of its own; and the metrics of
//! requests.

mod format;
mod layout;
mod queue;
mod record;

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

pub use format::{Format, FormatError, Needs};
pub use layout::Layout;
pub use record::Record;

use self::queue::{Queue, Writer};
use super::{clock::Form, output::Output, statsd::Statsd, syslog::Syslog};
use crate::{
    exit::Fatal,
    settings::{LogFormat, Settings},
};

/// Where what is to be written by this process is, for [`reopen`].
static QUEUE: Mutex<Weak<Queue>> = Mutex::new(Weak::new());

/// What is said of requests.
pub struct AccessLog {
    needs: Needs,
    form: Form,
    /// None where only metrics are sent.
    writer: Option<Writer>,
    statsd: Option<Arc<Statsd>>,
}

const NAME: &str = "The format of the access log (access_log_format, --access-logformat)";

const ATOMS: &str = "The atoms are %(h)s l u t r s m U q H b B f a T D M L p, %({field}i)s, %({field}o)s and \
                     %({VARIABLE}e)s.";

/// What the log is written by, if there is one.
///
/// # Errors
/// It has a mistake.
pub fn check(settings: &Settings) -> Result<Option<Format>, Fatal> {
    is_wanted(settings).then(|| format(settings)).transpose()
}

fn format(settings: &Settings) -> Result<Format, Fatal> {
    Format::parse(&settings.access_log_format).map_err(|error| Fatal::new(format!("{NAME} has {error}. {ATOMS}")))
}

/// Says which atoms of the format do not exist.
pub(super) fn warn(format: &Format) {
    if !format.unknown.is_empty() {
        let unknown = format.unknown.join(", ");
        tracing::warn!("{NAME} has unknown atoms, which are written as -: {unknown}. {ATOMS}");
    }
}

/// What every line of the log will look like.
///
/// # Errors
/// The format has a mistake.
pub fn layout(settings: &Settings) -> Result<Layout, Fatal> {
    let format = format(settings)?;
    Ok(match settings.log_format {
        LogFormat::Text => Layout::Text(format),
        LogFormat::Json => Layout::json(&format),
    })
}

/// Whether there is an access log.
fn is_wanted(settings: &Settings) -> bool {
    settings.accesslog.is_some() || settings.syslog.as_ref().is_some_and(|syslog| syslog.access)
}

/// Opens the file of the log, which is to be given to whoever the workers run as.
pub(super) fn file(settings: &Settings) -> Result<Option<Output>, Fatal> {
    let Some(name) = &settings.accesslog else { return Ok(None) };
    if name == "-" {
        return Ok(Some(Output::Stdout));
    }
    Output::file(name).map(Some).map_err(|error| {
        Fatal::new(format!(
            "Cannot open the access log {name} (accesslog, --access-logfile): {error}. Name another file, or give this user the right to write there."
        ))
    })
}

impl AccessLog {
    /// Opens what `settings` ask for: nothing, where they ask for neither a log nor metrics.
    ///
    /// # Errors
    /// The file cannot be opened, no thread can be started, or the format has a mistake.
    pub fn open(settings: &Settings) -> Result<Option<Self>, Fatal> {
        let statsd = super::statsd();
        if !is_wanted(settings) && statsd.is_none() {
            return Ok(None);
        }
        let mut needs = Needs::default();
        let (mut form, mut writer) = (Form::Access, None);
        if is_wanted(settings) {
            let layout = layout(settings)?;
            form = layout.form();
            needs.clone_from(layout.needs());
            let syslog = settings.syslog.as_ref().filter(|syslog| syslog.access);
            let syslog = syslog.map(|syslog| Syslog::new(syslog, &super::program(), "access"));
            let started = Writer::start(file(settings)?, syslog, layout)
                .map_err(|error| Fatal::new(format!("The access log has no thread to write it: {error}.")))?;
            *QUEUE.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(started.queue());
            writer = Some(started);
        }
        needs.duration |= statsd.is_some();
        Ok(Some(Self { needs, form, writer, statsd }))
    }

    /// What of a request has to be kept for its line.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The time as its lines have it.
    pub fn now(&self) -> Duration {
        self.form.now()
    }

    /// Notes a request that was answered. Waits only while the log's file is far behind.
    pub fn write(&self, record: &Record<'_>) {
        if let Some(writer) = &self.writer {
            writer.queue().push(record);
        }
        if let Some(statsd) = &self.statsd {
            statsd.request(record.status, record.duration);
        }
    }

    /// Writes what is left and ends. Safe to call more than once.
    pub fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Has the log's file opened again under its name. What was said before is in the old one.
pub(super) fn reopen() {
    if let Some(queue) = QUEUE.lock().unwrap_or_else(PoisonError::into_inner).upgrade() {
        queue.reopen();
    }
}

/// How long a line may wait for others to be written with. A line each would cost more than all else in this module.
const GATHER: Duration = Duration::from_millis(50);
