//! What is kept of a request for its line in the access log, until its answer is sent.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::slot::Waiting;
use crate::{
    telemetry::access::{AccessLog, Record},
    wire, wsgi,
};

/// "Client closed request", nginx's status for an answer that never had one.
const CANCELLED: u16 = 499;

/// A line to be, of a request that its connection has.
pub struct LogEntry {
    status: u16,
    started: Option<Instant>,
    response_fields: Vec<Option<Vec<u8>>>,
}

/// A line to be, and the request.
pub struct OwnEntry {
    entry: LogEntry,
    log: Arc<AccessLog>,
    remote_addr: Option<Arc<str>>,
    request: Arc<wire::Head>,
    /// Where the app leaves what the line needs, until its answer ends.
    notes: Option<Waiting>,
}

impl OwnEntry {
    /// A request has come.
    pub fn new(log: &Arc<AccessLog>, remote_addr: Option<Arc<str>>, request: &Arc<wire::Head>) -> Self {
        let entry = LogEntry::new(log);
        Self { entry, log: Arc::clone(log), remote_addr, request: Arc::clone(request), notes: None }
    }

    /// The answer has come through this slot.
    pub fn came(&mut self, waiting: Waiting) {
        self.notes = Some(waiting);
    }

    /// This is the head of the answer.
    pub fn answered(&mut self, head: &wsgi::Head) {
        self.entry.answered(&self.log, head);
    }

    /// The client does not wait for an answer any more.
    pub fn cancelled(&mut self) {
        self.write(0);
    }

    /// The answer is sent, with so many bytes in its body.
    pub fn write(&self, sent: u64) {
        let notes = self.notes.as_ref().map(Waiting::notes).unwrap_or_default();
        self.entry.write(&self.log, self.remote_addr.as_deref(), &self.request, sent, &notes);
    }
}

impl LogEntry {
    /// A request has come.
    pub fn new(log: &AccessLog) -> Self {
        let started = log.needs().duration.then(Instant::now);
        Self { status: CANCELLED, started, response_fields: Vec::new() }
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

    /// The answer is sent, with so many bytes in its body; these are the variables as the app left them.
    pub fn write(
        &self,
        log: &AccessLog,
        remote_addr: Option<&str>,
        request: &wire::Head,
        sent: u64,
        variables: &[Option<Vec<u8>>],
    ) {
        let fields = &log.needs().request_fields;
        // The usual ones have room here.
        let (mut few, mut many) = ([None; 8], Vec::new());
        let request_fields = if let Some(few) = few.get_mut(..fields.len()) {
            few
        } else {
            many.resize(fields.len(), None);
            &mut many[..]
        };
        log.needs().take(request.fields.iter(), request_fields);
        let response_fields: Vec<_> = self.response_fields.iter().map(Option::as_deref).collect();
        let variables: Vec<_> = variables.iter().map(Option::as_deref).collect();
        let line = request.line();
        log.write(&Record {
            time: log.now(),
            remote_addr: remote_addr.map(str::as_bytes),
            method: line.method,
            target: line.target,
            query: if log.needs().query { line.query } else { b"" },
            version: request.version,
            status: self.status,
            sent,
            duration: self.started.map_or(Duration::ZERO, |started| started.elapsed()),
            request_fields,
            response_fields: &response_fields,
            variables: &variables,
        });
    }
}
