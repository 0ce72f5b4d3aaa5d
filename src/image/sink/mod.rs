//! Where an image can go.

pub mod engine;
