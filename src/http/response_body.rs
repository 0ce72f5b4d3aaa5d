//! The connection's end of an answer: the body that hyper sends, and the line in the access log once it is sent.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::{
    StatusCode,
    body::{Body, Frame, SizeHint},
    header::{self, HeaderValue},
};
use jiff::ZonedDateTime;

use super::{
    connection::Running,
    responder::{AnswerBody, Piece},
};
use crate::{
    telemetry::access::{self, AccessLog, Record},
    wsgi,
};

/// The body of a response.
pub struct ResponseBody {
    kind: Kind,
    /// The app broke off, and hyper has been given a turn to send what came before.
    broken: bool,
    sent: u64,
    log: Option<LogEntry>,
    /// The request that this answers, which runs until its answer is sent.
    pub running: Option<Running>,
}

enum Kind {
    /// None belongs to this answer, whatever its Content-Length says.
    Absent,
    Whole(Option<Bytes>),
    Pieces(tokio::sync::mpsc::Receiver<Piece>),
}

/// The app broke off: the connection must be cut, so that what was sent is not taken for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the app broke off its answer")]
pub struct BrokenOff;

impl ResponseBody {
    pub fn new(body: AnswerBody, has_body: bool, log: Option<LogEntry>) -> Self {
        let kind = match body {
            _ if !has_body => Kind::Absent,
            AnswerBody::Whole(bytes) => Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
            AnswerBody::Pieces(pieces) => Kind::Pieces(pieces),
        };
        Self { kind, broken: false, sent: 0, log, running: None }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let piece = match &mut self.kind {
            Kind::Absent => None,
            Kind::Whole(bytes) => bytes.take(),
            Kind::Pieces(pieces) => match ready!(pieces.poll_recv(context)) {
                Some(Piece::Data(bytes)) => Some(bytes),
                Some(Piece::End) => None,
                // An error makes hyper drop what it has not sent yet, the head with it. It sends when there is nothing
                // to poll for, so it gets one turn of that first.
                None if !self.broken => {
                    self.broken = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => return Poll::Ready(Some(Err(BrokenOff))),
            },
        };
        self.sent += piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Absent | Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            // hyper would announce a Content-Length of 0 for an exact hint.
            Kind::Absent | Kind::Pieces(_) => SizeHint::default(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.write(self.sent);
        }
    }
}

/// What the access log will say of a request, kept until its answer is sent.
pub struct LogEntry {
    log: Arc<AccessLog>,
    remote_addr: Option<IpAddr>,
    method: hyper::Method,
    target: String,
    protocol: &'static str,
    status: u16,
    authorization: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl LogEntry {
    pub fn new(log: Arc<AccessLog>, peer: Option<(IpAddr, u16)>, parts: &http::request::Parts) -> Self {
        let field = |name| parts.headers.get(name).cloned();
        Self {
            log,
            remote_addr: peer.map(|(address, _)| address),
            method: parts.method.clone(),
            target: wsgi::raw_uri(&parts.uri).into_owned(),
            protocol: wsgi::protocol(parts.version),
            status: 0,
            authorization: field(header::AUTHORIZATION),
            referer: field(header::REFERER),
            user_agent: field(header::USER_AGENT),
        }
    }

    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    fn write(&self, sent: u64) {
        let remote_addr = self.remote_addr.map(|address| address.to_canonical().to_string()).unwrap_or_default();
        let record = Record {
            remote_addr: &remote_addr,
            authorization: self.authorization.as_ref().map(HeaderValue::as_bytes),
            method: self.method.as_str(),
            target: self.target.as_bytes(),
            protocol: self.protocol,
            status: self.status,
            sent,
            referer: self.referer.as_ref().map(HeaderValue::as_bytes),
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
        };
        self.log.write(&access::format(&record, &ZonedDateTime::now()));
    }
}
