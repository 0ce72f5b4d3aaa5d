//! Safe wrappers over what the operating system offers and the standard library does not.
#![expect(unsafe_code, reason = "the operating system's own interface lives here and nowhere else")]

mod apart;
mod daemon;
mod descriptors;
mod process;
mod signals;

pub use apart::{Apart, run_apart};
pub use daemon::{User, become_daemon, become_user, set_process_name};
pub use descriptors::{adopt, redirect_output, replace, set_nonblocking, spawn_with, wait_readable};
pub use process::{Fork, adopt_orphans, exit_now, fork, is_alive, kill_group, reap, send, set_umask, set_variable};
pub use signals::{ABORT, Pending, Signal, disregard, dump_signal, ignore, restore, send_to_self};
