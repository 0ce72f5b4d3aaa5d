//! Where an image can go.

pub mod engine;
pub mod host;
pub mod output;

pub use output::Output;
