//! Everything that needs the real program: one crate, so that it is linked once.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing where something must be has failed")]

mod support;

mod connections;
mod httpbin;
mod layers;
mod lint;
mod logs;
mod readme;
mod serve;
mod signals;
mod smoke;
mod wsgi;
