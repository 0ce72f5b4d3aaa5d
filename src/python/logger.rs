//! Python's logger `gunicorn.error`: apps and hooks write to the error log through it, and take its handlers and level for
//! their own loggers.

use std::borrow::Cow;

use pyo3::{
    prelude::*,
    types::{PyBytes, PyString},
};

use super::{embedded::embedded, errors::Errors};
use crate::{settings::Level, telemetry::error_log};

/// Sets it up for this process.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let module = embedded!("error_logger").import(py)?;
    let level = match error_log::level() {
        Level::Debug => 10,
        Level::Info => 20,
        Level::Warning => 30,
        Level::Error => 40,
        Level::Critical => 50,
    };
    module.call_method1("install", (level, wrap_pyfunction!(tell, py)?, Bound::new(py, Errors)?)).map(drop)
}

/// Writes a record whose level has this number. Whether that is enough was for the logger to say.
#[pyfunction]
fn tell(py: Python<'_>, level: i64, message: &Bound<'_, PyString>) {
    let level = match level {
        50.. => Level::Critical,
        40.. => Level::Error,
        30.. => Level::Warning,
        20.. => Level::Info,
        _ => Level::Debug,
    };
    // The file may be slow, or a pipe.
    let message = text(message);
    py.detach(|| error_log::tell(level, &message));
}

/// Text as a log has it. What is no Unicode, a byte of a file's name say, is written as Python does to standard error.
pub(super) fn text<'a>(text: &'a Bound<'_, PyString>) -> Cow<'a, str> {
    if let Ok(text) = text.to_str() {
        return Cow::Borrowed(text);
    }
    let bytes = text.call_method1("encode", ("utf-8", "backslashreplace"));
    let escaped = bytes.and_then(|bytes| Ok(bytes.cast_into::<PyBytes>()?));
    Cow::Owned(escaped.map_or_else(
        |_| text.to_string_lossy().into_owned(),
        |bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
    ))
}
