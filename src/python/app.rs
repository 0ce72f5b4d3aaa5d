//! Calling a WSGI app: one request in, its answer out, and whatever goes wrong in between.

use http::StatusCode;
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyTuple},
};

use super::{
    environ::{DictEnviron, template},
    file_wrapper::FileWrapper,
    hooks::Between,
    input::Input,
    interrupt::Interrupt,
    names::Names,
    start_response::{StartResponse, bytes, to_python},
    watched::{Watch, Watched},
};
use crate::{
    settings::Settings,
    telemetry, wire,
    wsgi::{self, Call, Exchange, Flow, Request},
};

/// So many bytes find room wherever nothing was sent before.
const AT_ONCE: usize = 32 << 10;

/// A WSGI application that is loaded.
pub struct PyApp {
    callable: Py<PyAny>,
    template: Py<PyDict>,
    names: Names,
    watched: Watched,
    /// Whether files go from the disk to the socket without passing through here.
    sendfile: bool,
    hooks: Option<Between>,
}

impl PyApp {
    /// Serves `callable`, on as many threads and in as many processes as the settings say.
    pub(super) fn new(callable: &Bound<'_, PyAny>, settings: &Settings) -> PyResult<Self> {
        let py = callable.py();
        let template = template(py, settings, py.get_type::<FileWrapper>().as_any())?;
        Ok(Self {
            callable: callable.clone().unbind(),
            template: template.unbind(),
            names: Names::new(py),
            watched: Watched::default(),
            sendfile: settings.clients.sendfile,
            hooks: None,
        })
    }

    /// Leaves these variables of each environ to the access log.
    pub fn watch(&mut self, names: &[String]) {
        self.watched = Python::attach(|py| Watched::new(py, names));
    }

    /// Calls hooks around each request.
    pub(super) fn set_hooks(&mut self, hooks: Between) {
        self.hooks = Some(hooks);
    }

