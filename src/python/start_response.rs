//! `start_response` and the `write` that it returns (PEP 3333, "The `start_response()` Callable").

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use bytes::Bytes;
use pyo3::{
    exceptions::{PyAssertionError, PyConnectionError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
};

use super::capi;
use crate::wsgi::{Exchange, ExchangeError, Flow, Head, HeadError, HeadWriter};

/// So many bytes find room in memory.
const AT_ONCE: usize = 32 << 10;

/// What an app is given to answer a request with. When an app has kept none of it, it serves for the next request too.
pub struct Answer {
    shared: Arc<Shared>,
    /// The method of the object below.
    start_response: Py<PyAny>,
    object: Py<StartResponse>,
    write: Py<Write>,
    early_hints: Py<EarlyHints>,
}

/// The answer in the making, which is reached from each of them.
struct Shared(Mutex<Making>);

struct Making {
    exchange: Exchange,
    takes_hints: bool,
    /// What the app called `start_response` with, where a hook may ask for it.
    said: Option<Said>,
    keeps_said: bool,
}

/// A status and header fields as the app wrote them.
type Said = (Py<PyAny>, Py<PyAny>);

impl Answer {
    /// For a first request.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let making = Making { exchange: Exchange::ended(), takes_hints: false, said: None, keeps_said: false };
        let shared = Arc::new(Shared(Mutex::new(making)));
        let write = Bound::new(py, Write(Arc::clone(&shared)))?.unbind();
        let object = Bound::new(py, StartResponse { shared: Arc::clone(&shared), write: write.clone_ref(py) })?;
        let start_response = object.getattr("start_response")?.unbind();
        let early_hints = Bound::new(py, EarlyHints(Arc::clone(&shared)))?.unbind();
        Ok(Self { shared, start_response, object: object.unbind(), write, early_hints })
    }

    /// Begins with a request; `keep` is whether [`Self::said`] will be asked for.
    pub fn begin(&mut self, py: Python<'_>, exchange: Exchange, takes_hints: bool, keep: bool) -> PyResult<()> {
        if self.is_kept(py) {
            *self = Self::new(py)?;
        }
        let mut making = self.shared.lock(py);
        (making.exchange, making.takes_hints, making.keeps_said) = (exchange, takes_hints, keep);
        Ok(())
    }

    /// Lets go of what belongs to the request. An app that has kept something can still call it.
    pub fn end(&mut self, py: Python<'_>) {
        let mut making = self.shared.lock(py);
        if making.keeps_said {
            let said = making.said.take();
            drop(making);
            drop(said.map(|(status, headers)| (status.into_bound(py), headers.into_bound(py))));
        }
    }

    /// Whether the app has still something of it. Only the thread that is attached can take a reference.
    fn is_kept(&self, py: Python<'_>) -> bool {
        let start_response = self.start_response.bind(py);
        capi::references(start_response) > 1
            || capi::has_weak_references(start_response)
            || capi::references(self.early_hints.bind(py)) > 1
            // These two have one more: the method's, and the object's.
            || capi::references(self.object.bind(py)) > 2
            || capi::references(self.write.bind(py)) > 2
    }

    /// The app's second argument.
    pub fn start_response<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.start_response.bind(py)
    }

    /// `wsgi.early_hints`.
    pub fn early_hints<'py>(&self, py: Python<'py>) -> &Bound<'py, EarlyHints> {
        self.early_hints.bind(py)
    }

    /// The status and the header fields that the app answers with.
    pub fn said(&self, py: Python<'_>) -> Option<Said> {
        self.shared.lock(py).said.as_ref().map(|(status, headers)| (status.clone_ref(py), headers.clone_ref(py)))
    }

    /// Does something with the answer that never waits for a client.
    pub fn with<T>(&self, py: Python<'_>, change: impl FnOnce(&mut Exchange) -> T) -> T {
        change(&mut self.shared.lock(py).exchange)
    }

    /// Sends the whole body.
    pub fn complete(&self, py: Python<'_>, body: &Bound<'_, PyAny>) -> PyResult<()> {
        let body = bytes(body)?;
        let size = body.len();
        self.shared
            .change(py, |exchange| has_room(exchange, size), |exchange| exchange.complete(body))
            .map_err(|error| to_python(&error))
    }

    /// Ends the answer after the last piece.
    pub fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.shared
            .change(py, |exchange| exchange.sent() <= AT_ONCE as u64, Exchange::finish)
            .map_err(|error| to_python(&error))
    }

    /// Sends a piece of the body.
    pub fn send(&self, py: Python<'_>, piece: &Bound<'_, PyAny>) -> PyResult<Flow> {
        self.shared.send(py, piece)
    }
}

