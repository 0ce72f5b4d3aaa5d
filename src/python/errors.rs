//! `wsgi.errors` where standard error is not the error log: a text file of Python's that writes to the log.

use std::cell::RefCell;

use pyo3::prelude::*;

use super::logger;
use crate::telemetry::error_log;

/// Text without an end of its line grows to this size, and is then written as it is.
const LIMIT: usize = 64 << 10;

thread_local! {
    /// What this thread has written of a line that has not ended: `print` writes a text and its newline apart.
    static BEGUN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The file. There is no state in it: every request has the same one.
#[pyclass(frozen, name = "Errors", module = "rwsgi")]
pub struct Errors;

#[pymethods]
#[expect(clippy::unused_self, reason = "they are the methods of a file")]
impl Errors {
    fn write(&self, text: &Bound<'_, pyo3::types::PyString>) -> PyResult<usize> {
        let length = text.len()?;
        let is_whole = BEGUN.with_borrow_mut(|begun| {
            begun.push_str(&logger::text(text));
            begun.ends_with('\n') || begun.len() > LIMIT
        });
        if is_whole {
            write(text.py());
        }
        Ok(length)
    }

    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        lines.try_iter()?.try_for_each(|line| self.write(line?.cast()?).map(drop))
    }

    /// What is written is out as soon as its line ends; a line that has not ended ends here.
    fn flush(&self, py: Python<'_>) {
        end(py);
    }
}

/// Ends the line that this thread has begun, if it has. A request's last words are not those of the next one.
pub(super) fn end(py: Python<'_>) {
    let has_begun = BEGUN.with_borrow_mut(|begun| {
        let has_begun = !begun.is_empty();
        if has_begun {
            begun.push('\n');
        }
        has_begun
    });
    if has_begun {
        write(py);
    }
}

fn write(py: Python<'_>) {
    let text = BEGUN.take();
    // The file may be slow, or a pipe that another thread of the app's reads.
    py.detach(|| error_log::write_app(&text));
}
