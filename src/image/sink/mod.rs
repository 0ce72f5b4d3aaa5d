//! Where an image can go.

pub mod engine;
mod gzip;
pub mod host;
pub mod output;
mod part;

pub use output::Output;
