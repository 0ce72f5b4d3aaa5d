//! rwsgi serves WSGI apps from an embedded CPython, and packages them into slim container images.
//!
//! The modules stand in rows, and each uses only rows below its own, which `tests/layers.rs` reads here and sees to.
//! `worker` joins `http` and `python` to serve; `image` joins what is below it to package. Only `cli` prints to the terminal.
//!
//! ```text
//! 9  cli
//! 8                            image
//! 7                            image::build, image::sink
//! 6                            image::dependencies, image::oci
//! 5  arbiter, worker           image::contents, image::project
//! 4  http, python              image::choices, image::interpreter
//! 3  health, telemetry, wsgi   image::cache, image::elf
//! 2  net, wire                 image::filter, image::layer
//! 1  link, settings            image::job
//! 0  exit, sys
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
