//! Safe wrappers over what the operating system offers and the standard library does not.
#![expect(unsafe_code, reason = "the operating system's own interface lives here and nowhere else")]

mod allocator;
mod apart;
mod changes;
mod clock;
mod daemon;
mod descriptors;
mod directory;
mod forks;
mod memory;
mod process;
mod signals;
mod title;

pub use apart::{Apart, run_apart};
pub use changes::Changes;
pub use clock::{LocalTime, coarse_clock, coarse_time, local_time, monotonic_clock};
pub use daemon::{User, become_daemon, become_user, set_process_name};
pub use descriptors::{
    adopt, discard, disconnect, duplicate, most_files, peek, redirect_output, replace, send_file, set_nonblocking,
    spawn_with, undelivered, wait_readable, waiting_connections,
};
pub use directory::Directory;
pub use forks::{around_forks, forks};
pub use memory::memory_limit;
pub use process::{
    Fork, adopt_orphans, die_with_parent, executed, exit_now, fork, is_alive, is_main_thread, kill_group,
    note_foreign_threads, reap, release_memory, remove_variable, send, set_umask, set_variable,
};
pub use signals::{
    ABORT, Handlers, Pending, Signal, disregard, disregard_dumps, dump_signal, ignore, restore, restore_faults,
    send_to_self, signal_name, take_back,
};
pub use title::set_title;
