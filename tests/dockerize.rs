//! `rwsgi dockerize` against the real Docker Engine: what it makes, what works in it, and how it fails.

mod engine;
mod failures;
mod finding;
mod folder;
mod image;
mod inside;
