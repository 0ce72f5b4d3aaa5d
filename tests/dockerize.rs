//! `rwsgi dockerize` against the real Docker Engine: what it makes, what works in it, and how it fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bringing;
mod caching;
mod choosing;
mod copying;
mod engine;
mod engines;
mod environment;
mod failures;
mod finding;
mod folder;
mod health;
mod ignoring;
mod image;
mod inside;
mod outputs;
mod requiring;
mod screening;
mod slimming;
mod telling;
mod writing;
