//! A worker: the process that holds a listener's connections and the app, and the threads that each has.
//!
//! The main thread and those beside it call the app. Connections live on a tokio runtime, which one more thread drives;
//! where the main thread is the only one to call the app, it drives them itself between two calls.

mod connections;
mod dispatch;
mod hooks;
mod reload;
mod template;
mod watch;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

pub use self::template::template;
use self::{
    dispatch::{Threads, one::Drive},
    hooks::Hooks,
    reload::Reload,
    watch::Watch,
};
use crate::{
    exit::{Code, Fatal},
    link::{Link, Report},
    net::{Listener, tls},
    python::{self, Interpreter, Interrupt, PyApp},
    settings::Settings,
    sys,
    telemetry::access::AccessLog,
};

/// What a worker works with.
pub struct Plan {
    /// The settings that matter in a worker.
    pub settings: Settings,
    /// The `python` that the embedded one stands for.
    pub interpreter: PathBuf,
    /// The app's spec.
    pub spec: String,
    /// What becomes `sys.argv`.
    pub args: Vec<OsString>,
    /// The configuration file, where it has hooks or does something to its process.
    pub file: Option<python::hooks::Source>,
    /// Where to accept connections.
    pub listeners: Vec<Listener>,
    /// The line to the arbiter.
    pub link: Arc<Link>,
}

/// Serves an app until a signal ends it, or the arbiter is gone.
///
/// # Errors
/// What keeps it from serving: the environment, the app.
pub fn run(plan: Plan) -> Result<(), Fatal> {
    set_environment(&plan.settings);
    boot(plan, None, |plan| load(&plan.settings, &plan.interpreter, &plan.spec, plan.args.clone()))
}

/// Loads an app as a worker would, and serves nothing.
///
/// # Errors
/// What keeps it from being served.
pub fn try_app(settings: &Settings, interpreter: &Path, spec: &str, args: Vec<OsString>) -> Result<(), Fatal> {
    set_environment(settings);
    let (interpreter, app) = load(settings, interpreter, spec, args)?;
    drop(app);
    interpreter.finish();
    Ok(())
}

/// Makes the process what the configuration file has made of its own, and sets the variables of `raw_env`. To be called while
/// there is one thread.
fn set_environment(settings: &Settings) {
    for (name, value) in &settings.surroundings.variables {
        match value {
            Some(value) => sys::set_variable(name, value),
            None => sys::remove_variable(name),
        }
    }
    if let Some(umask) = settings.surroundings.umask {
        sys::set_umask(umask);
    }
    for (name, value) in &settings.raw_env {
        sys::set_variable(name, value);
    }
}

fn load(
    settings: &Settings,
    interpreter: &Path,
    spec: &str,
    args: Vec<OsString>,
) -> Result<(Interpreter, PyApp), Fatal> {
    let interpreter = Interpreter::start(interpreter, args)?;
    interpreter.follow(&settings.surroundings.paths)?;
    interpreter.add_paths(&settings.pythonpath)?;
    let app = interpreter.load(spec, settings)?;
    Ok((interpreter, app))
}

