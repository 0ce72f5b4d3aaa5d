//! Why a request is refused, and the page that says so.

use std::fmt;

/// A request that is not answered by the app. Nothing of what was sent is in it, so it can be shown and logged as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The status that tells the client: gunicorn's, where gunicorn has one.
    pub status: u16,
    /// The reason, in words.
    pub why: &'static str,
}

/// What is said to a client that does not speak TLS where nothing else is spoken, by which a health check learns of it.
pub const TLS_WANTED: &str = "This port speaks TLS: use https";

/// What is said to a client that does not speak HTTP/2 where nothing else is spoken, by which a health check learns of it.
pub const HTTP2_WANTED: &str = "HTTP/2 is expected from this address, from its first byte on";

/// The User-Agent of a health check, which a server does not log where it is no more than such a lesson.
pub const HEALTHCHECK: &str = concat!("rwsgi-healthcheck/", env!("CARGO_PKG_VERSION"));

impl Refusal {
    /// The request is not HTTP as RFC 9112 has it.
    pub const fn bad(why: &'static str) -> Self {
        Self { status: 400, why }
    }

    /// A refusal with another status.
    pub const fn new(status: u16, why: &'static str) -> Self {
        Self { status, why }
    }

    /// What stands behind the status in the first line.
    pub fn reason(&self) -> &'static str {
        // gunicorn calls a 501 and this 500 a bad request, too; here a status has its own name.
        http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
    }

    /// The whole answer: gunicorn's page, on a connection that ends with it.
    pub fn answer(&self) -> Vec<u8> {
        let (status, reason, why) = (self.status, self.reason(), self.why);
        let page = page(reason, why);
        let answer = format!(
            "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n\
             {page}",
            page.len()
        );
        answer.into_bytes()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.why, self.status)
    }
}

impl std::error::Error for Refusal {}

/// gunicorn's page for errors.
pub fn page(reason: &str, why: &str) -> String {
    format!(
        "<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n    <h1><p>{reason}</p></h1>\n    {why}\n  \
         </body>\n</html>\n"
    )
}
