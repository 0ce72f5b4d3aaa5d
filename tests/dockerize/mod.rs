//! `rwsgi dockerize` against the real Docker Engine: what it makes, what works in it, and how it fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod app_detection;
mod cache;
mod choices;
mod copy;
mod dockerignore;
mod engine;
mod engines;
mod failures;
mod folder;
mod from_venv;
mod health;
mod image;
mod inside;
mod outputs;
mod progress;
mod project_files;
mod refusals;
mod requirements;
mod secrets;
mod slim;
mod volumes;
