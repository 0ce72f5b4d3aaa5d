//! Safe wrappers over what the operating system offers and the standard library does not.
#![expect(unsafe_code, reason = "the operating system's own interface lives here and nowhere else")]

mod process;
mod signals;

pub use process::{Fork, exit_now, fork, reap, send, set_nonblocking, set_umask, wait_readable};
pub use signals::{Pending, Signal};
pub use signals::{dump_signal, send_to_self};
