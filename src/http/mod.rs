//! HTTP on tokio: connections, requests and answers. HTTP/1 is spoken here, since nothing that reads it for others is as
//! strict as [`wire`](crate::wire) is; the frames of HTTP/2 are h2's. Knows no Python; it hands requests to a
//! [`wsgi::App`](crate::wsgi::App).

mod body;
mod connection;
mod http1;
mod http2;
mod log_entry;
mod open;
mod responder;
mod server;
mod slot;
mod socket;
mod timer;
mod tls;

pub use http2::read_head;
pub use server::Server;
