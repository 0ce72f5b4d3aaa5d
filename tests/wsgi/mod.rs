//! PEP 3333 as an app and a client see it, byte by byte on the wire.

mod answer;
mod body;
mod collector;
mod connection;
mod environ;
mod input;
mod lint;
