//! The life of the connections, the thread that stands by for them, and what signals do.

use std::{
    future::pending,
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    net::unix::pipe,
    runtime::{self, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{Instant, MissedTickBehavior, sleep_until},
};

use tokio_rustls::rustls::ServerConfig;

use super::{
    dispatch::{Calls, one::Drive},
    hooks::{self, Hooks},
    watch::{Overdue, Watch},
};
use crate::{
    exit::Fatal,
    http::Server,
    link::{Link, Report},
    net::Listener,
    python,
    settings::Clients,
    sys,
    telemetry::{self, access::AccessLog},
    wsgi::App,
};

/// How often a worker tells the arbiter that it is alive: several times in the shortest timeout, which is a second.
const ALIVE: Duration = Duration::from_millis(250);

/// How long the other requests of a worker may take to finish when one of them takes too long.
const STUCK: Duration = Duration::from_secs(5);

/// How long the stacks of Python's threads take to be written, at most.
const DUMP: Duration = Duration::from_millis(500);

/// How long what was printed may take to be written.
const OUTPUT: Duration = Duration::from_millis(500);

/// The exit code of a worker whose app takes too long to load: that of timeout(1). It is none of those that end a server
/// at its first boot, because the next attempt may go well.
const TIMED_OUT: u8 = 124;

/// What the thread works with.
pub struct Plan {
    pub listeners: Vec<Listener>,
    /// Whether other workers listen there, too.
    pub has_others: bool,
    pub calls: Calls,
    pub script_name: String,
    pub clients: Clients,
    pub tls: Option<Arc<ServerConfig>>,
    pub access_log: Option<Arc<AccessLog>>,
    pub graceful_timeout: Duration,
    pub timeout: Option<Duration>,
    pub watch: Arc<Watch>,
    pub hooks: Option<Hooks>,
    /// The line to the arbiter.
    pub link: Arc<Link>,
}

/// The running thread. Dropped, it ends: at once if no connection was let in yet, and its sockets with it.
pub struct Connections {
    begin: Option<oneshot::Sender<()>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Connections {
    /// Lets connections in. Until then they wait in the kernel's queue.
    pub fn begin(&mut self) {
        if let Some(begin) = self.begin.take() {
            // The thread is gone only when the process is about to end.
            let _ = begin.send(());
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        drop((self.begin.take(), self.end.take()));
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

/// What drives the connections.
///
/// # Errors
/// The system has no event queue to give.
pub fn runtime() -> Result<Runtime, Fatal> {
    runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> Fatal {
    Fatal::new(format!("The server cannot start: {error}."))
}

/// Starts the thread. From here on signals are handled.
///
/// # Errors
/// The system has no thread, no event queue or no signal handler to give.
pub fn start(plan: Plan, runtime: Arc<Runtime>, drive: Arc<Drive>) -> Result<Connections, Fatal> {
    let (begin, may_begin) = oneshot::channel();
    let (end, may_end) = oneshot::channel();
    let (report, started) = mpsc::channel();
    let thread = thread::Builder::new().name("rwsgi-io".to_owned()).spawn(move || {
        let life = runtime.spawn(async move {
            match Signals::listen(plan.hooks.clone()) {
                Ok(signals) => {
                    // Logs that were rotated while it booted.
                    telemetry::reopen();
                    let _ = report.send(Ok(()));
                    live(plan, may_begin, may_end, signals).await;
                }
                Err(error) => drop(report.send(Err(error))),
            }
        });
        drive.stand_by(&runtime, life);
    });
    let thread = Some(thread.map_err(|error| failed(&error))?);
    let connections = Connections { begin: Some(begin), end: Some(end), thread };
    match started.recv() {
        Ok(Ok(())) => Ok(connections),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(Fatal::new("The server cannot start: its thread of connections ended.")),
    }
}

async fn live(plan: Plan, may_begin: oneshot::Receiver<()>, may_end: oneshot::Receiver<()>, mut signals: Signals) {
    let Plan {
        listeners,
        has_others,
        calls,
        script_name,
        clients,
        tls,
        access_log,
        graceful_timeout,
        timeout,
        watch,
        hooks,
        link,
    } = plan;
    let request_timeout = clients.request_timeout;
    let arbiter = Arbiter::watch(&link);
    tokio::select! {
        begin = may_begin => if begin.is_err() { return },
        // Nothing was accepted yet, so nothing is lost; the app that is being loaded cannot be asked to stop.
        stop = signals.next() => {
            tracing::info!("Worker exiting (pid: {})", std::process::id());
            call_last(hooks.as_ref(), stop).await;
            write_out().await;
            sys::exit_now(u8::from(stop == Stop::Aborted));
        }
        () = arbiter.gone() => {
            tracing::info!("Worker exiting (pid: {})", std::process::id());
            write_out().await;
            sys::exit_now(0);
        }
        () = too_long(timeout) => {
            tracing::error!(target: telemetry::CRITICAL, "WORKER TIMEOUT (pid:{})", std::process::id());
            python::dump_stacks();
            tokio::time::sleep(DUMP).await;
            write_out().await;
            sys::exit_now(TIMED_OUT);
        }
    }
    if let Some(turns) = calls.turns() {
        tokio::spawn(async move { turns.look_after_connections().await });
    }
    // Other workers take the next connection while this one has no thread for it.
    let busy = has_others.then(|| calls.busy());
    let app: Arc<dyn App> = Arc::new(calls);
    let server = match Server::start(listeners, &script_name, clients, tls.as_ref(), &app, access_log.as_ref(), busy) {
        Ok(server) => server,
        Err(error) => {
            tracing::error!("The worker cannot accept connections: {error}.");
            sys::exit_now(1);
        }
    };
    // The connections hold the app now, and the queue closes with the last of them.
    drop(app);
    link.report(Report::Booted);
    let stop = tokio::select! {
        stop = signals.next() => stop,
        () = arbiter.gone() => Stop::InOrder,
        () = look_after(&server, &link, &watch, timeout, request_timeout) => Stop::Stuck,
    };
    let deadline = Instant::now() + if stop == Stop::Stuck { graceful_timeout.min(STUCK) } else { graceful_timeout };
    if stop == Stop::Stuck {
        tracing::error!(target: telemetry::CRITICAL, "WORKER TIMEOUT (pid:{})", std::process::id());
        python::dump_stacks();
        link.report(Report::Retires);
        // The others have that long, whatever the timeout is.
        tokio::spawn(report_alive(Arc::clone(&link), deadline));
        if let Some(hooks) = &hooks {
            hooks.call("worker_abort", deadline.saturating_duration_since(Instant::now())).await;
        }
    }
    let mut cut = matches!(stop, Stop::AtOnce | Stop::Aborted).then_some(stop);
    if cut.is_none() {
        cut = tokio::select! {
            // What would wait for an app that hangs is answered by the next worker.
            () = server.stop(stop != Stop::Stuck) => None,
            () = sleep_until(deadline) => Some(stop),
            stop = signals.at_once() => Some(stop),
        };
    }
    if cut.is_none() {
        // Python runs its atexit functions and waits for the app's threads now; that has an end too.
        cut = tokio::select! {
            _ = may_end => return,
            () = sleep_until(deadline) => None,
            stop = signals.at_once() => Some(stop),
        };
    }
    let cut = cut.unwrap_or(stop);
    call_last(hooks.as_ref(), cut).await;
    tracing::warn!("Worker (pid: {}) is cut short: what still runs in it is lost.", std::process::id());
    write_out().await;
    if let Some(log) = access_log {
        log.close();
    }
    sys::exit_now(u8::from(stop == Stop::Stuck || cut == Stop::Aborted));
}

/// Has the hooks called of a worker that does not end in order.
async fn call_last(hooks: Option<&Hooks>, stop: Stop) {
    let Some(hooks) = hooks else { return };
    match stop {
        Stop::AtOnce => hooks.call("worker_int", hooks::AT_ONCE).await,
        Stop::Aborted => hooks.call("worker_abort", hooks::AT_ONCE).await,
        Stop::InOrder | Stop::Stuck => {}
    }
    hooks.call("worker_exit", hooks::AT_ONCE).await;
}

/// Writes what the app has printed so far, unless Python cannot be had.
async fn write_out() {
    let (done, is_done) = oneshot::channel();
    wait_for_python("rwsgi-output", move || {
        python::write_out();
        let _ = done.send(());
    });
    let _ = tokio::time::timeout(OUTPUT, is_done).await;
}

/// Returns when the app has been loading for longer than it may.
async fn too_long(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => pending().await,
    }
}

/// Tells the arbiter again and again that connections are looked after, and keeps no memory for those that are gone.
/// Returns when the app has been at a request for longer than it may.
async fn look_after(
    server: &Server,
    link: &Link,
    watch: &Watch,
    timeout: Option<Duration>,
    request_timeout: Option<Duration>,
) {
    let mut interval = tokio::time::interval(ALIVE);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut interrupting: Option<JoinHandle<()>> = None;
    loop {
        interval.tick().await;
        link.report(Report::Alive);
        if server.has_let_go() {
            wait_for_python("rwsgi-memory", python::release_memory);
        }
        // One at a time: while native code keeps Python to itself, the next would wait as well.
        if interrupting.as_ref().is_none_or(JoinHandle::is_finished) {
            let overdue = request_timeout.map_or_else(Vec::new, |limit| watch.longer_than(limit));
            if !overdue.is_empty() {
                interrupting = wait_for_python("rwsgi-timeout", move || overdue.iter().for_each(Overdue::interrupt));
            }
        }
        if timeout.is_some_and(|timeout| watch.longest() > timeout) {
            return;
        }
    }
}

async fn report_alive(link: Arc<Link>, until: Instant) {
    while Instant::now() < until {
        link.report(Report::Alive);
        tokio::time::sleep(ALIVE).await;
    }
}

/// Does what waits for Python, which connections must not, on a thread of its own.
fn wait_for_python(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.inspect_err(|error| tracing::error!("The thread {name} cannot be started: {error}.")).ok()
}

/// The arbiter, as far as a worker knows it.
struct Arbiter(Option<pipe::Receiver>);

impl Arbiter {
    fn watch(link: &Link) -> Self {
        let descriptor = link.arbiter().try_clone_to_owned().ok();
        Self(descriptor.and_then(|descriptor| pipe::Receiver::from_owned_fd(descriptor).ok()))
    }

    /// Returns when the arbiter is gone, killed say.
    async fn gone(&self) {
        match &self.0 {
            Some(descriptor) => drop(descriptor.readable().await),
            None => pending().await,
        }
    }
}

/// How a worker is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stop {
    InOrder,
    AtOnce,
    /// As by `AtOnce`, by `ABRT`, for which there is a hook.
    Aborted,
    /// The app has been at a request for too long.
    Stuck,
}

/// The signals that end a worker.
struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    /// Whoever rotates the logs asks for them to be opened again.
    usr1: Signal,
    /// Only with a hook for it: without, it makes a core file.
    abort: Option<Signal>,
    hooks: Option<Hooks>,
}

impl Signals {
    /// Takes the signals from the system. Also as process 1, for which the system has no default action.
    fn listen(hooks: Option<Hooks>) -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            usr1: signal(SignalKind::user_defined1())?,
            abort: match &hooks {
                Some(hooks) if hooks.has("worker_abort") => Some(signal(SignalKind::from_raw(sys::ABORT))?),
                _ => None,
            },
            hooks,
        })
    }

    /// Waits to be told to end.
    async fn next(&mut self) -> Stop {
        loop {
            tokio::select! {
                biased;
                // A terminal sends INT to all of its processes; the arbiter passes on what it means.
                Some(()) = self.int.recv() => self.interrupted(),
                Some(()) = self.term.recv() => return Stop::InOrder,
                Some(()) = self.quit.recv() => return Stop::AtOnce,
                Some(()) = received(self.abort.as_mut()) => return Stop::Aborted,
                Some(()) = self.usr1.recv() => telemetry::reopen(),
                else => pending().await,
            }
        }
    }

    /// Waits to be told to end at once.
    async fn at_once(&mut self) -> Stop {
        loop {
            let stop = self.next().await;
            if stop != Stop::InOrder {
                return stop;
            }
        }
    }

    fn interrupted(&self) {
        if let Some(hooks) = &self.hooks {
            hooks.call_soon("worker_int");
        }
    }
}

/// Waits for a signal that may not be listened to.
async fn received(signal: Option<&mut Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => pending().await,
    }
}
