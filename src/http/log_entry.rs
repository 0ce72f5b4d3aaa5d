//! What is kept of a request for its line in the access log, until its answer is sent.

use std::{
    cell::Cell,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    telemetry::access::{AccessLog, Record},
    wire::{self, Version},
    wsgi::{self, Notes},
};

/// A line to be, of a request that its connection has.
pub struct LogEntry {
    remote_addr: Option<IpAddr>,
    status: u16,
    started: Option<Instant>,
    response_fields: Vec<Option<Vec<u8>>>,
    notes: Option<Arc<Notes>>,
}

/// A line to be, and the request.
pub struct OwnEntry {
    entry: LogEntry,
    log: Arc<AccessLog>,
    request: Arc<wire::Head>,
}

thread_local! {
    /// Notes that are not needed any more, for the next request.
    static SPARE: Cell<Option<Arc<Notes>>> = const { Cell::new(None) };
}

impl Drop for LogEntry {
    fn drop(&mut self) {
        if let Some(mut notes) = self.notes.take()
            && let Some(only) = Arc::get_mut(&mut notes)
        {
            only.clear();
            SPARE.set(Some(notes));
        }
    }
}

impl OwnEntry {
    /// A request has come.
    pub fn new(log: &Arc<AccessLog>, remote_addr: Option<IpAddr>, request: &Arc<wire::Head>) -> Self {
        Self { entry: LogEntry::new(log, remote_addr), log: Arc::clone(log), request: Arc::clone(request) }
    }

    /// Where the app's side leaves the variables that the line needs.
    pub fn notes(&self) -> Option<Arc<Notes>> {
        self.entry.notes()
    }

    /// This is the head of the answer.
    pub fn answered(&mut self, head: &wsgi::Head) {
        self.entry.answered(&self.log, head);
    }

    /// The answer is sent, with so many bytes in its body.
    pub fn write(&self, sent: u64) {
        self.entry.write(&self.log, &self.request, sent);
    }
}

impl LogEntry {
    /// A request has come.
    pub fn new(log: &AccessLog, remote_addr: Option<IpAddr>) -> Self {
        let needs = log.needs();
        Self {
            remote_addr,
            status: 0,
            started: needs.duration.then(Instant::now),
            response_fields: Vec::new(),
            notes: (!needs.variables.is_empty()).then(|| SPARE.take().unwrap_or_default()),
        }
    }

    /// Where the app's side leaves the variables that the line needs.
    pub fn notes(&self) -> Option<Arc<Notes>> {
        self.notes.clone()
    }

    /// This is the head of the answer.
    pub fn answered(&mut self, log: &AccessLog, head: &wsgi::Head) {
        self.status = head.status.as_u16();
        let value = |name: &String| match (head.fields.all(name).next_back(), head.content_length) {
            (Some(value), _) => Some(value.to_vec()),
            (None, Some(length)) if name == "content-length" => Some(length.to_string().into_bytes()),
            (None, _) => None,
        };
        self.response_fields = log.needs().response_fields.iter().map(value).collect();
    }

    /// The answer is sent, with so many bytes in its body.
    pub fn write(&self, log: &AccessLog, request: &wire::Head, sent: u64) {
        let variables = self.notes.as_ref().map(|notes| notes.take()).unwrap_or_default();
        let fields = &log.needs().request_fields;
        // The usual ones have room here.
        let (mut few, mut many) = ([None; 8], Vec::new());
        let request_fields = if let Some(few) = few.get_mut(..fields.len()) {
            few
        } else {
            many.resize(fields.len(), None);
            &mut many[..]
        };
        for field in request.fields.iter() {
            for (value, name) in request_fields.iter_mut().zip(fields) {
                // Of a field that is repeated, the last.
                if field.is(name) {
                    *value = Some(field.value);
                }
            }
        }
        let response_fields: Vec<_> = self.response_fields.iter().map(Option::as_deref).collect();
        let line = request.line();
        let odd;
        let protocol = match request.version {
            Version::HTTP_11 => "HTTP/1.1",
            version => {
                odd = version.to_string();
                &odd
            }
        };
        log.write(&Record {
            remote_addr: self.remote_addr,
            method: line.method,
            target: line.target,
            query: line.query,
            protocol,
            status: self.status,
            sent,
            duration: self.started.map_or(Duration::ZERO, |started| started.elapsed()),
            request_fields,
            response_fields: &response_fields,
            variables: &variables,
        });
    }
}