    /// What is called for each request.
    pub(super) fn callable<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.callable.bind(py)
    }

    /// Serves on this thread whatever `next` hands out, until it hands out nothing more. Python runs elsewhere while
    /// `next` waits; `ready` hands out what needs no waiting, if it does.
    pub fn serve(
        &self,
        interrupt: &Interrupt,
        ready: impl Fn() -> Option<Call>,
        next: impl Fn() -> Option<Call> + Sync,
    ) {
        Python::attach(|py| {
            while let Some(call) = ready().or_else(|| py.detach(&next)) {
                interrupt.clear(py);
                self.answer(py, call);
            }
        });
    }

    fn answer(&self, py: Python<'_>, call: Call) {
        let Call { request, body, responder } = call;
        let exchange = Exchange::new(request.head.method() == "HEAD", responder);
        // A client of HTTP/1.0 would take an interim answer for the answer (RFC 9110 section 15.2).
        let takes_hints = request.head.version >= wire::Version::HTTP_11;
        let keep = self.hooks.as_ref().is_some_and(Between::is_called);
        let outcome = Bound::new(py, StartResponse::new(exchange, takes_hints, keep)).and_then(|start_response| {
            let input = Bound::new(py, Input::new(body))?;
            let environ = self.template.bind(py).copy()?;
            let outcome = match &self.hooks {
                None => self.call(&request, &environ, &input, &start_response),
                Some(hooks) => self.call_between(hooks, &request, &environ, &input, &start_response),
            };
            finish(py, &request, start_response.get(), input.get(), outcome);
            // An environ is often part of a cycle (`environ["werkzeug.request"]` is), so it may live on for long.
            input.get().close();
            Ok(())
        });
        if let Err(error) = outcome {
            log_failure(py, &request, &error);
        }
    }

    fn call_between<'py>(
        &self,
        hooks: &Between,
        request: &Request,
        environ: &Bound<'py, PyDict>,
        input: &Bound<'py, Input>,
        start_response: &Bound<'py, StartResponse>,
    ) -> PyResult<()> {
        let py = environ.py();
        let seen = hooks.before(py, request)?;
        let outcome = self.call(request, environ, input, start_response);
        if let Some(seen) = seen {
            let answer = start_response.get();
            let (status, headers) = answer.said(py).unzip();
            let (sent, begun) = answer.with(|exchange| (exchange.sent(), exchange.is_head_sent()));
            hooks.after(py, &seen, environ, (status, headers, sent, begun))?;
        }
        outcome
    }

    fn call<'py>(
        &self,
        request: &Request,
        environ: &Bound<'py, PyDict>,
        input: &Bound<'py, Input>,
        start_response: &Bound<'py, StartResponse>,
    ) -> PyResult<()> {
        let py = environ.py();
        wsgi::fill(request, &mut DictEnviron { dict: environ, names: &self.names })?;
        environ.set_item(pyo3::intern!(py, "wsgi.input"), input)?;
        let early_hints = start_response.getattr(pyo3::intern!(py, "early_hints"))?;
        environ.set_item(pyo3::intern!(py, "wsgi.early_hints"), early_hints)?;
        let watch = self.watched.begin(request.notes.as_deref(), environ);
        let result = self.callable.bind(py).call1((environ, start_response));
        watch.leave();
        let result = result?;
        let sent = self.send(py, &result, start_response.get(), &watch);
        // PEP 3333: close() is called in any case, once.
        let closed = match result.getattr_opt(pyo3::intern!(py, "close")) {
            Ok(Some(close)) => close.call0().map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match (sent, closed) {
            (Err(error), closed) => {
                if let Err(second) = closed {
                    log_failure(py, request, &second);
                }
                Err(error)
            }
            (Ok(()), closed) => closed,
        }
    }

    /// Sends what the app returned.
    fn send(
        &self,
        py: Python<'_>,
        result: &Bound<'_, PyAny>,
        start_response: &StartResponse,
        watch: &Watch<'_, '_>,
    ) -> PyResult<()> {
        // The most common answer is a list of one piece: it goes out whole, and its length is known (PEP 3333, "Handling
        // the Content-Length Header").
        let only = match (result.cast_exact::<PyList>(), result.cast_exact::<PyTuple>()) {
            (Ok(list), _) if list.len() == 1 => Some(list.get_item(0)?),
            (_, Ok(tuple)) if tuple.len() == 1 => Some(tuple.get_item(0)?),
            _ => None,
        };
        if let Some(piece) = only {
            let piece = bytes(&piece)?;
            let size = piece.len();
            let complete = |exchange: &mut Exchange| exchange.complete(piece);
            // What is the first and fits into memory never waits for the client.
            let sent = if size <= AT_ONCE && !start_response.with(|exchange| exchange.is_head_sent()) {
                start_response.with(complete)
            } else {
                start_response.detached(py, complete)
            };
            return sent.map_err(|error| to_python(&error));
        }
        if self.sendfile
            && let Ok(wrapper) = result.cast_exact::<FileWrapper>()
            && let Some((file, offset, length)) = wrapper.get().file(py)
            && start_response
                .with(|exchange| exchange.complete_file(file, offset, length))
                .map_err(|error| to_python(&error))?
        {
            return Ok(());
        }
        for piece in result.try_iter()? {
            let piece = piece?;
            if piece.cast_exact::<PyBytes>().is_ok_and(|piece| piece.as_bytes().is_empty()) {
                continue;
            }
            if start_response.send(py, &piece)? == Flow::Enough {
                break;
            }
        }
        // An app that answers piece by piece may change its environ until the last.
        watch.leave();
        start_response.detached(py, Exchange::finish).map_err(|error| to_python(&error))
    }
}

/// Ends an answer whose app is done, well or not.
fn finish(py: Python<'_>, request: &Request, start_response: &StartResponse, input: &Input, outcome: PyResult<()>) {
    let Err(error) = outcome else { return };
    if error.is_instance_of::<pyo3::exceptions::PyConnectionError>(py)
        && error.value(py).to_string() == wsgi::Gone.to_string()
    {
        // The client's leaving is no fault of the app's.
        tracing::debug!("The client left before the answer to {} was sent.", request.head.target());
    } else {
        log_failure(py, request, &error);
    }
    // A body that did not come as announced is its client's fault, as in gunicorn.
    let fault = input.fault().and_then(|status| StatusCode::from_u16(status).ok());
    let status = fault.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    start_response.with(|exchange| exchange.fail(status));
}

fn log_failure(py: Python<'_>, request: &Request, error: &PyErr) {
    let traceback = py
        .import("traceback")
        .and_then(|module| {
            module.call_method1("format_exception", (error.get_type(py), error.value(py), error.traceback(py)))
        })
        .and_then(|lines| lines.extract::<Vec<String>>())
        .map_or_else(|_| error.to_string(), |lines| lines.concat());
    let (method, target) = (request.head.method(), request.head.target());
    tracing::error!(target: telemetry::EXCEPTION, "Error handling request {method} {target}\n{}", traceback.trim_end());
}
