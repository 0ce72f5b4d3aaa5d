//! Everything that needs the real program: one crate, so that it is linked once.
#![allow(clippy::print_stderr, reason = "a test that fails shows what its server said")]

mod support;

mod benches;
mod clients;
mod connections;
mod dockerize;
mod faults;
mod fuzz;
mod health;
mod hooks;
mod http;
mod http2;
mod httpbin;
mod layers;
mod processes;
mod readme;
mod serve;
mod settings;
mod smoke;
mod telemetry;
mod threads;
mod tls;
mod wire;
mod wsgi;
