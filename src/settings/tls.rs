//! Certificates, as typed values.

use std::path::PathBuf;

use super::{resolve::Merged, sources::Origin};
use crate::exit::Fatal;

/// Certificates and keys.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the table says what each setting is, under the same name")]
pub struct Tls {
    pub certfile: PathBuf,
    pub keyfile: Option<PathBuf>,
    pub cert_reqs: u64,
    pub ca_certs: Option<PathBuf>,
    /// h1 and h2, in the order that they are preferred in.
    pub http_protocols: Vec<String>,
}

impl Merged {
    pub(super) fn tls(&self) -> Result<Option<Tls>, Fatal> {
        let file = |name| self.text(name).map(PathBuf::from);
        let cert_reqs = self.number("cert_reqs");
        if cert_reqs > 2 {
            return Err(self.invalid("cert_reqs", "is not 0, 1 or 2"));
        }
        if file("certfile").is_some() && *self.origin("ssl_context") != Origin::Default {
            // It may ask for more than the settings do, and nothing would.
            return Err(Fatal::new(format!(
                "{} cannot be called: TLS is done by rustls, and there is no SSLContext of Python's. Leave it out. TLS 1.2 and \
                 1.3 are spoken, with safe ciphers, and cert_reqs and ca_certs ask clients for certificates.",
                self.shown("ssl_context")
            )));
        }
        match (file("certfile"), file("keyfile")) {
            (Some(certfile), keyfile) => Ok(Some(Tls {
                certfile,
                keyfile,
                cert_reqs,
                ca_certs: file("ca_certs"),
                http_protocols: self.http_protocols()?,
            })),
            (None, Some(_)) => Err(Fatal::new(format!(
                "{} names a private key without a certificate. Name that with --certfile.",
                self.shown("keyfile")
            ))),
            (None, None) => Ok(None),
        }
    }
}
