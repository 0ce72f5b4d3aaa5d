//! Calling a WSGI app: one request in, its answer out, and whatever goes wrong in between.

use http::StatusCode;
use pyo3::{
    exceptions::PySystemExit,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};

use super::{
    environ::{Environs, template},
    errors,
    file_wrapper::FileWrapper,
    hooks::Between,
    input::Input,
    interpreter::flush,
    interrupt::Interrupt,
    logger,
    start_response::{Answer, to_python},
    watched::{Watch, Watched},
};
use crate::{
    settings::Settings,
    sys, telemetry, wire,
    wsgi::{self, Call, CallSource, Exchange, Flow, Request},
};

/// A WSGI application that is loaded.
pub struct PyApp {
    callable: Py<PyAny>,
    template: Py<PyDict>,
    watched: Watched,
    /// Whether files go from the disk to the socket without passing through here.
    sendfile: bool,
    hooks: Option<Between>,
}

/// What a thread that calls the app uses for one request after the other.
struct Thread {
    environs: Environs,
    answer: Answer,
    /// The processes that this one was forked from when it began.
    forks: usize,
}

impl PyApp {
    /// Serves `callable`, on as many threads and in as many processes as the settings say.
    pub(super) fn new(callable: &Bound<'_, PyAny>, settings: &Settings) -> PyResult<Self> {
        let py = callable.py();
        let template = template(py, settings, py.get_type::<FileWrapper>().as_any())?;
        Ok(Self {
            callable: callable.clone().unbind(),
            template: template.unbind(),
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

    /// Serves on this thread whatever `calls` hands out, until it hands out nothing more. Python runs elsewhere while
    /// that waits.
    pub fn serve(&self, interrupt: &Interrupt, calls: &mut impl CallSource) {
        let served = Python::attach(|py| {
            let (environs, answer) = (Environs::new(self.template.bind(py))?, Answer::new(py)?);
            let mut thread = Thread { environs, answer, forks: sys::forks() };
            loop {
                while let Some(call) = calls.take() {
                    interrupt.clear(py);
                    self.answer(py, &mut thread, call);
                }
                if !py.detach(|| calls.wait()) {
                    interrupt.clear(py);
                    return Ok(());
                }
            }
        });
        if let Err(error) = served {
            let error: PyErr = error;
            tracing::error!(target: telemetry::CRITICAL, "The app cannot be called: {error}.");
        }
    }

    fn answer(&self, py: Python<'_>, thread: &mut Thread, call: Call) {
        let Call { request, body, responder } = call;
        let exchange = Exchange::new(request.head.line().method == b"HEAD", responder);
        // A client of HTTP/1.0 would take an interim answer for the answer (RFC 9110 section 15.2).
        let takes_hints = request.head.version >= wire::Version::HTTP_11;
        let keep = self.hooks.as_ref().is_some_and(Between::is_called);
        let Thread { environs, answer, forks } = thread;
        // As gunicorn's own pre_request does.
        tracing::debug!("{} {}", request.head.method(), request.head.path());
        let outcome = answer.begin(py, exchange, takes_hints, keep).and_then(|()| {
            // One without a body has the input that is in every environ.
            let input = (!request.head.framing.is_empty()).then(|| Bound::new(py, Input::new(body))).transpose()?;
            let environ = environs.make(py, &request)?;
            let watch = request.is_watched.then(|| self.watched.begin(&environ, environs.client(py, &request)));
            let outcome = match &self.hooks {
                None => self.call((&request, *forks), &environ, input.as_ref(), answer, watch.as_ref()),
                Some(hooks) => {
                    self.call_between(hooks, (&request, *forks), &environ, input.as_ref(), answer, watch.as_ref())
                }
            };
            if sys::forks() != *forks {
                leave(py, &request, outcome);
            }
            let input = input.as_ref().map(Bound::get);
            finish(py, &request, answer, input, outcome);
            // An environ is often part of a cycle (`environ["werkzeug.request"]` is), so it may live on for long.
            if let Some(input) = input {
                input.close();
            }
            Ok(())
        });
        if let Err(error) = outcome {
            // Nothing of the app's: there is no memory, say.
            log_failure(py, &request, &error);
            answer.with(py, |exchange| exchange.fail(StatusCode::INTERNAL_SERVER_ERROR));
        }
        answer.end(py);
        errors::end(py);
    }

    fn call_between<'py>(
        &self,
        hooks: &Between,
        (request, forks): (&Request, usize),
        environ: &Bound<'py, PyDict>,
        input: Option<&Bound<'py, Input>>,
        answer: &Answer,
        watch: Option<&Watch<'_, 'py>>,
    ) -> PyResult<()> {
        let py = environ.py();
        let seen = hooks.before(py, request)?;
        let outcome = self.call((request, forks), environ, input, answer, watch);
        if let Some(seen) = seen {
            let (status, headers) = answer.said(py).unzip();
            let (sent, begun) = answer.with(py, |exchange| (exchange.sent(), exchange.is_head_sent()));
            if let Err(error) = hooks.after(py, &seen, environ, (status, headers, sent, begun)) {
                // One of the two is told by who called.
                if let Err(own) = outcome {
                    log_failure(py, request, &own);
                }
                return Err(error);
            }
        }
        outcome
    }

    fn call<'py>(
        &self,
        (request, forks): (&Request, usize),
        environ: &Bound<'py, PyDict>,
        input: Option<&Bound<'py, Input>>,
        answer: &Answer,
        watch: Option<&Watch<'_, 'py>>,
    ) -> PyResult<()> {
        let py = environ.py();
        if let Some(input) = input {
            environ.set_item(pyo3::intern!(py, "wsgi.input"), input)?;
        }
        environ.set_item(pyo3::intern!(py, "wsgi.early_hints"), answer.early_hints(py))?;
        let result = self.callable.bind(py).call1((environ, answer.start_response(py)));
        if sys::forks() != forks {
            // In a process that the app has forked, where another thread may have held what an answer needs.
            return result.map(drop);
        }
        if let Some(watch) = watch {
            watch.leave(answer);
        }
        let result = result?;
        let sent = self.send(py, &result, answer, watch);
        // PEP 3333: close() is called in any case, once. These have none, and finding that out would cost an exception.
        if result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>() {
            return sent;
        }
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
        answer: &Answer,
        watch: Option<&Watch<'_, '_>>,
    ) -> PyResult<()> {
        // The most common answer is a list of one piece: it goes out whole, and its length is known (PEP 3333, "Handling
        // the Content-Length Header").
        let only = match (result.cast_exact::<PyList>(), result.cast_exact::<PyTuple>()) {
            (Ok(list), _) if list.len() == 1 => Some(list.get_item(0)?),
            (_, Ok(tuple)) if tuple.len() == 1 => Some(tuple.get_item(0)?),
            _ => None,
        };
        if let Some(piece) = only {
            return answer.complete(py, &piece);
        }
        if self.sendfile
            && let Ok(wrapper) = result.cast_exact::<FileWrapper>()
            && let Some((file, offset, length)) = wrapper.get().file(py)
            && answer
                .with(py, |exchange| exchange.complete_file(file, offset, length))
                .map_err(|error| to_python(&error))?
        {
            return Ok(());
        }
        for piece in result.try_iter()? {
            let piece = piece?;
            if piece.cast_exact::<PyBytes>().is_ok_and(|piece| piece.as_bytes().is_empty()) {
                continue;
            }
            if answer.send(py, &piece)? == Flow::Enough {
                break;
            }
        }
        // An app that answers piece by piece may change its environ until the last.
        if let Some(watch) = watch {
            watch.leave(answer);
        }
        answer.finish(py)
    }
}

/// Ends this process: the app has forked it, and it came back from its call. The request is its parent's, and so are all
/// connections.
fn leave(py: Python<'_>, request: &Request, outcome: PyResult<()>) -> ! {
    let code = match outcome {
        Ok(()) => {
            let (pid, method, target) = (std::process::id(), request.head.method(), request.head.target());
            tracing::warn!(
                "A process that the app has forked (pid:{pid}) came back from {method} {target} and is ended: its parent answers."
            );
            0
        }
        Err(error) => {
            if let Ok(exit) = error.value(py).cast::<PySystemExit>() {
                exit_code(exit)
            } else {
                log_failure(py, request, &error);
                1
            }
        }
    };
    // As multiprocessing does. What else Python has to do at an end is its parent's.
    flush(py);
    sys::exit_now(code);
}

/// The exit code that a `SystemExit` means: its number, 0 where it has none, and 1 where it has something to say, as Python
/// has it.
fn exit_code(exit: &Bound<'_, PySystemExit>) -> u8 {
    let Ok(code) = exit.getattr("code") else { return 1 };
    if code.is_none() {
        return 0;
    }
    // The system keeps as much of it.
    if let Ok(number) = code.extract::<i64>() {
        return number.to_le_bytes()[0];
    }
    let text = format!("{code}\n");
    let said = code.py().import("sys").and_then(|sys| sys.getattr("stderr")?.call_method1("write", (text,)));
    // There is nobody else to say it to.
    drop(said);
    1
}

/// Ends an answer whose app is done, well or not.
fn finish(py: Python<'_>, request: &Request, answer: &Answer, input: Option<&Input>, outcome: PyResult<()>) {
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
    let fault = input.and_then(Input::fault).and_then(|status| StatusCode::from_u16(status).ok());
    let status = fault.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.with(py, |exchange| exchange.fail(status));
}

fn log_failure(py: Python<'_>, request: &Request, error: &PyErr) {
    let traceback = py
        .import("traceback")
        .and_then(|module| {
            module.call_method1("format_exception", (error.get_type(py), error.value(py), error.traceback(py)))
        })
        .and_then(|lines| lines.extract::<Vec<Bound<'_, PyString>>>())
        .map(|lines| lines.iter().map(|line| logger::text(line).into_owned()).collect::<Vec<_>>())
        .or_else(|_| {
            // The app may have used up what it takes to load a module, open files say.
            let lines = error.traceback(py).map(|lines| lines.format()).transpose()?;
            PyResult::Ok(vec![lines.unwrap_or_default(), error.to_string()])
        })
        .map_or_else(|_| error.to_string(), |lines| lines.concat());
    let (method, target) = (request.head.method(), request.head.target());
    // The log may be slow, or a pipe that another thread of the app's reads.
    py.detach(|| {
        let traceback = traceback.trim_end();
        tracing::error!(target: telemetry::EXCEPTION, "Error handling request {method} {target}\n{traceback}");
    });
}
