//! `start_response` and the `write` that it returns (PEP 3333, "The `start_response()` Callable").

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use pyo3::{
    exceptions::{PyAssertionError, PyConnectionError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
};

use crate::wsgi::{Exchange, ExchangeError, Flow, Head};

/// The callable that an app is given for its answer; it holds the answer in the making.
#[pyclass(frozen, name = "StartResponse", module = "rwsgi")]
pub struct StartResponse {
    exchange: Mutex<Exchange>,
    takes_hints: bool,
    /// What the app called it with, where a hook may ask for it.
    said: Option<Mutex<Said>>,
}

/// A status and header fields as the app wrote them.
type Said = Option<(Py<PyAny>, Py<PyAny>)>;

impl StartResponse {
    /// An answer in the making; `keep` is whether [`Self::said`] will be asked for.
    pub fn new(exchange: Exchange, takes_hints: bool, keep: bool) -> Self {
        Self { exchange: Mutex::new(exchange), takes_hints, said: keep.then(Mutex::default) }
    }

    /// The status and the header fields that the app answers with.
    pub fn said(&self, py: Python<'_>) -> Said {
        let said = self.said.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        said.as_ref().map(|(status, headers)| (status.clone_ref(py), headers.clone_ref(py)))
    }

    /// Does something with the answer that never waits for a client.
    pub fn with<T>(&self, change: impl FnOnce(&mut Exchange) -> T) -> T {
        change(&mut self.exchange.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something that may wait for a client, while other threads run Python.
    pub fn detached<T: Send>(&self, py: Python<'_>, change: impl FnOnce(&mut Exchange) -> T + Send) -> T {
        py.detach(|| self.with(change))
    }

    /// Sends a piece of the body.
    pub fn send(&self, py: Python<'_>, piece: &Bound<'_, PyAny>) -> PyResult<Flow> {
        let piece = bytes(piece)?;
        self.detached(py, |exchange| exchange.write(piece)).map_err(|error| to_python(&error))
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None, /))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let exc_info = exc_info.filter(|exc_info| exc_info.is_truthy().unwrap_or(true));
        if let Some(exc_info) = exc_info
            && slf.get().with(|exchange| exchange.is_head_sent())
        {
            return Err(reraise(exc_info)?);
        }
        let head = head(status, headers)?;
        slf.get().with(|exchange| exchange.start(head, exc_info.is_some())).map_err(|error| to_python(&error))?;
        if let Some(said) = &slf.get().said {
            let new = (status.clone().unbind(), headers.clone().unbind());
            *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
        }
        slf.getattr("write")
    }

    /// `wsgi.early_hints`, as gunicorn has it: sends hints of what the answer will have (103, RFC 8297).
    fn early_hints(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let fields =
            Head::interim(loose_pairs(headers)?.iter().map(|(name, value)| (name.as_slice(), value.as_slice())))
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
        if self.takes_hints {
            self.with(|exchange| exchange.hint(&fields));
        }
        Ok(())
    }

    /// The `write()` of PEP 3333: sends a piece of the body at once.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        self.send(py, data).map(drop)
    }
}

/// The error in an `exc_info` triple, with its traceback, to be raised again.
fn reraise(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let (_, value, traceback): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) = exc_info.extract()?;
    let value = if traceback.is_none() { value } else { value.call_method1("with_traceback", (traceback,))? };
    Ok(PyErr::from_value(value))
}

fn head(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<Head> {
    let status = latin1(status, "the status")?;
    let fields = pairs(headers)?;
    let fields = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    Head::new(&status, fields).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Names and values in a list of tuples.
fn pairs(headers: &Bound<'_, PyAny>) -> PyResult<Vec<(Vec<u8>, Vec<u8>)>> {
    let headers = headers.cast::<PyList>().map_err(|_| PyTypeError::new_err("the headers are not a list"))?;
    let mut fields = Vec::with_capacity(headers.len());
    for field in headers {
        let pair = field.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
        let pair = pair.ok_or_else(|| PyTypeError::new_err("a header is not a tuple of a name and a value"))?;
        fields.push((latin1(&pair.get_item(0)?, "a header's name")?, latin1(&pair.get_item(1)?, "a header's value")?));
    }
    Ok(fields)
}

/// Names and values as gunicorn takes them for hints: anything with pairs of texts or bytes.
fn loose_pairs(headers: &Bound<'_, PyAny>) -> PyResult<Vec<(Vec<u8>, Vec<u8>)>> {
    let part = |part: &Bound<'_, PyAny>, what: &str| match part.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes().to_vec()),
        Err(_) => latin1(part, what),
    };
    let pair = |field: PyResult<Bound<'_, PyAny>>| {
        let parts: Vec<_> = field?.try_iter()?.collect::<PyResult<_>>()?;
        let [name, value] = &parts[..] else { return Err(PyValueError::new_err("a header is not a name and a value")) };
        Ok((part(name, "a header's name")?, part(value, "a header's value")?))
    };
    headers.try_iter()?.map(pair).collect()
}

/// A native string as the bytes of its characters (PEP 3333, "Unicode Issues").
fn latin1(text: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<u8>> {
    let text = text.cast::<PyString>().map_err(|_| PyTypeError::new_err(format!("{what} is not a str")))?;
    if let Ok(ascii) = text.to_str()
        && ascii.is_ascii()
    {
        return Ok(ascii.as_bytes().to_vec());
    }
    let encoded = text.call_method1("encode", ("latin-1",));
    let encoded = encoded.map_err(|_| PyValueError::new_err(format!("{what} has a character beyond latin-1")))?;
    Ok(encoded.cast::<PyBytes>()?.as_bytes().to_vec())
}

/// So many bytes are copied; more are lent to the connection, with a reference that keeps them alive.
const COPIED: usize = 16 << 10;

/// A piece of a body. PEP 3333 asks for `bytes`; subclasses are taken, other buffers are not.
pub fn bytes(piece: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let piece = piece.cast::<PyBytes>().map_err(|_| {
        let name = piece.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("a piece of the body is {name}, not bytes"))
    })?;
    if piece.as_bytes().len() <= COPIED {
        return Ok(Bytes::copy_from_slice(piece.as_bytes()));
    }
    Ok(Bytes::from_owner(pyo3::pybacked::PyBackedBytes::from(piece.clone())))
}

/// What an app did wrong, as the exception that it sees.
pub fn to_python(error: &ExchangeError) -> PyErr {
    let text = error.to_string();
    match error {
        ExchangeError::AlreadyStarted | ExchangeError::HeadSent => PyAssertionError::new_err(text),
        ExchangeError::Gone(_) => PyConnectionError::new_err(text),
        ExchangeError::NotStarted | ExchangeError::Short(_) | ExchangeError::Cut => PyRuntimeError::new_err(text),
    }
}
