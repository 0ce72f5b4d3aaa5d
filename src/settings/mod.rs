//! Every setting of the server: one table, and the typed values that the rest of the program reads.
//!
//! The table says what can be set and what it means; `resolve` turns what was given, and where, into [`Settings`], or
//! says what is wrong with it. Reading the command line, the environment and the configuration file is the `cli`'s.
//!
//! A new setting stands in three places: in its section of `table`, which makes it an option and a line of the README; in
//! the struct that it belongs to (`Settings`, or `clients`, `requests`, `http2`, `logs`, `tls`), which `resolve` fills in; and
//! where that is read.

mod check;
mod clients;
mod http2;
mod logs;
mod requests;
mod resolve;
mod setting;
mod sources;
pub mod standard;
mod table;
mod tls;
mod value;
mod worker_class;

pub use clients::Clients;
pub use http2::Http2;
pub use logs::{Address, Level, LogFormat, Syslog, SyslogAddress};
pub use requests::{HeaderMap, Networks, ProxyProtocol, RequestRules};
pub use resolve::Settings;
pub use setting::{Kind, Setting, Standing};
pub use sources::{CMD_ARGS, CmdArgs, ConfigFile, Given, Location, Machine, Sources, Surroundings};
pub use table::{SECTIONS, Section, all, find};
pub use tls::Tls;
pub use value::Value;
