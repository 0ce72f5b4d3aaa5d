//! What is kept of a request for its line in the access log, until its answer is sent: what the log needs, no more.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::{
    telemetry::access::{AccessLog, Record},
    wsgi::{self, Notes},
};

/// A line to be.
pub struct LogEntry {
    log: Arc<AccessLog>,
    remote_addr: Option<IpAddr>,
    method: Method,
    uri: Uri,
    protocol: &'static str,
    status: u16,
    started: Option<Instant>,
    request_fields: Vec<Option<HeaderValue>>,
    response_fields: Vec<Option<HeaderValue>>,
    notes: Option<Arc<Notes>>,
}

impl LogEntry {
    /// A request has come.
    pub fn new(log: &Arc<AccessLog>, peer: Option<(IpAddr, u16)>, parts: &http::request::Parts) -> Box<Self> {
        let needs = log.needs();
        Box::new(Self {
            log: Arc::clone(log),
            remote_addr: peer.map(|(address, _)| address),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            protocol: wsgi::protocol(parts.version),
            status: 0,
            started: needs.duration.then(Instant::now),
            request_fields: fields(&needs.request_fields, &parts.headers),
            response_fields: Vec::new(),
            notes: (!needs.variables.is_empty()).then(Arc::default),
        })
    }

    /// Where the app's side leaves the variables that the line needs.
    pub fn notes(&self) -> Option<Arc<Notes>> {
        self.notes.clone()
    }

    /// This is the head of the answer.
    pub fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.status = status.as_u16();
        self.response_fields = fields(&self.log.needs().response_fields, headers);
    }

    /// The answer is sent, with so many bytes in its body.
    pub fn write(&self, sent: u64) {
        let variables = self.notes.as_ref().map(|notes| notes.take()).unwrap_or_default();
        self.log.write(&Record {
            remote_addr: self.remote_addr,
            method: self.method.as_str(),
            target: &wsgi::raw_uri(&self.uri),
            query: self.uri.query().unwrap_or_default(),
            protocol: self.protocol,
            status: self.status,
            sent,
            duration: self.started.map_or(Duration::ZERO, |started| started.elapsed()),
            request_fields: &self.request_fields,
            response_fields: &self.response_fields,
            variables: &variables,
        });
    }
}

/// The values of these fields, of one that is repeated the last.
fn fields(names: &[HeaderName], headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
    names.iter().map(|name| headers.get_all(name).iter().next_back().cloned()).collect()
}
