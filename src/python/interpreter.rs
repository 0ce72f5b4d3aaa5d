//! The life of the embedded interpreter: its start, the loading of an app, and its end.

use std::{
    ffi::OsString,
    num::NonZeroI32,
    path::{Path, PathBuf},
};

use pyo3::{
    exceptions::PyOSError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyCFunction, PyDict, PyModule, PyTuple},
};

use super::{PyApp, capi, embedded::embedded, logger};
use crate::{
    exit::{Code, Fatal},
    settings::{Settings, standard},
    sys::{self, Fork, Signal},
    telemetry::error_log,
};

/// The interpreter of this process. There is one, started once, on the main thread.
pub struct Interpreter {
    loader: Py<PyModule>,
    /// How often Python collects garbage by itself (`gc.get_threshold`).
    thresholds: Py<PyAny>,
}

impl Interpreter {
    /// Starts the interpreter as `executable` would start it, `args` being `sys.argv` and the working directory
    /// `sys.path[0]`. To be called on the main thread.
    ///
    /// # Errors
    /// CPython could not start, or its installation lacks what rwsgi needs.
    pub fn start(executable: &Path, args: Vec<OsString>) -> Result<Self, Fatal> {
        capi::initialize(executable, args).map_err(|reason| {
            // Python itself says nothing of what it may not read.
            let unreadable = fs_err::metadata(executable).err();
            let why = unreadable
                .map(|error| format!(" Whoever the worker runs as (--user) must be able to read it: {error}."));
            Fatal::new(format!(
                "Python at {} could not start: {reason}.{}",
                executable.display(),
                why.unwrap_or_default()
            ))
        })?;
        let directory = std::env::current_dir()
            .map_err(|error| Fatal::new(format!("The working directory cannot be used: {error}.")))?;
        let handlers = sys::Handlers::now();
        handlers.answer();
        let started = Python::attach(|py| {
            let loader = embedded!("load_app").import(py)?;
            let (directory, standard) = (directory.into_os_string(), standard::modules().collect::<Vec<_>>());
            loader.call_method1("start", (directory, standard, sys::dump_signal(), error_log::descriptor()))?;
            let take_back = wrap_pyfunction!(take_back, py)?;
            loader.call_method1("keep_signals", (handlers.signals().collect::<Vec<_>>(), take_back))?;
            logger::install(py)?;
            let thresholds = py.import("gc")?.call_method0("get_threshold")?;
            Ok(Self { loader: loader.unbind(), thresholds: thresholds.unbind() })
        })
        .map_err(|error: PyErr| Fatal::new(format!("Python at {} is not usable: {error}.", executable.display())));
        handlers.restore();
        started
    }

    /// Puts further directories before all others that modules are looked for in.
    ///
    /// # Errors
    /// `sys.path` is not what it should be.
    pub fn add_paths(&self, directories: &[String]) -> Result<(), Fatal> {
        Python::attach(|py| self.loader.bind(py).call_method1("add_paths", (directories,)).map(drop))
            .map_err(|error| Fatal::new(format!("The directories of --pythonpath cannot be used: {error}.")))
    }

    /// Loads the app that `spec` names.
    ///
    /// # Errors
    /// The app's code raised ([`Code::WorkerBoot`]), or the spec names nothing that can serve ([`Code::AppLoad`]).
    pub fn load(&self, spec: &str, settings: &Settings) -> Result<PyApp, Fatal> {
        if let Some(reason) = standard::hides(spec, Path::new("")) {
            return Err(Fatal::with_code(Code::AppLoad, format!("Could not load {spec}: {reason}")));
        }
        let forks = sys::forks();
        Python::attach(|py| {
            let loader = self.loader.bind(py);
            let outcome = loader
                .call_method1("load", (spec,))
                .and_then(|callable| PyApp::new(&callable, settings))
                .map_err(|error| load_error(loader, spec, &error));
            if sys::forks() != forks {
                // A child of the app's own making, which would serve as well, without the threads that it takes.
                flush(py);
                sys::exit_now(0);
            }
            outcome
        })
    }

