//! What the server says while it runs: the error log and the access log, in gunicorn's formats.

pub mod access;
pub mod error_log;
