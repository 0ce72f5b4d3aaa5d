//! The embedded CPython: which environment it sees, how it starts, and how it calls a WSGI app.
//!
//! Knows neither sockets nor HTTP; the worker joins the two.

mod app;
#[expect(unsafe_code, reason = "starting, running and ending an interpreter have no safe interface in PyO3")]
mod capi;
pub mod command;
pub mod config;
mod embedded;
mod environ;
pub mod environment;
mod errors;
mod file_wrapper;
pub mod hooks;
mod input;
mod interpreter;
mod interrupt;
mod logger;
mod names;
mod start_response;
mod watched;

/// The version that rwsgi is built against, `major.minor`.
pub const VERSION: &str = env!("BUILD_PYTHON_VERSION");

pub use app::PyApp;
pub use capi::full_version;
pub use hooks::{Hooks, Raised};
pub use interpreter::{Interpreter, Sources, dump_stacks, release_memory, write_out};
pub use interrupt::Interrupt;
