//! PEP 3333 as plain functions and types: no socket, no interpreter.
//!
//! `http` hands a [`Call`] to an [`App`]; `python` answers it. The two meet only here.

mod app;
mod environ;
mod exchange;
mod input;
mod response;

pub use app::{App, BodyError, BodyReader, Call, CallSource, Gone, Notes, Request, Responder};
pub use environ::{Environ, Key, Origin, SERVER_SOFTWARE, fill, mount};
pub use exchange::{Exchange, ExchangeError, Flow};
pub use input::Input;
pub use response::{Head, HeadError, HeadWriter};
