//! `wsgi.input` (PEP 3333, "Input and Error Streams").

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use pyo3::{
    exceptions::{PyOSError, PyOverflowError},
    prelude::*,
    types::PyBytes,
};

use crate::wsgi::{self, BodyError, BodyReader};

/// The body of a request as a file to read.
#[pyclass(frozen, name = "Input", module = "rwsgi")]
pub struct Input {
    input: Mutex<wsgi::Input>,
}

impl Input {
    pub fn new(body: Box<dyn BodyReader>) -> Self {
        Self { input: Mutex::new(wsgi::Input::new(body)) }
    }

    /// That of a request without a body. However it is read, it does not change.
    pub fn empty() -> Self {
        Self { input: Mutex::new(wsgi::Input::empty()) }
    }

    /// Gives up what was not read. A thread of the app's that reads at this moment keeps it until it is done.
    pub fn close(&self) {
        if let Ok(mut input) = self.input.try_lock() {
            input.close();
        }
    }

    /// The status that tells the client that its body did not come as it must, as far as it was read.
    pub fn fault(&self) -> Option<u16> {
        self.input.try_lock().ok()?.fault()
    }

    /// Reads, without holding Python back where that can take its time.
    fn with<'py>(
        &self,
        py: Python<'py>,
        read: impl FnOnce(&mut wsgi::Input) -> Result<Vec<Bytes>, BodyError> + Send,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let read = match self.input.try_lock() {
            Ok(mut input) if input.is_ready() => read(&mut input),
            other => {
                drop(other);
                py.detach(|| read(&mut self.input.lock().unwrap_or_else(PoisonError::into_inner)))
            }
        };
        // OSError is what a broken file raises; werkzeug and Django turn it into their own "client is gone".
        let pieces = read.map_err(|error| PyOSError::new_err(error.to_string()))?;
        if let [piece] = &pieces[..] {
            return Ok(PyBytes::new(py, piece));
        }
        PyBytes::new_with_writer(py, pieces.iter().map(Bytes::len).sum(), |writer| {
            pieces.iter().try_for_each(|piece| writer.write_bytes(piece))
        })
    }
}

/// A size as Python's files take it: negative means no limit, as none does.
struct Size(i64);

impl<'py> FromPyObject<'_, 'py> for Size {
    type Error = PyErr;

    fn extract(size: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match size.extract() {
            Ok(size) => Ok(Self(size)),
            Err(error) if error.is_instance_of::<PyOverflowError>(size.py()) => {
                Ok(Self(if size.lt(0)? { -1 } else { i64::MAX }))
            }
            Err(error) => Err(error),
        }
    }
}

fn limit(size: Option<Size>) -> Option<usize> {
    size.and_then(|Size(size)| usize::try_from(size).ok())
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size=None))]
    fn read<'py>(&self, py: Python<'py>, size: Option<Size>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(py, |input| input.read(limit(size)))
    }

    #[pyo3(signature = (size=None))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<Size>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(py, |input| input.read_line(limit(size)))
    }

    /// Lines until their sizes add up to `hint`, or all where there is none.
    #[pyo3(signature = (hint=None))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<Size>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let hint = limit(hint).filter(|hint| *hint > 0);
        let mut lines = Vec::new();
        let mut total = 0;
        loop {
            let line = self.with(py, |input| input.read_line(None))?;
            total += line.as_bytes().len();
            if line.as_bytes().is_empty() {
                return Ok(lines);
            }
            lines.push(line);
            if hint.is_some_and(|hint| total >= hint) {
                return Ok(lines);
            }
        }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.with(py, |input| input.read_line(None))?;
        Ok(Some(line).filter(|line| !line.as_bytes().is_empty()))
    }
}
