//! What tests are made of: an environment of Python packages, a running server, and clients.

pub mod client;
pub mod environment;
pub mod httpbin;
pub mod load;
pub mod process;
pub mod server;

pub use client::Client;
pub use load::Load;
pub use server::{Builder, Server};
