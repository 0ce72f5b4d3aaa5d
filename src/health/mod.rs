//! Whether a server answers: one GET, as the health check of a container asks it.
//!
//! Any answer below 500 is a sign of life: an app that wants a password or redirects is well. Certificates are not looked at,
//! because nobody issues one for the inside of a container.

mod http2;
pub mod place;
mod question;
pub mod servers;
mod timed;
mod tls;

use std::time::{Duration, Instant};

use place::{Place, Scheme};
use question::Reply;
use timed::Timed;

use crate::exit::Fatal;

/// What is asked, and where.
#[derive(Debug)]
pub struct Question {
    /// Where the server is.
    pub place: Place,
    /// How it is spoken to. Unknown, it is plain HTTP, unless the server says that it wants TLS. In the clear that is
    /// HTTP/1, unless the server says that it wants HTTP/2.
    pub scheme: Option<Scheme>,
    /// The request's target.
    pub path: String,
    /// For everything from connecting to the head of the answer.
    pub timeout: Duration,
}

/// A sign of life.
#[derive(Debug)]
pub struct Sign {
    /// What was answered: `200 OK`.
    pub status: String,
    /// How long it took.
    pub time: Duration,
}

impl Question {
    /// Asks.
    ///
    /// # Errors
    /// The server does not answer, or with a status of 500 or above.
    pub fn ask(&self) -> Result<Sign, Fatal> {
        let begun = Instant::now();
        let outcome = match self.scheme {
            Some(scheme) => self.put(scheme, begun),
            None => match self.put(Scheme::Http, begun) {
                Ok(Reply::WantsTls) => self.put(Scheme::Https, begun),
                other => other,
            },
        };
        let outcome = match outcome {
            Ok(Reply::WantsHttp2) => Timed::connect(&self.place, begun + self.timeout)
                .and_then(|stream| http2::put(stream, &self.place, &self.path)),
            other => other,
        };
        let (place, path) = (&self.place, &self.path);
        match outcome {
            Ok(Reply::Answer { code, status }) if code < 500 => Ok(Sign { status, time: begun.elapsed() }),
            Ok(Reply::Answer { status, .. }) => {
                Err(Fatal::new(format!("Unhealthy: {place} answers GET {path} with {status}. See the server's log.")))
            }
            Ok(Reply::WantsTls) => Err(Fatal::new(format!("Unhealthy: {place} speaks TLS. Ask it by https."))),
            Ok(Reply::WantsHttp2) => Err(Fatal::new(format!("Unhealthy: {place} takes neither HTTP/1 nor HTTP/2."))),
            Err(error) => Err(Fatal::new(format!("Unhealthy: {place} {}.", self.why(&error)))),
        }
    }

    fn put(&self, scheme: Scheme, begun: Instant) -> std::io::Result<Reply> {
        let mut stream = Timed::connect(&self.place, begun + self.timeout)?;
        match scheme {
            Scheme::Http => question::put(&mut stream, &self.place, &self.path),
            Scheme::Https => match tls::begin(stream, &self.place) {
                Ok(mut stream) => question::put(&mut stream, &self.place, &self.path)
                    .or_else(|error| if tls::wants_certificate(&error) { Ok(Reply::locked()) } else { Err(error) }),
                Err(error) if tls::wants_certificate(&error) => Ok(Reply::locked()),
                Err(error) => Err(error),
            },
        }
    }

    fn why(&self, error: &std::io::Error) -> String {
        use std::io::ErrorKind::{ConnectionRefused, NotFound, TimedOut, WouldBlock};
        match error.kind() {
            TimedOut => format!("did not answer GET {} within {} s", self.path, self.timeout.as_secs_f64()),
            ConnectionRefused | NotFound => "is not listened at".to_owned(),
            WouldBlock => "has more connections waiting than it takes".to_owned(),
            _ => format!("cannot be asked: {error}"),
        }
    }
}
