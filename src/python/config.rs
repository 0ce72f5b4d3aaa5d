//! Reading a configuration file, which is Python and so runs in a process of its own.

use std::{collections::BTreeMap, ffi::OsStr};

use pyo3::{
    prelude::*,
    types::{PyDict, PyModule},
};
use serde::Deserialize;

use super::{Interpreter, embedded::embedded};
use crate::{
    exit::Fatal,
    settings::{self, Kind, Surroundings, Value},
};

/// What a configuration file sets.
#[derive(Debug, Deserialize)]
pub struct Read {
    /// The settings, by the names that a file has for them.
    pub values: BTreeMap<String, Value>,
    /// The names that it sets and that are no settings.
    pub unknown: Vec<String>,
    /// What it changes of its process.
    pub surroundings: Surroundings,
}

impl Interpreter {
    /// Runs the file, or imports the module, at `source`, and returns what it sets as the JSON of a [`Read`], which
    /// goes to another process as it is.
    ///
    /// # Errors
    /// The file's own code raised; its traceback is in the message.
    pub fn read_config(&self, source: &OsStr, is_module: bool) -> Result<String, Fatal> {
        let shown = source.to_string_lossy();
        Python::attach(|py| {
            let reader =
                reader(py).map_err(|error| Fatal::new(format!("The embedded Python is not usable: {error}.")))?;
            let read = kinds(py).and_then(|kinds| reader.call_method1("read", (source, is_module, kinds)));
            read.and_then(|json| json.extract()).map_err(|error| failure(&reader, &shown, &error))
        })
    }
}

/// The functions that read configuration files.
pub(super) fn reader(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    embedded!("read_config").import(py)
}

fn kinds(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let kinds = PyDict::new(py);
    for setting in settings::all() {
        let kind = match setting.kind {
            Kind::Hook(..) => "hook",
            Kind::Class => "class",
            _ => "value",
        };
        kinds.set_item(setting.name_in_file(), kind)?;
    }
    Ok(kinds)
}

pub(super) fn failure(reader: &Bound<'_, PyModule>, source: &str, error: &PyErr) -> Fatal {
    let (reason, traceback) = describe(reader, error);
    let traceback = traceback.map_or_else(String::new, |text| format!("\n{text}"));
    Fatal::new(format!("Failed to read config file: {source}: {reason}{traceback}"))
}

/// What was raised, in one line, and the traceback from the user's own code on.
pub(super) fn describe(reader: &Bound<'_, PyModule>, error: &PyErr) -> (String, Option<String>) {
    let value = error.value(reader.py());
    // Before 3.12 the traceback is kept beside the exception until Python catches it.
    if let Some(traceback) = error.traceback(reader.py()) {
        let _ = value.setattr("__traceback__", traceback);
    }
    let described = reader.call_method1("describe", (value,)).and_then(|pair| pair.extract());
    described.unwrap_or_else(|_| (error.to_string(), None))
}
