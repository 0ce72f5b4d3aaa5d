//! The hooks of a configuration file: loading them, and calling them with objects that look as gunicorn's do.
//!
//! When they are called is the worker's affair; the objects are in `python/hooks.py`.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pyo3::{
    IntoPyObjectExt as _,
    call::PyCallArgs,
    prelude::*,
    types::{PyCFunction, PyDict, PyList, PyModule, PyString, PyTuple},
};

use super::{PyApp, config, embedded::embedded, logger};
use crate::{
    exit::{Code, Fatal},
    settings::{self, Level, Settings, Value},
    telemetry,
    wsgi::Request,
};

/// Where the configuration file is.
#[derive(Clone, Debug)]
pub struct Source {
    /// The directory that the configuration file runs in, which is the one that the server was started in.
    pub directory: PathBuf,
    /// The file, or the name of the module.
    pub name: OsString,
    /// Which of the two it is.
    pub is_module: bool,
}

/// What hooks may ask of the server.
#[derive(Debug)]
pub struct About<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The app's spec.
    pub spec: &'a str,
    /// The descriptors and the addresses of the listeners.
    pub listeners: Vec<(i32, String)>,
    /// The arbiter.
    pub arbiter: u32,
    /// The arbiter that it takes over from.
    pub predecessor: Option<u32>,
    /// How many workers are wanted.
    pub size: usize,
}

/// The hooks of this process.
pub struct Hooks {
    object: Py<PyAny>,
    reader: Py<PyModule>,
    names: BTreeSet<&'static str>,
    requests: Arc<AtomicU64>,
}

/// A hook that raised.
#[derive(Debug)]
pub struct Raised {
    hook: &'static str,
    reason: String,
    traceback: Option<String>,
}

impl Raised {
    /// Says it in the error log. What the hook was called for goes on.
    pub fn log(&self) {
        let text = self.traceback.as_deref().unwrap_or(&self.reason);
        tracing::error!(target: telemetry::EXCEPTION, "Exception in the hook {}\n{text}", self.hook);
    }

    /// As what ends this process, with this exit code.
    pub fn fatal(self, code: Code) -> Fatal {
        Fatal::with_code(code, format!("The hook {} raised {}", self.hook, self.reason)).with_traceback(self.traceback)
    }
}

impl Hooks {
    /// Loads the configuration file once more, now for its functions. The directory is the one that it runs in; when this
    /// returns, it is the app's, and the app's variables are set.
    ///
    /// # Errors
    /// The file's own code raised.
    pub fn load(source: &Source, about: &About<'_>) -> Result<Self, Fatal> {
        let names: BTreeSet<_> = about.settings.hooks.iter().copied().collect();
        Python::attach(|py| {
            let reader = config::reader(py).map_err(|error| unusable(&error))?;
            let functions = reader
                .call_method1("hooks", (source.name.as_os_str(), source.is_module, &about.settings.hooks))
                .map_err(|error| {
                    let fatal = config::failure(&reader, &source.name.to_string_lossy(), &error);
                    Fatal::with_code(Code::Hook, fatal.to_string())
                })?;
            let object = begin(py, &reader, &functions, about).map_err(|error| unusable(&error))?;
            Ok(Self { object: object.unbind(), reader: reader.unbind(), names, requests: Arc::default() })
        })
    }

    /// Whether there is this hook.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Calls a hook that takes the server alone.
    ///
    /// # Errors
    /// It raised; so with all that follow.
    pub fn on_server(&self, name: &'static str) -> Result<(), Raised> {
        self.run(name, "on_server", (name,))
    }

    /// Calls `nworkers_changed`.
    pub fn resized(&self, now: usize, before: Option<usize>) -> Result<(), Raised> {
        self.run("nworkers_changed", "resized", (now, before))
    }

    /// Calls `pre_fork`.
    pub fn pre_fork(&self, age: u64) -> Result<(), Raised> {
        self.run("pre_fork", "pre_fork", (age,))
    }

    /// A worker runs.
    pub fn running(&self, pid: i32, age: u64) -> Result<(), Raised> {
        self.run("", "running", (pid, age))
    }

