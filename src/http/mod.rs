//! HTTP on hyper and tokio: connections, requests and answers. Knows no Python; it hands requests to a
//! [`wsgi::App`](crate::wsgi::App).

mod connection;
mod desk;
mod gate;
mod http2;
mod log_entry;
mod outgoing;
mod parcel;
mod patience;
mod rate;
mod request_body;
mod responder;
mod response_body;
mod server;
mod socket;
mod spool;
mod tls;

pub use server::Server;
