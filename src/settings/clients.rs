//! What clients may do, and what they find, as typed values.

use std::{path::PathBuf, time::Duration};

use super::{
    HeaderMap, Http2, Networks, ProxyProtocol, RequestRules, Value, requests, resolve::Merged, sources::Origin,
};
use crate::exit::Fatal;

/// What clients may do.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the table says what each setting is, under the same name")]
pub struct Clients {
    pub rules: RequestRules,
    /// `None` is as much as there is.
    pub limit_request_body: Option<u64>,
    /// `None` is for ever.
    pub header_timeout: Option<Duration>,
    /// Bytes a second; `None` is any rate.
    pub body_min_rate: Option<u64>,
    /// `None` is for ever.
    pub write_timeout: Option<Duration>,
    /// `None` is for ever.
    pub request_timeout: Option<Duration>,
    pub buffering: bool,
    pub tmp_upload_dir: PathBuf,
    pub sendfile: bool,
    pub keepalive: Duration,
    /// `None` is as many as there may be open files.
    pub worker_connections: Option<usize>,
    /// `None` is for ever.
    pub backlog_timeout: Option<Duration>,
    pub forwarded_allow_ips: Networks,
    pub proxy_protocol: ProxyProtocol,
    pub proxy_allow_ips: Networks,
    /// `None` is HTTP/1 only.
    pub http2: Option<Http2>,
}

impl Clients {
    /// Whether a proxy that is believed is to speak HTTP/2 without TLS.
    pub fn is_cleartext_http2(&self) -> bool {
        self.http2.is_some_and(|http2| http2.cleartext)
    }
}

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
    pub(super) fn clients(&self) -> Result<Clients, Fatal> {
        let seconds = |name| Some(self.seconds(name)).filter(|time| !time.is_zero());
        let is_given = |name| !matches!(self.origin(name), Origin::Default);
        Ok(Clients {
            rules: self.request_rules(),
            limit_request_body: Some(self.number("limit_request_body")).filter(|bytes| *bytes > 0),
            header_timeout: seconds("header_timeout"),
            body_min_rate: Some(self.number("body_min_rate")).filter(|rate| *rate > 0),
            write_timeout: seconds("write_timeout"),
            request_timeout: seconds("request_timeout"),
            buffering: self.flag("buffering"),
            tmp_upload_dir: self.text("tmp_upload_dir").map_or_else(std::env::temp_dir, PathBuf::from),
            sendfile: *self.value("sendfile") != Value::Flag(false),
            keepalive: self.seconds("keepalive"),
            worker_connections: is_given("worker_connections").then(|| self.size("worker_connections").max(1)),
            backlog_timeout: seconds("backlog_timeout"),
            forwarded_allow_ips: Networks::new(&self.value("forwarded_allow_ips").texts()),
            proxy_protocol: match self.text("proxy_protocol").as_deref() {
                Some("v1") => ProxyProtocol::V1,
                Some("v2") => ProxyProtocol::V2,
                Some("auto") => ProxyProtocol::Auto,
                _ => ProxyProtocol::Off,
            },
            proxy_allow_ips: Networks::new(&self.value("proxy_allow_ips").texts()),
            http2: self.http2()?,
        })
    }

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

    fn request_rules(&self) -> RequestRules {
        let secure = match self.value("secure_scheme_headers") {
            Value::Map(map) => map
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
                .collect(),
            _ => Vec::new(),
        };
        RequestRules {
            limit_line: match self.size("limit_request_line") {
                0 => None,
                limit => Some(limit.min(requests::MOST_LINE)),
            },
            limit_fields: match self.size("limit_request_fields") {
                0 => requests::MOST_FIELDS,
                limit => limit.min(requests::MOST_FIELDS),
            },
            limit_field_size: match self.size("limit_request_field_size") {
                0 => requests::FIELD_SIZE,
                limit => limit,
            },
            header_map: match self.text("header_map").as_deref() {
                Some("refuse") => HeaderMap::Refuse,
                Some("dangerous") => HeaderMap::Dangerous,
                _ => HeaderMap::Drop,
            },
            permit_obsolete_folding: self.flag("permit_obsolete_folding"),
            strip_header_spaces: self.flag("strip_header_spaces"),
            permit_unconventional_method: self.flag("permit_unconventional_http_method"),
            permit_unconventional_version: self.flag("permit_unconventional_http_version"),
            casefold_method: self.flag("casefold_http_method"),
            secure_scheme_headers: secure,
            forwarder_headers: self.value("forwarder_headers").texts(),
        }
    }
}
