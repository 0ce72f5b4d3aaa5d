//! The app's dependencies: where they are declared, and installing them for the embedded Python into a folder of our own.

mod declared;
mod explain;
mod install;
mod key;
mod lines;

pub use declared::Declared;
pub use install::install;
pub use key::key;
