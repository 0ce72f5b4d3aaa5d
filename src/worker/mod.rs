//! A worker: the process that holds a listener's connections and the app, and the threads that each has.
//!
//! The main thread and those beside it call the app; one more thread has the tokio runtime, where connections live.

mod connections;
mod queue;

use std::{ffi::OsString, sync::Arc, thread};

use crate::{
    exit::Fatal,
    net::{Bind, Listener},
    python::{self, Interpreter, LoadError, PyApp},
    settings::Settings,
    telemetry::{access::AccessLog, error_log},
};

/// Serves the app that `spec` names until a signal ends it. `args` become `sys.argv`.
///
/// # Errors
/// What keeps it from serving: an address, the environment, the app.
pub fn run(settings: &Settings, spec: &str, args: Vec<OsString>) -> Result<(), LoadError> {
    let executable = python::environment::interpreter(settings.venv.as_deref())?;
    if let Some(directory) = &settings.chdir {
        std::env::set_current_dir(directory).map_err(|error| {
            Fatal::new(format!("Cannot change to {} (from --chdir): {error}.", directory.display()))
        })?;
    }
    let mut listeners = Vec::new();
    for bind in &settings.bind {
        listeners.extend(Listener::open(&bind.parse::<Bind>()?, settings.backlog)?);
    }
    let access_log = match &settings.accesslog {
        None => None,
        Some(target) => Some(Arc::new(AccessLog::open(target).map_err(|error| {
            Fatal::new(format!("Cannot open the access log {target} (from --access-logfile): {error}."))
        })?)),
    };
    error_log::start(settings.loglevel);
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address().to_string()).collect();

    let (calls, queue) = queue::channel();
    let mut connections = connections::start(connections::Plan {
        listeners,
        calls,
        script_name: std::env::var("SCRIPT_NAME").unwrap_or_default(),
        access_log: access_log.clone(),
        graceful_timeout: settings.graceful_timeout,
    })?;
    // Only now, when signals are handled: whoever waits for these lines may send one as soon as they are there.
    announce(settings, &addresses);
    let interpreter = Interpreter::start(&executable, args)?;
    let app = Arc::new(interpreter.load(spec, settings.threads)?);
    let extra: Vec<_> =
        (1..settings.threads).map(|number| spawn(&interpreter, number, &app, &queue)).collect::<Result<_, Fatal>>()?;
    connections.begin();
    serve(&app, &queue);
    for ended in extra {
        // It closes when the thread has ended, whichever way.
        let _ = ended.recv();
    }
    drop(app);
    tracing::info!("Worker exiting (pid: {})", std::process::id());
    interpreter.finish();
    drop(connections);
    if let Some(log) = access_log {
        log.close();
    }
    Ok(())
}

fn announce(settings: &Settings, addresses: &[String]) {
    let pid = std::process::id();
    tracing::info!("Starting rwsgi {} (CPython {})", env!("CARGO_PKG_VERSION"), python::full_version());
    tracing::info!("Listening at: {} ({pid})", addresses.join(","));
    match settings.threads {
        1 => tracing::info!("Using worker: threads (1 thread)"),
        threads => tracing::info!("Using worker: threads ({threads} threads)"),
    }
    tracing::info!("Booting worker with pid: {pid}");
}

/// Starts a further app thread. What is returned closes when it ends.
fn spawn(
    interpreter: &Interpreter,
    number: usize,
    app: &Arc<PyApp>,
    queue: &queue::Queue,
) -> Result<std::sync::mpsc::Receiver<()>, Fatal> {
    let (alive, ended) = std::sync::mpsc::channel();
    let (app, queue) = (Arc::clone(app), queue.clone());
    // A closure that Python may keep gives its part of the app away when it ends, not when Python drops it.
    let work = std::sync::Mutex::new(Some((app, queue, alive)));
    interpreter.spawn(&format!("rwsgi-{number}"), move || {
        let work = work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some((app, queue, alive)) = work {
            serve(&app, &queue);
            drop((app, alive));
        }
    })?;
    Ok(ended)
}

/// Calls the app for every request, until there are no more to come. A panic costs the request it happened in.
fn serve(app: &PyApp, queue: &queue::Queue) {
    loop {
        let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| app.serve(|| queue.next())));
        if served.is_ok() {
            return;
        }
        tracing::error!("A request ended in a panic on thread {:?}.", thread::current().id());
    }
}

impl From<Fatal> for LoadError {
    fn from(fatal: Fatal) -> Self {
        Self { fatal, traceback: None }
    }
}
