//! The thread of the connections, and what signals do to it.

use std::{
    future::pending,
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::queue::Calls;
use crate::{exit::Fatal, http::Server, net::Listener, sys, telemetry::access::AccessLog, wsgi::App};

/// What the thread works with.
pub struct Plan {
    pub listeners: Vec<Listener>,
    pub calls: Calls,
    pub script_name: String,
    pub access_log: Option<Arc<AccessLog>>,
    pub graceful_timeout: Duration,
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

/// Starts the thread. From here on signals are handled.
///
/// # Errors
/// The system has no thread, no event queue or no signal handler to give.
pub fn start(plan: Plan) -> Result<Connections, Fatal> {
    let failed = |error: &io::Error| Fatal::new(format!("The server cannot start: {error}."));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let (begin, may_begin) = oneshot::channel();
    let (end, may_end) = oneshot::channel();
    let (report, started) = mpsc::channel();
    let thread = thread::Builder::new().name("rwsgi-io".to_owned()).spawn(move || {
        runtime.block_on(async move {
            match Signals::listen() {
                Ok(signals) => {
                    let _ = report.send(Ok(()));
                    live(plan, may_begin, may_end, signals).await;
                }
                Err(error) => drop(report.send(Err(error))),
            }
        });
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
    let Plan { listeners, calls, script_name, access_log, graceful_timeout } = plan;
    tokio::select! {
        begin = may_begin => if begin.is_err() { return },
        // Nothing was accepted yet, so nothing is lost; the app that is being loaded cannot be asked to stop.
        name = signals.next() => {
            tracing::info!("Handling signal: {name}");
            drop(listeners);
            sys::exit_now(0);
        }
    }
    let app: Arc<dyn App> = Arc::new(calls);
    let server = match Server::start(listeners, &script_name, &app, access_log.as_ref()) {
        Ok(server) => server,
        Err(error) => {
            tracing::error!("The server cannot accept connections: {error}.");
            sys::exit_now(1);
        }
    };
    // The connections hold the app now, and the queue closes with the last of them.
    drop(app);
    let name = signals.next().await;
    tracing::info!("Handling signal: {name}");
    let deadline = Instant::now() + graceful_timeout;
    let cut = tokio::select! {
        () = server.stop() => None,
        () = sleep_until(deadline) => Some("The graceful timeout is over: requests that still run are cut short.".to_owned()),
        name = signals.next() => Some(format!("Handling signal: {name}. Requests that still run are cut short.")),
    };
    if cut.is_none() {
        // Python runs its atexit functions and waits for the app's threads now; that has an end too.
        tokio::select! {
            _ = may_end => return,
            () = sleep_until(deadline) => {}
            _ = signals.next() => {}
        }
    }
    tracing::warn!(
        "{}",
        cut.unwrap_or_else(|| "The app's own threads did not end in time, and are cut short.".to_owned())
    );
    if let Some(log) = access_log {
        log.close();
    }
    sys::exit_now(0);
}

/// The signals that end a worker.
struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
}

impl Signals {
    /// Takes the signals from the system. Also as process 1, for which the system has no default action.
    fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for a signal, and gives its name as gunicorn writes it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.term.recv() => "term",
            Some(()) = self.int.recv() => "int",
            Some(()) = self.quit.recv() => "quit",
            else => pending().await,
        }
    }
}
