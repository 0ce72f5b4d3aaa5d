//! What HTTP/2 may do, as typed values.

use super::{resolve::Merged, sources::Origin};
use crate::exit::Fatal;

/// What connections of HTTP/2 may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Http2 {
    /// Whether a proxy that is believed may begin it without TLS, and then must (`http2_cleartext`).
    pub cleartext: bool,
    /// `http2_max_concurrent_streams`.
    pub max_concurrent_streams: u32,
    /// `http2_initial_window_size`, in bytes.
    pub initial_window_size: u32,
    /// `http2_max_frame_size`, in bytes.
    pub max_frame_size: u32,
    /// `http2_max_header_list_size`, in bytes.
    pub max_header_list_size: u32,
}

/// What windows and lists may be at most (RFC 9113 section 6.9.1).
const LARGEST: u32 = (1 << 31) - 1;

impl Merged {
    /// The versions of HTTP that TLS offers, in their order.
    ///
    /// # Errors
    /// One that is not spoken here, or that is named twice.
    pub(super) fn http_protocols(&self) -> Result<Vec<String>, Fatal> {
        let mut protocols: Vec<String> = Vec::new();
        for protocol in self.value("http_protocols").texts() {
            let protocol = protocol.to_ascii_lowercase();
            if protocol != "h1" && protocol != "h2" {
                return Err(self.invalid("http_protocols", "has a version that is neither h1 nor h2"));
            }
            if protocols.contains(&protocol) {
                return Err(self.invalid("http_protocols", "names a version twice"));
            }
            protocols.push(protocol);
        }
        Ok(if protocols.is_empty() { vec!["h1".to_owned()] } else { protocols })
    }

    /// None where HTTP/2 is not spoken.
    ///
    /// # Errors
    /// A number that HTTP/2 does not allow, or a way to begin it that is not there.
    pub(super) fn http2(&self) -> Result<Option<Http2>, Fatal> {
        let within = |name: &'static str, least: u32, most: u32, error: &str| {
            let number = u32::try_from(self.number(name)).unwrap_or(u32::MAX);
            if (least..=most).contains(&number) { Ok(number) } else { Err(self.invalid(name, error)) }
        };
        let cleartext = self.text("http2_cleartext").unwrap_or_default();
        if matches!(cleartext.as_str(), "upgrade" | "both") {
            return Err(Fatal::new(format!(
                "{} asks for HTTP/2 by an upgrade from HTTP/1, which RFC 9113 has abolished and which is not spoken here. \
                 Use prior-knowledge, and let the proxy begin with HTTP/2.",
                self.shown("http2_cleartext")
            )));
        }
        let settings = Http2 {
            cleartext: cleartext == "prior-knowledge",
            max_concurrent_streams: within(
                "http2_max_concurrent_streams",
                1,
                u32::MAX,
                "is not a whole number from 1",
            )?,
            initial_window_size: within("http2_initial_window_size", 0, LARGEST, "is more than 2147483647")?,
            max_frame_size: within("http2_max_frame_size", 16_384, 16_777_215, "is not between 16384 and 16777215")?,
            max_header_list_size: match within("http2_max_header_list_size", 0, u32::MAX, "is too large")? {
                // As gunicorn has it: no limit.
                0 => LARGEST,
                size => size,
            },
        };
        let spoken = self.http_protocols()?.iter().any(|protocol| protocol == "h2");
        if settings.cleartext && !spoken && !matches!(self.origin("http2_cleartext"), Origin::Default) {
            return Err(Fatal::new(format!(
                "{} has an effect only where HTTP/2 is spoken. Add --http-protocols h2,h1.",
                self.shown("http2_cleartext")
            )));
        }
        Ok(spoken.then_some(settings))
    }
}
