//! Every setting of the server: one table, and the typed values that the rest of the program reads.
//!
//! The table says what can be set and what it means; `resolve` turns what was given, and where, into [`Settings`], or
//! says what is wrong with it. Reading the command line, the environment and the configuration file is the `cli`'s.

mod address;
mod check;
mod clients;
mod http2;
mod requests;
mod resolve;
mod setting;
mod sources;
pub mod standard;
mod table;
mod value;
mod worker_class;

pub use address::{Address, Syslog, SyslogAddress};
pub use clients::{Clients, Tls};
pub use http2::Http2;
pub use requests::{HeaderMap, Networks, ProxyProtocol, RequestRules};
pub use resolve::{Level, LogFormat, Settings};
pub use setting::{Kind, Setting, Standing};
pub use sources::{CMD_ARGS, CmdArgs, ConfigFile, Given, Location, Machine, Sources, Surroundings};
pub use table::{SECTIONS, Section, all, find};
pub use value::Value;
