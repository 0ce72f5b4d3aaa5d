//! What every step of a build has: a way to tell how far it is and to be told to stop, other programs, and room on the disk.

pub mod child;
pub mod disk;
pub mod progress;
pub mod recording;
pub mod work;
