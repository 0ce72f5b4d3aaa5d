//! One connection: each of its requests becomes a call to the app, and the app's answer a response.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{Request, Response, StatusCode, body::Incoming, header};
use tokio::sync::{oneshot, watch};

use super::{
    log_entry::LogEntry,
    request_body::RequestBody,
    responder::{Answer, ChannelResponder},
    response_body::ResponseBody,
};
use crate::{
    telemetry::access::AccessLog,
    wsgi::{self, App, Call, Head, Origin},
};

/// How often it is looked whether a connection has ended what it was at.
const LOOK: Duration = Duration::from_millis(10);

/// What the requests of a connection have in common.
#[derive(Clone)]
pub struct Connection {
    pub app: Arc<dyn App>,
    pub origin: Arc<Origin>,
    pub peer: Option<(IpAddr, u16)>,
    pub access_log: Option<Arc<AccessLog>>,
    /// How far the server is in stopping.
    pub stop: watch::Receiver<Stop>,
    /// Requests that the app has, or whose answer is on its way.
    pub running: Arc<AtomicUsize>,
}

/// How far a server is in stopping.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd)]
pub enum Stop {
    /// It serves.
    Not,
    /// It accepts no connection, and answers every request that comes on those that there are.
    Begun,
    /// It answers the requests that are complete, and waits for no other.
    Cut,
}

/// A request that the app has, or whose answer is on its way, for as long as this lives.
pub struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Returns when the server waits for no further request, and this connection has none that is complete. A client
    /// that never gets its request across must not keep a server from ending.
    pub async fn cut(&self) {
        let mut stop = self.stop.clone();
        // A server that is gone without a word has nothing to wait for either.
        let _ = stop.wait_for(|stop| *stop == Stop::Cut).await;
        while self.running.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says why a connection broke, where that was not simply the client's leaving.
    pub fn ended(&self, error: &hyper::Error) {
        let address = self.peer.map_or_else(|| "unix".to_owned(), |(address, _)| address.to_string());
        if error.is_parse() {
            tracing::warn!("Invalid request from ip={address}: {error}");
        } else {
            tracing::debug!("Connection from ip={address} ended: {error}");
        }
    }
}

/// Answers one request.
pub async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (parts, incoming) = request.into_parts();
    let log = connection.access_log.as_ref().map(|log| LogEntry::new(log, connection.peer, &parts));
    let head_request = parts.method == hyper::Method::HEAD;
    let body = match RequestBody::receive(incoming).await {
        Ok(body) => body,
        Err(error) => {
            // The framing is lost, so the connection cannot be used again.
            tracing::debug!("{error}");
            let (head, page) = Head::error_page(StatusCode::BAD_REQUEST);
            let mut response = respond(Answer::complete(head, page), head_request, log);
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
            return Ok(logged(response));
        }
    };
    let running = Running::new(&connection.running);
    let notes = log.as_ref().and_then(|log| log.notes());
    let (sender, answer) = oneshot::channel();
    connection.app.call(Call {
        request: wsgi::Request { parts, peer: connection.peer, origin: Arc::clone(&connection.origin), notes },
        body: Box::new(body),
        responder: Box::new(ChannelResponder::new(sender)),
    });
    // The sender is dropped without an answer when the call panics.
    let answer = answer.await.unwrap_or_else(|_| {
        let (head, page) = Head::error_page(StatusCode::INTERNAL_SERVER_ERROR);
        Answer::complete(head, page)
    });
    let mut response = respond(answer, head_request, log);
    response.body_mut().running = Some(running);
    if *connection.stop.borrow() != Stop::Not {
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    Ok(logged(response))
}

/// The access log sees the head as it goes out; only what hyper adds to it (Date, and how the body is framed) is later.
fn logged(response: Response<ResponseBody>) -> Response<ResponseBody> {
    let (parts, mut body) = response.into_parts();
    body.answered(parts.status, &parts.headers);
    Response::from_parts(parts, body)
}

fn respond(answer: Answer, head_request: bool, log: Option<Box<LogEntry>>) -> Response<ResponseBody> {
    let Answer { head, body } = answer;
    let has_body = !head_request && head.status != StatusCode::NO_CONTENT && head.status != StatusCode::NOT_MODIFIED;
    let body = ResponseBody::new(body, has_body, log);
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    if !head.reason.is_empty()
        && head.status.canonical_reason().is_none_or(|reason| reason.as_bytes() != head.reason)
        && let Ok(reason) = hyper::ext::ReasonPhrase::try_from(head.reason)
    {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.reserve(head.fields.len() + 2);
    headers.insert(header::SERVER, header::HeaderValue::from_static("rwsgi"));
    if let Some(length) = head.content_length {
        headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    }
    for (name, value) in head.fields {
        headers.append(name, value);
    }
    response
}
