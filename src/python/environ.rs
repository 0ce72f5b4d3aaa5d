//! An environ as a Python dict.

use std::net::IpAddr;

use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};

use super::{errors::Errors, input::Input, names::Names};
use crate::{
    settings::Settings,
    telemetry::error_log,
    wsgi::{self, Environ, Key, Request, SERVER_SOFTWARE},
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
    // There is nothing in it, so every request without a body has the same.
    environ.set_item("wsgi.input", Bound::new(py, Input::empty())?)?;
    Ok(environ)
}

/// The environs of the requests that one thread answers.
pub struct Environs {
    /// What each begins with a copy of.
    template: Py<PyDict>,
    /// Whether the template knows the listener.
    settled: bool,
    names: Names,
}

impl Environs {
    /// Environs like this one.
    pub fn new(template: &Bound<'_, PyDict>) -> PyResult<Self> {
        let template = template.copy()?;
        Ok(Self { names: Names::new(template.py()), template: template.unbind(), settled: false })
    }

    /// The environ of a request, without what begins and ends with it.
    pub fn make<'py>(&mut self, py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyDict>> {
        let template = self.template.bind(py);
        if !self.settled {
            wsgi::fill(request, &mut Usual(Writer { dict: template, names: &mut self.names }))?;
            reserve(template)?;
            self.settled = true;
        }
        let environ = template.copy()?;
        wsgi::fill(request, &mut Writer { dict: &environ, names: &mut self.names })?;
        Ok(environ)
    }

    /// The client's address, as the environ has it.
    pub fn client<'py>(&mut self, py: Python<'py>, request: &Request) -> Bound<'py, PyString> {
        let (_, text) = match request.peer {
            Some((address, _)) => self.names.address(py, address.to_canonical()),
            None => return PyString::new(py, ""),
        };
        text
    }
}

/// Makes room for the fields of a usual request, in the copies of a dict too: one that has grown keeps its size.
fn reserve(dict: &Bound<'_, PyDict>) -> PyResult<()> {
    const KEYS: usize = 22;
    let more: Vec<_> = (dict.len()..KEYS).collect();
    for number in &more {
        dict.set_item(number.to_string(), number)?;
    }
    more.iter().try_for_each(|number| dict.del_item(number.to_string()))
}

/// A dict that a request is written into.
struct Writer<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    names: &'a mut Names,
}

impl Environ for Writer<'_, '_> {
    type Error = PyErr;

    fn set(&mut self, key: Key<'_>, value: &[u8]) -> PyResult<()> {
        self.names.item(self.dict.py(), key, value).map_or(Ok(()), |(key, value)| self.dict.set_item(key, value))
    }

    fn set_peer(&mut self, address: IpAddr, port: u16) -> PyResult<()> {
        let (key, value) = self.names.address(self.dict.py(), address);
        self.dict.set_item(key, value)?;
        let (key, value) = self.names.port(self.dict.py(), port);
        self.dict.set_item(key, value)
    }
}

/// A template that is told of a request, to have what most of them set.
struct Usual<'a, 'py>(Writer<'a, 'py>);

impl Environ for Usual<'_, '_> {
    type Error = PyErr;

    fn set(&mut self, key: Key<'_>, value: &[u8]) -> PyResult<()> {
        let usual: &[u8] = match key {
            Key::RequestMethod => b"GET",
            Key::QueryString => b"",
            Key::ServerProtocol => b"HTTP/1.1",
            // These are the listener's.
            Key::UrlScheme | Key::ServerName | Key::ServerPort | Key::ScriptName => value,
            // Every request sets these, to something of its own.
            Key::RawUri | Key::PathInfo | Key::RemoteAddr => return self.0.set(key, b""),
            _ => return Ok(()),
        };
        let Writer { dict, names } = &mut self.0;
        names.settle(dict.py(), key, usual).map_or(Ok(()), |(key, value)| dict.set_item(key, value))
    }

    fn set_peer(&mut self, _: IpAddr, _: u16) -> PyResult<()> {
        self.set(Key::RemoteAddr, b"")
    }
}