    /// Runs `body` on a thread of Python's own making, which `threading` knows by `name`.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn spawn(&self, name: &str, body: impl Fn() + Send + Sync + 'static) -> Result<(), Fatal> {
        Python::attach(|py| {
            let target = PyCFunction::new_closure(
                py,
                None,
                None,
                move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
                    args.py().detach(&body);
                },
            )?;
            let options = PyDict::new(py);
            options.set_item("target", target)?;
            options.set_item("name", name)?;
            // Python must not wait for it at its end: the worker does, with a limit.
            options.set_item("daemon", true)?;
            py.import("threading")?.getattr("Thread")?.call((), Some(&options))?.call_method0("start")?;
            Ok(())
        })
        .map_err(|error: PyErr| Fatal::new(format!("Cannot start the thread {name}: {error}. Lower --threads.")))
    }

    /// The files that the app consists of, and these further ones, which may be patterns.
    pub fn sources(&self, extra: Vec<String>) -> Sources {
        Sources { loader: Python::attach(|py| self.loader.clone_ref(py)), extra }
    }

    /// Keeps the garbage collector from what is loaded: it would write to every object, and with that unshare the memory
    /// that processes made from this one have in common.
    pub fn freeze(&self) {
        let frozen = Python::attach(|py| {
            let gc = py.import("gc")?;
            gc.call_method0("collect")?;
            gc.call_method0("freeze").map(drop)
        });
        if let Err(error) = frozen {
            tracing::warn!("The memory of the preloaded app cannot be shared: {error}.");
        }
    }

    /// Has the garbage collector pass over what is loaded, which stays, and look for cycles after `threshold` new objects,
    /// unless the app has set that: requests leave few cycles behind, and Python's own threshold is one for scripts.
    pub fn quiet_collector(&self, threshold: NonZeroI32) {
        let set = Python::attach(|py| {
            let gc = py.import("gc")?;
            gc.call_method0("freeze")?;
            if gc.call_method0("get_threshold")?.eq(&self.thresholds)? {
                gc.call_method1("set_threshold", (threshold.get(),))?;
            }
            PyResult::Ok(())
        });
        if let Err(error) = set {
            tracing::warn!("Python's garbage collector stays as it is: {error}.");
        }
    }

    /// Splits this process in two, with the interpreter in both. The new one is nobody's child: whoever adopts orphans
    /// becomes its parent. The other threads that the app has started are not in it (os.fork). `made` is called with its
    /// id before it can be adopted.
    ///
    /// # Errors
    /// The system has no process to give.
    pub fn fork_orphan(&self, made: impl FnOnce(i32)) -> Result<Fork, Fatal> {
        Python::attach(|py| -> PyResult<Fork> {
            let os = py.import("os")?;
            let fork = || os.call_method0("fork")?.extract::<i32>();
            let middle = fork()?;
            if middle == 0 {
                // Until the worker handles it, it must not end it.
                sys::ignore(Signal::Usr1);
                // What ends it as soon as it is known is not lost, as it would be by what the template does at these.
                [Signal::Term, Signal::Quit].into_iter().for_each(sys::restore);
                // In between: an error must not return into what the first process does.
                match fork() {
                    Ok(0) => return Ok(Fork::Child),
                    Ok(pid) => {
                        made(pid);
                        sys::exit_now(0);
                    }
                    Err(_) => sys::exit_now(1),
                }
            }
            // An app that ignores SIGCHLD has nobody to wait for.
            let ended = os.call_method1("waitpid", (middle, 0)).and_then(|ended| ended.extract::<(i32, i32)>());
            match ended {
                Ok((_, 1..)) => Err(PyOSError::new_err("the system has no second process to give")),
                _ => Ok(Fork::Parent(middle)),
            }
        })
        .map_err(|error| Fatal::new(format!("A worker cannot be forked: {error}.")))
    }

    /// Calls what the app has for `TERM`, which came to this program instead: the app has something to do at the end.
    pub fn call_term_handler(&self) {
        // What is raised there is printed there.
        let _ = Python::attach(|py| self.loader.bind(py).call_method0("call_term_handler").map(drop));
    }

    /// Has modules looked for in these directories too, behind the working directory.
    ///
    /// # Errors
    /// `sys.path` is not what it should be.
    pub fn follow(&self, directories: &[PathBuf]) -> Result<(), Fatal> {
        Python::attach(|py| self.loader.bind(py).call_method1("follow", (directories,)).map(drop))
            .map_err(|error| Fatal::new(format!("The directories of the configuration cannot be used: {error}.")))
    }

    /// Ends the interpreter: waits for the app's own threads that are not daemons, then runs `atexit`.
    pub fn finish(self) {
        Python::attach(|py| drop(self.loader.into_bound(py)));
        capi::finalize();
    }
}

/// Writes what was printed so far, for a process that ends without the interpreter's own end, as far as that can be reached.
pub fn write_out() {
    Python::try_attach(flush);
}

pub(super) fn flush(py: Python<'_>) {
    for name in ["stdout", "stderr"] {
        // None, closed, or a class of the app's own: nobody is left to be told.
        let _ = py.import("sys").and_then(|sys| sys.getattr(name)?.call_method0("flush"));
    }
}

/// Lets a signal have the handler again that it had before Python, which has been given back what it stands for.
#[pyfunction]
fn take_back(number: i32) {
    sys::take_back(number);
}

/// The files of what has been imported. It must be gone before the interpreter ends.
pub struct Sources {
    loader: Py<PyModule>,
    extra: Vec<String>,
}

impl Sources {
    /// Those that are known by now.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = Python::attach(|py| self.loader.bind(py).call_method1("files", (&self.extra,))?.extract());
        // An app may do anything to sys.modules; then there is nothing to watch.
        files.unwrap_or_else(|error: PyErr| {
            tracing::warn!("The files of the app cannot be listed (reload): {error}.");
            Vec::new()
        })
    }
}

/// Has every thread's Python stack written to standard error. Needs no cooperation of any thread, and takes a moment.
pub fn dump_stacks() {
    sys::send_to_self(sys::dump_signal());
}

/// Gives memory back to the system, after the objects that connections let go of: that waits until a thread has Python.
pub fn release_memory() {
    // Whoever attaches drops them.
    let _ = Python::try_attach(|_| ());
    sys::release_memory();
}

fn load_error(loader: &Bound<'_, PyModule>, spec: &str, error: &PyErr) -> Fatal {
    static SPEC_ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = loader.py();
    // It reports nothing, and an app that cannot be loaded is what there is to say.
    flush(loader.py());
    let is_spec_error = SPEC_ERROR
        .get_or_try_init(py, || loader.getattr("SpecError").map(Bound::unbind))
        .is_ok_and(|class| error.value(py).is_instance(class.bind(py)).unwrap_or(false));
    if is_spec_error {
        return Fatal::with_code(Code::AppLoad, format!("Could not load {spec}: {}", error.value(py)));
    }
    let described = loader.call_method1("describe", (error.value(py),)).and_then(|pair| pair.extract());
    let (reason, traceback): (String, String) = described.unwrap_or_else(|_| (error.to_string(), String::new()));
    Fatal::with_code(Code::WorkerBoot, format!("Could not load {spec}: {reason}"))
        .with_traceback(Some(traceback).filter(|text| !text.is_empty()))
}
