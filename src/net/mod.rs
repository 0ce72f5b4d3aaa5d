//! Where the server listens: addresses as gunicorn writes them, and the sockets behind them.
//!
//! Opens and closes listeners; what comes in through them is `http`'s.

mod bind;
mod listener;
pub mod systemd;
pub mod tls;

pub use bind::Bind;
pub use listener::{Address, Listener, Options, Socket, refuse};
