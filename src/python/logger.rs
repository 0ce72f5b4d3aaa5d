//! Python's logger `gunicorn.error`: apps and hooks write to the error log through it, and take its handlers and level for
//! their own loggers.

use pyo3::prelude::*;

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
fn tell(py: Python<'_>, level: i64, message: &str) {
    let level = match level {
        50.. => Level::Critical,
        40.. => Level::Error,
        30.. => Level::Warning,
        20.. => Level::Info,
        _ => Level::Debug,
    };
    // The file may be slow, or a pipe.
    py.detach(|| error_log::tell(level, message));
}