/// Serves what `load` brings.
fn boot(
    mut plan: Plan,
    hooks: Option<&Hooks>,
    load: impl FnOnce(&Plan) -> Result<(Interpreter, PyApp), Fatal>,
) -> Result<(), Fatal> {
    let settings = plan.settings.clone();
    let settings = &settings;
    let access_log = AccessLog::open(settings)?.map(Arc::new);
    let tls = settings.tls.as_ref().map(tls::load).transpose()?;
    // The logs and the certificate are open: whoever the app runs as need not be able to open them.
    sys::become_user(&settings.run_as).map_err(|error| {
        Fatal::new(format!("The worker cannot run as another user: {error}. Only root may (user, group)."))
    })?;
    if let Some(name) = &settings.proc_name {
        sys::set_process_name(&format!("{name}: worker"));
    }
    sys::set_title(&format!("rwsgi: worker [{}]", settings.proc_name.as_deref().unwrap_or(&plan.spec)));
    let watch = Arc::new(Watch::new());
    let drive = Arc::new(Drive::default());
    let runtime = Arc::new(connections::runtime()?);
    let threads = match settings.threads {
        1 => Threads::One(Arc::clone(&runtime), Arc::clone(&drive)),
        _ => Threads::Several(Arc::default()),
    };
    let (calls, queue) = dispatch::channel(request_limit(settings), Arc::clone(&watch), threads, {
        let link = Arc::clone(&plan.link);
        move || {
            tracing::info!("Autorestarting worker after current request.");
            link.report(Report::Retires);
        }
    });
    let life = connections::Plan {
        listeners: std::mem::take(&mut plan.listeners),
        has_others: settings.workers > 1,
        calls,
        script_name: std::env::var("SCRIPT_NAME").unwrap_or_default(),
        clients: settings.clients.clone(),
        tls,
        access_log: access_log.clone(),
        graceful_timeout: settings.graceful_timeout,
        timeout: settings.timeout,
        watch,
        hooks: hooks.cloned(),
        link: Arc::clone(&plan.link),
    };
    sys::disregard_dumps();
    let mut connections = connections::start(life, runtime, drive)?;
    // Only now, when signals are handled: whoever waits for this line may send one as soon as it is there.
    tracing::info!("Booting worker with pid: {}", std::process::id());
    let handlers = sys::Handlers::now();
    handlers.answer();
    let (interpreter, mut app) = load(&plan)?;
    if let Some(log) = &access_log {
        app.watch(&log.needs().variables);
    }
    if let Some(hooks) = hooks {
        let joined = hooks.join(&mut app).and_then(|()| hooks.post_worker_init());
        joined.map_err(|raised| raised.fatal(Code::WorkerBoot))?;
    }
    if let Some(threshold) = settings.gc_threshold {
        interpreter.quiet_collector(threshold);
    }
    handlers.restore();
    let app = Arc::new(app);
    let extra: Vec<_> =
        (1..settings.threads).map(|number| spawn(&interpreter, number, &app, &queue)).collect::<Result<_, Fatal>>()?;
    let watched = settings.reload && !settings.preload_app;
    let watched = watched.then(|| {
        let sources = interpreter.sources(settings.reload_extra_files.clone());
        reload::start(settings, sources, Arc::clone(&plan.link))
    });
    let watched = watched.transpose()?;
    connections.begin();
    serve(&app, &queue);
    for ended in extra {
        // It closes when the thread has ended, whichever way.
        let _ = ended.recv();
    }
    let replaced = watched.as_ref().is_some_and(Reload::has_noticed);
    drop((app, queue, watched));
    tracing::info!("Worker exiting (pid: {})", std::process::id());
    if let Some(hooks) = hooks {
        if replaced {
            // As gunicorn has it, but not before it is certain that the worker goes: its successor serves.
            hooks.call_soon("worker_int");
        }
        hooks.exit();
    }
    interpreter.call_term_handler();
    interpreter.finish();
    drop(connections);
    if let Some(log) = access_log {
        log.close();
    }
    Ok(())
}

/// How many requests this worker may answer; 0 for no limit.
fn request_limit(settings: &Settings) -> u64 {
    match settings.max_requests {
        0 => 0,
        // Each worker draws its own, so that they do not all retire at the same time.
        limit => limit.saturating_add(fastrand::u64(0..=settings.max_requests_jitter)),
    }
}

/// Starts a further app thread. What is returned closes when it ends.
fn spawn(
    interpreter: &Interpreter,
    number: usize,
    app: &Arc<PyApp>,
    queue: &dispatch::Queue,
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
fn serve(app: &PyApp, queue: &dispatch::Queue) {
    let interrupt = Arc::new(Interrupt::here());
    let Some(mut place) = queue.join(&interrupt) else { return };
    loop {
        let serve = || app.serve(&interrupt, &mut place);
        let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve));
        if served.is_ok() {
            return;
        }
        tracing::error!("A request ended in a panic on thread {:?}.", thread::current().id());
    }
}
