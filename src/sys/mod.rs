//! Safe wrappers over what the operating system offers and the standard library does not.
#![expect(unsafe_code, reason = "the operating system's own interface lives here and nowhere else")]

mod apart;
mod daemon;
mod descriptors;
mod process;
mod signals;

pub use apart::{Apart, run_apart};
pub use daemon::{User, become_daemon, become_user, set_process_name};
pub use descriptors::{
    adopt, duplicate, redirect_output, replace, send_file, set_nonblocking, spawn_with, wait_readable,
};
pub use process::{Fork, adopt_orphans, exit_now, fork, is_alive, kill_group, reap, send, set_umask, set_variable};
pub use signals::{Pending, Signal, dump_signal, ignore, send_to_self};
