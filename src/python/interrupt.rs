//! Ending a request that takes too long: an exception is raised in its thread, as Python raises `KeyboardInterrupt`.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::{create_exception, exceptions::PyBaseException, prelude::*};

use super::capi;
use crate::telemetry;

create_exception!(
    rwsgi,
    RequestTimeout,
    PyBaseException,
    "The request has taken longer than --request-timeout. Not an Exception, so that an app which catches all of those \
     ends nevertheless."
);

/// A thread that calls the app.
#[derive(Debug)]
pub struct Interrupt {
    thread: u64,
    raised: AtomicBool,
}

impl Interrupt {
    /// The thread that this is called on.
    pub fn here() -> Self {
        Self { thread: capi::thread(), raised: AtomicBool::new(false) }
    }

    /// Logs where the thread is and raises [`RequestTimeout`] in it, if `is_due` still says so when nothing else runs.
    ///
    /// Waits for Python: not to be called where connections live. A thread that is within a call that is not Python's (a
    /// system call, a query to a database) sees the exception when it returns.
    pub fn raise(&self, is_due: impl Fn() -> bool) {
        Python::attach(|py| {
            if !is_due() {
                return;
            }
            let stack = stack(py, self.thread).unwrap_or_else(|error| error.to_string());
            // That has run Python, and the request may have ended meanwhile: it must not be the next that is cut short.
            if !is_due() || self.raised.swap(true, Ordering::Relaxed) {
                return;
            }
            capi::raise_in(py, self.thread, Some(&py.get_type::<RequestTimeout>()));
            let pid = std::process::id();
            py.detach(|| {
                let stack = stack.trim_end();
                tracing::error!(target: telemetry::CRITICAL, "REQUEST TIMEOUT (pid:{pid})\n{stack}");
            });
        });
    }

    /// What was raised for the request before is not for the next one.
    pub(super) fn clear(&self, py: Python<'_>) {
        if self.raised.load(Ordering::Relaxed) {
            self.raised.store(false, Ordering::Relaxed);
            capi::raise_in(py, self.thread, None);
        }
    }
}

fn stack(py: Python<'_>, thread: u64) -> PyResult<String> {
    // Loading it may take a while, and the thread go on.
    let traceback = py.import("traceback")?;
    let frame = py.import("sys")?.call_method0("_current_frames")?.get_item(thread)?;
    let lines: Vec<String> = traceback.call_method1("format_stack", (frame,))?.extract()?;
    Ok(lines.concat())
}
