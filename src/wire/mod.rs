//! HTTP/1.1 as bytes: reading heads and chunks as strictly as RFC 9112 says, and writing heads. No I/O.
//!
//! What two servers could read differently is refused here, with gunicorn's status, before anything else sees it.

mod chunks;
mod fields;
mod framing;
mod head;
mod policy;
mod proxy;
mod refusal;
mod response;
mod scanner;
mod syntax;
mod target;

pub use chunks::{Chunks, Trailers};
pub use fields::{Field, Fields, FieldsWriter};
pub use framing::Framing;
pub use head::{Head, Line, Version};
pub use policy::Trust;
pub use proxy::{Proxied, ProxyHeader};
pub use refusal::{HEALTHCHECK, HTTP2_WANTED, Refusal, TLS_WANTED, page};
pub use response::{Connection, write_date, write_head};
pub use scanner::Scanner;
pub use syntax::{is_token, is_value};
