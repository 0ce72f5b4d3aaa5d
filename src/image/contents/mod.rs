//! What is in an image: the base with the interpreter, the dependencies, the app, and what was asked for besides.

pub mod base;
pub mod bundled_tests;
pub mod busybox;
pub mod closure;
pub mod copies;
pub mod imports;
pub mod kept;
pub mod links;
pub mod packages;
pub mod stdlib;
pub mod tree;