impl Shared {
    /// The answer, as soon as no other thread of the app's is at it. That may wait for its client (`write` does), and other
    /// threads run Python meanwhile.
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Making> {
        loop {
            match self.0.try_lock() {
                Ok(making) => return making,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.wait())),
            }
        }
    }

    /// The same, for a thread that does not hold up Python.
    fn wait(&self) -> MutexGuard<'_, Making> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what does not wait for the client if the answer `is_ready` for it, and otherwise may, while other threads run
    /// Python then. One of them may be at the answer already.
    fn change<T: Send>(
        &self,
        py: Python<'_>,
        is_ready: impl FnOnce(&Exchange) -> bool,
        change: impl FnOnce(&mut Exchange) -> T + Send,
    ) -> T {
        match self.0.try_lock() {
            Ok(mut making) if is_ready(&making.exchange) => change(&mut making.exchange),
            making => {
                drop(making);
                py.detach(|| change(&mut self.wait().exchange))
            }
        }
    }

    fn send(&self, py: Python<'_>, piece: &Bound<'_, PyAny>) -> PyResult<Flow> {
        let piece = bytes(piece)?;
        let size = piece.len();
        self.change(py, |exchange| has_room(exchange, size), |exchange| exchange.write(piece))
            .map_err(|error| to_python(&error))
    }
}

/// Whether so many bytes find room without waiting for the client: they do where they are the first.
fn has_room(exchange: &Exchange, size: usize) -> bool {
    size <= AT_ONCE && !exchange.is_head_sent()
}

/// What `start_response` is a method of: a method is called without a tuple for its arguments, an object is not.
#[pyclass(frozen, name = "StartResponse", module = "rwsgi")]
struct StartResponse {
    shared: Arc<Shared>,
    write: Py<Write>,
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, /, exc_info=None))]
    fn start_response(
        &self,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Write>> {
        let py = status.py();
        let exc_info = exc_info.filter(|exc_info| exc_info.is_truthy().unwrap_or(true));
        if let Some(exc_info) = exc_info
            && self.shared.lock(py).exchange.is_head_sent()
        {
            return Err(reraise(exc_info)?);
        }
        let list = &list(headers)?;
        let writer = HeadWriter::new(&latin1(status, "the status")?, list.len()).map_err(|error| invalid(&error))?;
        let head = head(writer, list)?;
        let mut making = self.shared.lock(py);
        making.exchange.start(head, exc_info.is_some()).map_err(|error| to_python(&error))?;
        if making.keeps_said {
            let said = making.said.replace((status.clone().unbind(), headers.clone().unbind()));
            drop(making);
            drop(said);
        }
        Ok(self.write.clone_ref(py))
    }
}

/// The `write()` of PEP 3333: sends a piece of the body at once.
#[pyclass(frozen, name = "Write", module = "rwsgi")]
struct Write(Arc<Shared>);

#[pymethods]
impl Write {
    #[pyo3(signature = (data, /))]
    fn __call__(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.send(py, data).map(drop)
    }
}

/// `wsgi.early_hints`, as gunicorn has it: sends hints of what the answer will have (103, RFC 8297).
#[pyclass(frozen, name = "EarlyHints", module = "rwsgi")]
pub struct EarlyHints(Arc<Shared>);

#[pymethods]
impl EarlyHints {
    #[pyo3(signature = (headers, /))]
    fn __call__(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let head = hints(headers)?;
        let mut making = self.0.lock(headers.py());
        if making.takes_hints {
            making.exchange.hint(&head.fields);
        }
        Ok(())
    }
}

