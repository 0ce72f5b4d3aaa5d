//! A worker's hooks, and the thread that calls those of them that belong to a signal.
//!
//! Connections are looked after meanwhile, and the main thread may be at a request.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use tokio::{sync::oneshot, time};

use crate::{exit::Fatal, python};

/// How long a hook may take when the worker is to end at once: the arbiter does not wait for long either.
pub const AT_ONCE: Duration = Duration::from_millis(750);

/// The hooks of this worker.
#[derive(Clone)]
pub struct Hooks {
    hooks: Arc<python::Hooks>,
    calls: mpsc::Sender<Call>,
}

/// A hook to call, or none, and whom to tell when it is over.
type Call = (Option<&'static str>, oneshot::Sender<()>);

impl Hooks {
    /// Starts the thread, which ends with the process.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn start(hooks: python::Hooks, interpreter: &python::Interpreter) -> Result<Self, Fatal> {
        let hooks = Arc::new(hooks);
        let (calls, to_call) = mpsc::channel::<Call>();
        // The thread holds a sender too: it must not wake up while the interpreter ends.
        let work = Mutex::new((Arc::clone(&hooks), calls.clone(), to_call));
        interpreter.spawn("rwsgi-hooks", move || {
            let work = work.lock().unwrap_or_else(PoisonError::into_inner);
            let (hooks, _, to_call) = &*work;
            while let Ok((name, over)) = to_call.recv() {
                let called = match name {
                    None => Ok(()),
                    Some("worker_exit") => hooks.worker_exit(),
                    Some(name) => hooks.on_worker(name),
                };
                called.unwrap_or_else(|raised| raised.log());
                // Whoever does not wait any more need not be told.
                let _ = over.send(());
            }
        })?;
        Ok(Self { hooks, calls })
    }

    /// Has a hook called on the thread for that, and waits for it, but not for longer than `limit`.
    pub async fn call(&self, name: &'static str, limit: Duration) {
        if !self.hooks.has(name) {
            return;
        }
        let (over, is_over) = oneshot::channel();
        if self.calls.send((Some(name), over)).is_ok() && time::timeout(limit, is_over).await.is_err() {
            tracing::warn!("The hook {name} takes longer than {limit:?}, and is not waited for.");
        }
    }

    /// Has a hook called, and does not wait for it.
    pub fn call_soon(&self, name: &'static str) {
        if self.hooks.has(name) {
            // The thread lives as long as the process.
            let _ = self.calls.send((Some(name), oneshot::channel().0));
        }
    }

    /// Calls `worker_exit` here, unless that was done already, and after what a signal has called.
    pub fn exit(&self) {
        if self.hooks.has("worker_int") {
            let (over, is_over) = oneshot::channel();
            // The thread lives as long as the process. A hook that hangs is cut short from elsewhere.
            let _ = self.calls.send((None, over)).map(|()| is_over.blocking_recv());
        }
        self.hooks.worker_exit().unwrap_or_else(|raised| raised.log());
    }
}

impl std::ops::Deref for Hooks {
    type Target = python::Hooks;

    fn deref(&self) -> &python::Hooks {
        &self.hooks
    }
}
