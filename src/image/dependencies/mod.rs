//! The app's dependencies: where they are declared, and bringing them into a folder of our own, for the embedded Python.

mod declared;
mod environment;
mod explain;
mod groups;
mod install;
mod key;
mod leftovers;
mod lines;
mod locked;

pub use declared::Declared;
pub use install::{Installation, caches};
