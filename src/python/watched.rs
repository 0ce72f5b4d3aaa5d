//! The variables of an environ that the access log asks for, read when the app is done with it.

use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};

use super::{capi::get_item, start_response::Answer};

/// The names of the variables. The first is `REMOTE_ADDR`, which counts only where the app has replaced it.
#[derive(Default)]
pub struct Watched(Vec<Vec<Py<PyString>>>);

/// The variables of one request.
pub struct Watch<'a, 'py> {
    watched: &'a Watched,
    environ: Bound<'py, PyDict>,
    /// What the first one is unless it was replaced.
    client: Bound<'py, PyString>,
}

impl Watched {
    /// Watches these. gunicorn finds a variable whatever the case of its letters; here it is as the format writes it,
    /// or all upper or all lower case.
    pub fn new(py: Python<'_>, names: &[String]) -> Self {
        Self(
            names
                .iter()
                .map(|name| {
                    let mut spellings = vec![name.clone(), name.to_uppercase(), name.to_lowercase()];
                    spellings.dedup();
                    spellings.iter().map(|name| PyString::intern(py, name).unbind()).collect()
                })
                .collect(),
        )
    }

    /// Begins with the environ of a request, in which this is the client's address.
    pub fn begin<'py>(&self, environ: &Bound<'py, PyDict>, client: Bound<'py, PyString>) -> Watch<'_, 'py> {
        Watch { watched: self, environ: environ.clone(), client }
    }

    fn get<'py>(&self, environ: &Bound<'py, PyDict>, index: usize) -> Option<Bound<'py, PyAny>> {
        let spellings = self.0.get(index)?;
        spellings.iter().find_map(|name| get_item(environ, name.bind(environ.py())))
    }
}

impl Watch<'_, '_> {
    /// Leaves the values for the log.
    pub fn leave(&self, answer: &Answer) {
        let replaced = self.watched.get(&self.environ, 0).is_none_or(|address| !address.is(&self.client));
        // As a rule that is all there is to say, and nothing has to be made for it.
        if !replaced && self.watched.0.len() < 2 {
            return;
        }
        let value = |index| self.watched.get(&self.environ, index).and_then(|value| text(&value));
        let first = replaced.then(|| value(0)).flatten();
        let notes = std::iter::once(first).chain((1..self.watched.0.len()).map(value)).collect();
        answer.with(self.environ.py(), |exchange| exchange.note(notes));
    }
}

/// A value as text: that of a `str` in the bytes that it stands for (PEP 3333), that of anything else as `str()` has it.
fn text(value: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let text = value.str().ok()?;
    let text = text.to_string_lossy();
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    Some(latin1.unwrap_or_else(|| text.as_bytes().to_vec()))
}
