//! What signals do to the arbiter, and through it to the workers.

use super::{Arbiter, Event, Program};
use crate::{
    link::Command,
    net::Listener,
    sys::{self, Signal},
};

impl<P: Program> Arbiter<P> {
    /// A signal has come.
    pub(super) fn signalled(&mut self, signal: Signal) -> Option<Event> {
        if signal == Signal::Chld {
            return None;
        }
        // Whoever sends it may know already that the arbiter before this one is gone.
        self.look_for_predecessor();
        tracing::info!("Handling signal: {}", signal.name());
        Some(match signal {
            // Whoever passes signals on may send it twice: to cut short what runs takes more than that (gunicorn).
            Signal::Term if self.stopping => return None,
            Signal::Int | Signal::Quit if self.stopping => {
                tracing::info!("Quick shutdown requested");
                Event::Quit
            }
            Signal::Term | Signal::Int => {
                if signal == Signal::Int {
                    self.pass_on_interrupt();
                }
                self.close();
                Event::Stop
            }
            // A new arbiter serves already (USR2), so there is no hurry that would be worth a request.
            Signal::Quit if self.successor.is_some() => {
                self.close();
                Event::Stop
            }
            Signal::Quit => {
                self.close();
                Event::Quit
            }
            Signal::Hup => return self.reload(),
            Signal::Ttin => Event::Increase,
            Signal::Ttou => Event::Decrease,
            Signal::Usr2 if self.stopping => {
                tracing::warn!("USR2 signal ignored. This server is about to end.");
                return None;
            }
            Signal::Usr2 => {
                self.upgrade();
                return None;
            }
            Signal::Winch if self.service.daemon => {
                tracing::info!("graceful stop of workers");
                Event::Dismiss
            }
            Signal::Winch => {
                tracing::debug!("SIGWINCH ignored. Not daemonized.");
                return None;
            }
            Signal::Usr1 => {
                self.service.program.reopen_logs();
                self.templates.tell_all(|_| Command::Reopen);
                self.supervisor.pids().for_each(|pid| sys::send(pid, Signal::Usr1));
                return None;
            }
            Signal::Chld | Signal::Kill => return None,
        })
    }

    /// Lets go of the listeners. The workers answer who is connected already; whoever comes later is refused as soon as
    /// they have, and may try another server.
    fn close(&mut self) {
        self.stopping = true;
        if !self.shares_sockets() {
            self.service.listeners.iter().for_each(Listener::end);
        }
        self.service.listeners.clear();
        self.end_templates();
        self.stopping();
    }
}
