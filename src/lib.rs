//! rwsgi serves WSGI apps from an embedded CPython, and packages them into slim container images.
//!
//! The modules stand in layers; each uses only rows below its own. This is the outline; `tests/layers.rs` has all rows, and
//! keeps it so.
//!
//! ```text
//! 4  cli          one short file a command; the only place that prints to the terminal
//! 3  arbiter      worker (joins http and python)   image (joins plan and sinks)
//! 2  http, python                              image sinks
//! 1  link, wsgi, telemetry, net, health              image project, plan, layers, closure, ignore
//! 0  wire, below it settings, and below that exit, sys
//! ```

pub mod arbiter;
pub mod cli;
pub mod exit;
pub mod health;
pub mod http;
pub mod image;
pub mod link;
pub mod net;
pub mod python;
pub mod settings;
pub mod sys;
pub mod telemetry;
pub mod wire;
pub mod worker;
pub mod wsgi;
