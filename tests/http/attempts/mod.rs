//! What has been used, or could be, to make two servers read the same bytes in two ways, and what must become of it.

mod bodies;
mod ends;
mod fields;
mod framings;
mod lines;
mod streams;

pub use bodies::BODIES;
pub use ends::ENDS;
pub use fields::FIELDS;
pub use framings::FRAMINGS;
pub use lines::LINES;
pub use streams::STREAMS;

use super::smuggling::Fate::{self, Refused, Seen};

/// What stands behind each attempt. It is answered only where every reader agrees on where the attempt ends.
pub const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

const SECOND: &str = "GET /smuggled";
const BAD: Fate = Refused(400);
const GET: Fate = Seen(&["GET /", SECOND]);
const LENGTH: Fate = Seen(&["POST / CONTENT_LENGTH=3 abc", SECOND]);
const CHUNKED: Fate = Seen(&["POST / HTTP_TRANSFER_ENCODING=chunked abc", SECOND]);
const CHUNKS: &[u8] = b"3\r\nabc\r\n0\r\n\r\n";