    /// A worker runs no more.
    pub fn forget(&self, pid: i32) -> Result<(), Raised> {
        self.run("", "forget", (pid,))
    }

    /// Calls `child_exit`.
    pub fn child_exit(&self, pid: i32) -> Result<(), Raised> {
        self.run("child_exit", "child_exit", (pid,))
    }

    /// The listeners are closed.
    pub fn closed(&self) -> Result<(), Raised> {
        self.run("", "closed", ())
    }

    /// This is a worker now: calls `post_fork`. `retire` is called when a hook declares the worker dead.
    pub fn post_fork(&self, age: u64, retire: impl Fn() + Send + Sync + 'static) -> Result<(), Raised> {
        let requests = Arc::clone(&self.requests);
        let callbacks = Python::attach(|py| {
            let retire = PyCFunction::new_closure(py, None, None, move |_: &Bound<'_, PyTuple>, _| retire())?;
            let requests = PyCFunction::new_closure(py, None, None, move |_: &Bound<'_, PyTuple>, _| {
                requests.load(Ordering::Relaxed)
            })?;
            Ok((retire.unbind(), requests.unbind()))
        });
        let (retire, requests) = callbacks.map_err(|error: PyErr| self.raised("post_fork", &error))?;
        self.run("post_fork", "post_fork", (age, retire, requests))
    }

    /// The app is loaded: calls `post_worker_init`.
    pub fn post_worker_init(&self) -> Result<(), Raised> {
        self.run("post_worker_init", "post_worker_init", ())
    }

    /// Calls a hook that takes the worker alone.
    pub fn on_worker(&self, name: &'static str) -> Result<(), Raised> {
        self.run(name, "on_worker", (name,))
    }

    /// Calls `worker_exit`, the first time.
    pub fn worker_exit(&self) -> Result<(), Raised> {
        self.run("worker_exit", "worker_exit", ())
    }

    /// Has the app's requests counted, and the hooks for them called; and shows the app to hooks.
    pub fn join(&self, app: &mut PyApp) -> Result<(), Raised> {
        let loaded = Python::attach(|py| self.object.bind(py).call_method1("loaded", (app.callable(py),)).map(drop));
        loaded.map_err(|error| self.raised("", &error))?;
        let between = self.has("pre_request") || self.has("post_request");
        let object = Python::attach(|py| self.object.clone_ref(py));
        app.set_hooks(Between { object: between.then_some(object), requests: Arc::clone(&self.requests) });
        Ok(())
    }

    fn run<A>(&self, hook: &'static str, method: &str, args: A) -> Result<(), Raised>
    where
        A: for<'py> PyCallArgs<'py>,
    {
        Python::attach(|py| self.object.bind(py).call_method1(method, args).map(drop))
            .map_err(|error| self.raised(hook, &error))
    }

    fn raised(&self, hook: &'static str, error: &PyErr) -> Raised {
        let (reason, traceback) = Python::attach(|py| config::describe(self.reader.bind(py), error));
        Raised { hook, reason, traceback }
    }
}

/// Puts further directories and variables where the app finds them, after the configuration file has run.
///
/// # Errors
/// The directory is gone.
pub fn enter(directory: &Path, variables: &[(String, String)]) -> Result<(), Fatal> {
    Python::attach(|py| {
        let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: std::collections::BTreeMap<_, _> = variables.collect();
        module(py)?.call_method1("enter", (directory.as_os_str(), variables)).map(drop)
    })
    .map_err(|error| Fatal::new(format!("Cannot change to {}: {error}.", directory.display())))
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    embedded!("hooks").import(py)
}

fn unusable(error: &PyErr) -> Fatal {
    Fatal::new(format!("The embedded Python is not usable: {error}."))
}

fn begin<'py>(
    py: Python<'py>,
    reader: &Bound<'py, PyModule>,
    functions: &Bound<'py, PyAny>,
    about: &About<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let values = PyDict::new(py);
    for (name, value) in about.settings.values() {
        let value = python_value(py, value)?;
        // By what a configuration file calls it, and what rwsgi does.
        if let Some(setting) = settings::find(name) {
            values.set_item(setting.name_in_file(), &value)?;
        }
        values.set_item(name, value)?;
    }
    // Numbers, where they were left to rwsgi.
    values.set_item("workers", about.settings.workers)?;
    values.set_item("threads", about.settings.threads)?;
    let write = PyCFunction::new_closure(py, None, None, |args: &Bound<'_, PyTuple>, _| -> PyResult<()> {
        let (level, text): (String, Bound<'_, PyString>) = args.extract()?;
        let text = logger::text(&text);
        let level = match level.as_str() {
            "debug" => Level::Debug,
            "warning" | "warn" => Level::Warning,
            "error" => Level::Error,
            "critical" | "fatal" => Level::Critical,
            "exception" => {
                args.py().detach(|| telemetry::say_exception(&text));
                return Ok(());
            }
            // gunicorn takes a name that it does not know for this one.
            _ => Level::Info,
        };
        args.py().detach(|| telemetry::say(level, &text));
        Ok(())
    })?;
    let send = PyCFunction::new_closure(py, None, None, |args: &Bound<'_, PyTuple>, _| -> PyResult<()> {
        let (metric,): (String,) = args.extract()?;
        telemetry::metric(&metric);
        Ok(())
    })?;
    let About { spec, listeners, arbiter, predecessor, size, .. } = about;
    let arity = reader.getattr("arity")?;
    module(py)?.getattr("begin")?.call1((
        functions,
        arity,
        values,
        (write, send),
        *spec,
        listeners.clone(),
        *arbiter,
        *predecessor,
        *size,
    ))
}

