//! An image as the OCI image specification has it: its layers, the config of its containers, its labels, and the archive.

pub mod archive;
pub mod container;
pub mod created;
pub mod labels;
pub mod plan;