/// The error in an `exc_info` triple, with its traceback, to be raised again.
fn reraise(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let (_, value, traceback): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) = exc_info.extract()?;
    let value = if traceback.is_none() { value } else { value.call_method1("with_traceback", (traceback,))? };
    Ok(PyErr::from_value(value))
}

/// A list, as PEP 3333 has it; or what can be made one (`headers.items()`), as gunicorn takes it.
fn list<'a, 'py>(headers: &'a Bound<'py, PyAny>) -> PyResult<Cow<'a, Bound<'py, PyList>>> {
    if let Ok(list) = headers.cast::<PyList>() {
        return Ok(Cow::Borrowed(list));
    }
    let made = headers.py().get_type::<PyList>().call1((headers,));
    let made = made.map_err(|_| PyTypeError::new_err("the headers are not a list"))?;
    Ok(Cow::Owned(made.cast_into()?))
}

/// A tuple; or what can be made one, but no text.
fn pair<'a, 'py>(field: &'a Bound<'py, PyAny>) -> Option<Cow<'a, Bound<'py, PyTuple>>> {
    let pair = match field.cast::<PyTuple>() {
        Ok(pair) => Cow::Borrowed(pair),
        Err(_) if field.is_instance_of::<PyString>() => return None,
        Err(_) => Cow::Owned(field.py().get_type::<PyTuple>().call1((field,)).ok()?.cast_into().ok()?),
    };
    Some(pair).filter(|pair| pair.len() == 2)
}

/// A head with the names and values in a list of pairs.
fn head(mut writer: HeadWriter, headers: &Bound<'_, PyList>) -> PyResult<Head> {
    for field in headers {
        let pair = pair(&field).ok_or_else(|| PyTypeError::new_err("a header is not a pair of a name and a value"))?;
        let (name, value) = (pair.get_borrowed_item(0)?, pair.get_borrowed_item(1)?);
        let (name, value) = (latin1(&name, "a header's name")?, latin1(&value, "a header's value")?);
        writer.push(&name, &value).map_err(|error| invalid(&error))?;
    }
    Ok(writer.finish())
}

fn invalid(error: &HeadError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Names and values as gunicorn takes them for hints: anything with pairs of texts or bytes.
fn hints(headers: &Bound<'_, PyAny>) -> PyResult<Head> {
    let mut writer = HeadWriter::hints(8);
    for field in headers.try_iter()? {
        let parts: Vec<_> = field?.try_iter()?.collect::<PyResult<_>>()?;
        let [name, value] = &parts[..] else { return Err(PyValueError::new_err("a header is not a name and a value")) };
        let (name, value) = (loose(name, "a header's name")?, loose(value, "a header's value")?);
        writer.push(&name, &value).map_err(|error| invalid(&error))?;
    }
    Ok(writer.finish())
}

/// A text as native strings have it, or bytes as they are.
fn loose<'a>(part: &'a Bound<'_, PyAny>, what: &str) -> PyResult<Cow<'a, [u8]>> {
    match part.cast::<PyBytes>() {
        Ok(bytes) => Ok(Cow::Borrowed(bytes.as_bytes())),
        Err(_) => latin1(part, what),
    }
}

/// A native string as the bytes of its characters (PEP 3333, "Unicode Issues").
fn latin1<'a>(text: &'a Bound<'_, PyAny>, what: &str) -> PyResult<Cow<'a, [u8]>> {
    let text = text.cast::<PyString>().map_err(|_| PyTypeError::new_err(format!("{what} is not a str")))?;
    if let Ok(ascii) = text.to_str()
        && ascii.is_ascii()
    {
        return Ok(Cow::Borrowed(ascii.as_bytes()));
    }
    let encoded = text.call_method1("encode", ("latin-1",));
    let encoded = encoded.map_err(|_| PyValueError::new_err(format!("{what} has a character beyond latin-1")))?;
    Ok(Cow::Owned(encoded.cast::<PyBytes>()?.as_bytes().to_vec()))
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
