//! HTTP on tokio: connections, requests and answers. HTTP/1 is spoken here, since nothing that reads it for others is as
//! strict as [`wire`](crate::wire) is; the frames of HTTP/2 are h2's. Knows no Python; it hands requests to a
//! [`wsgi::App`](crate::wsgi::App).

mod buffer;
mod connection;
mod gathered;
mod high_water;
mod http1;
mod http2;
mod log_entry;
mod outgoing;
mod parcel;
mod patience;
mod rate;
mod request_body;
mod responder;
mod room;
mod server;
mod slot;
mod socket;
mod spool;
mod tls;

pub use http2::read_head;
pub use server::Server;