/// A setting's value as a configuration file would have it.
fn python_value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::None => Ok(py.None().into_bound(py)),
        Value::Flag(flag) => flag.into_bound_py_any(py),
        Value::Number(number) => number.into_bound_py_any(py),
        Value::Text(text) | Value::Other(text) | Value::Class(text) | Value::Function { name: text, .. } => {
            text.into_bound_py_any(py)
        }
        Value::List(values) => {
            let values = values.iter().map(|value| python_value(py, value)).collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, values)?.into_any())
        }
        Value::Map(map) => {
            let json = serde_json::to_string(map).unwrap_or_else(|_| "{}".to_owned());
            py.import("json")?.call_method1("loads", (json,))
        }
    }
}

/// What an app has answered: its status and header fields as it wrote them, how many bytes of the body are out, and
/// whether the head is.
pub type Answer = (Option<Py<PyAny>>, Option<Py<PyAny>>, u64, bool);

/// What is done before and after a request where there are hooks.
pub struct Between {
    /// The hooks, where there are any for requests.
    object: Option<Py<PyAny>>,
    requests: Arc<AtomicU64>,
}

impl Between {
    /// Whether there are hooks for requests.
    pub fn is_called(&self) -> bool {
        self.object.is_some()
    }

    /// Counts a request, and calls `pre_request`. Returns the request as hooks know it.
    pub fn before<'py>(&self, py: Python<'py>, request: &Request) -> PyResult<Option<Bound<'py, PyAny>>> {
        let seen = self.object.as_ref().map(|object| {
            let head = &request.head;
            let latin1 = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
            let fields = head.fields.iter();
            let headers: Vec<_> =
                fields.map(|field| (latin1(field.name).to_ascii_uppercase(), latin1(field.value))).collect();
            let peer = match request.peer {
                Some((address, port)) => (address.to_canonical().to_string(), port).into_bound_py_any(py)?,
                None => "".into_bound_py_any(py)?,
            };
            let (version, scheme) = (head.version.numbers(), if head.https { "https" } else { "http" });
            let args = (head.method(), head.target(), head.path(), head.query(), headers, version, peer, scheme);
            object.bind(py).call_method1("pre_request", args)
        });
        let seen = seen.transpose()?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(seen)
    }

    /// Calls `post_request`; what it raises is logged there.
    pub fn after(
        &self,
        py: Python<'_>,
        seen: &Bound<'_, PyAny>,
        environ: &Bound<'_, PyDict>,
        answer: Answer,
    ) -> PyResult<()> {
        let Some(object) = &self.object else { return Ok(()) };
        object.bind(py).call_method1("post_request", (seen, environ, answer)).map(drop)
    }
}
