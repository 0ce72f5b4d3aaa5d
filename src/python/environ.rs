//! An environ as a Python dict.

use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};

use super::{capi, errors::Errors, names::Names};
use crate::{
    settings::Settings,
    telemetry::error_log,
    wsgi::{Environ, Key, SERVER_SOFTWARE},
};

/// What is the same in every environ; each request begins with a copy of it.
pub fn template<'py>(
    py: Python<'py>,
    settings: &Settings,
    file_wrapper: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let environ = PyDict::new(py);
    if error_log::is_standard_error() {
        environ.set_item("wsgi.errors", py.import("sys")?.getattr("stderr")?)?;
    } else {
        environ.set_item("wsgi.errors", Bound::new(py, Errors)?)?;
    }
    environ.set_item("wsgi.version", (1, 0))?;
    environ.set_item("wsgi.multithread", settings.threads > 1)?;
    environ.set_item("wsgi.multiprocess", settings.workers > 1)?;
    environ.set_item("wsgi.run_once", false)?;
    environ.set_item("wsgi.file_wrapper", file_wrapper)?;
    // The input ends where the body does, so an app may read a body of unknown length to its end.
    environ.set_item("wsgi.input_terminated", true)?;
    environ.set_item("SERVER_SOFTWARE", SERVER_SOFTWARE)?;
    Ok(environ)
}

/// A dict that a request is written into.
pub struct DictEnviron<'a, 'py> {
    pub dict: &'a Bound<'py, PyDict>,
    pub names: &'a Names,
}

impl Environ for DictEnviron<'_, '_> {
    type Error = PyErr;

    fn set(&mut self, key: Key<'_>, value: &[u8]) -> PyResult<()> {
        let py = self.dict.py();
        self.dict.set_item(self.names.get(py, key), latin1(py, value))
    }
}

/// Bytes as a `str` of the characters with the same numbers (PEP 3333, "Unicode Issues").
fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => capi::latin1(py, bytes),
    }
}
