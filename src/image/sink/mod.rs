//! Where an image can go.

pub mod engine;
mod gzip;
pub mod host;
mod layout;
pub mod output;
mod part;

pub use output::Output;

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The image's id.
    pub id: String,
    /// The layers' lengths, where they were compressed.
    pub compressed: Vec<u64>,
}
