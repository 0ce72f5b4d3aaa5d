//! HTTP/1 on hyper and tokio: connections, requests and answers. Knows no Python; it hands requests to a
//! [`wsgi::App`](crate::wsgi::App).

mod connection;
mod log_entry;
mod request_body;
mod responder;
mod response_body;
mod server;

pub use server::Server;
