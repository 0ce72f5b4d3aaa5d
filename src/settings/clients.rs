//! What clients may do, and what they find, as typed values.

use std::{path::PathBuf, time::Duration};

use super::{Http2, Networks, ProxyProtocol, RequestRules, Value, resolve::Merged, sources::Origin};
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
}
