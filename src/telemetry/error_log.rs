//! The error log: gunicorn's line format, written through `tracing`.

use std::fmt;

use jiff::ZonedDateTime;
use tracing::{Event, Level as TracingLevel, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::settings::Level;

/// Starts the error log on standard error. To be called once; later calls change nothing.
pub fn start(level: Level) {
    let filter = match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warning => LevelFilter::WARN,
        // tracing has no level above ERROR; what gunicorn logs as critical is an ERROR here.
        Level::Error | Level::Critical => LevelFilter::ERROR,
    };
    let subscriber =
        tracing_subscriber::fmt().with_max_level(filter).with_writer(std::io::stderr).event_format(Line).finish();
    // Only a second call fails, and then the first log goes on.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// `[2026-11-23 22:31:23 +0000] [4711] [INFO] message`
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // hyper and bollard speak through tracing too, of things that mean nothing to whoever reads this log.
        if !event.metadata().target().starts_with("rwsgi") {
            return Ok(());
        }
        let level = match *event.metadata().level() {
            TracingLevel::ERROR => "ERROR",
            TracingLevel::WARN => "WARNING",
            TracingLevel::INFO => "INFO",
            TracingLevel::DEBUG | TracingLevel::TRACE => "DEBUG",
        };
        let time = ZonedDateTime::now();
        write!(writer, "[{}] [{}] [{level}] ", time.strftime("%Y-%m-%d %H:%M:%S %z"), std::process::id())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
