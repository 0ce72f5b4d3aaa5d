//! One connection: each of its requests becomes a call to the app, and the app's answer a response.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use hyper::{Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    desk::{Desk, Running},
    gate::Gate,
    http2,
    log_entry::LogEntry,
    parcel::Socket,
    request_body::{Intake, RequestBody},
    responder::{Answer, AnswerBody, ChannelResponder},
    response_body::{Kind, ResponseBody},
    spool::Spool,
};
use crate::{
    settings::{Clients, ProxyProtocol},
    telemetry::access::AccessLog,
    wire::{self, Proxied, Refusal, Trust, Version},
    wsgi::{self, App, Call, Origin},
};

/// How often it is looked whether a connection has ended what it was at.
const LOOK: Duration = Duration::from_millis(10);

/// So many bytes wait in hyper for a slow client, or come from a fast one at a time.
const BUFFER: usize = 128 << 10;

/// What the requests of a connection have in common.
#[derive(Clone)]
pub struct Connection {
    pub app: Arc<dyn App>,
    pub origin: Arc<Origin>,
    pub clients: Arc<Clients>,
    /// Where what is too much for memory waits for slow clients; none where nothing is to wait.
    pub spool: Option<Arc<Spool>>,
    pub peer: Option<(IpAddr, u16)>,
    /// Whether it speaks TLS.
    pub https: bool,
    /// Whether TLS has agreed on HTTP/2.
    pub http2: bool,
    /// What a proxy said of it.
    pub proxied: Option<Proxied>,
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

impl Connection {
    /// Answers what comes, until either side has enough.
    pub async fn run(self, socket: impl Socket + Send + 'static) {
        let (mut stop, running) = (self.stop.clone(), Arc::clone(&self.running));
        tokio::select! {
            () = self.answer_all(socket) => {}
            () = cut(&mut stop, &running) => {}
        }
    }

    /// Says why nothing is answered here, and ends.
    pub async fn send_away(&self, socket: impl Socket, refusal: Refusal) {
        let mut gate = Gate::new(socket, Arc::default(), Arc::clone(&self.clients), None, Trust::Stranger, false);
        gate.refuse(refusal);
        gate.close().await;
    }

    async fn answer_all(mut self, socket: impl Socket + Send + 'static) {
        let address = self.peer.map(|(address, _)| address);
        let trust = if self.clients.forwarded_allow_ips.contain(address) { Trust::Proxy } else { Trust::Stranger };
        let desk = Arc::<Desk>::default();
        let mut gate =
            Gate::new(socket, Arc::clone(&desk), Arc::clone(&self.clients), self.spool.clone(), trust, self.https);
        if self.clients.proxy_protocol != ProxyProtocol::Off {
            match gate.proxied().await {
                Ok(Some(_)) if !self.clients.proxy_allow_ips.contain(address) => {
                    gate.refuse(Refusal::new(403, "This address may not speak the PROXY protocol"));
                }
                Ok(proxied) => self.proxied = proxied,
                Err(refusal) => gate.refuse(refusal),
            }
            if let Some((client, _)) = self.proxied.and_then(|proxied| proxied.addresses) {
                self.peer = Some((client.ip(), client.port()));
            }
        }
        let mut http2 = self.http2;
        if gate.refusal().is_none() && !self.https && trust == Trust::Proxy && self.clients.is_cleartext_http2() {
            http2 = gate.has_preface().await;
            if !http2 {
                // As gunicorn: who is to speak HTTP/2 and does not is set up wrongly.
                gate.refuse(Refusal::bad("HTTP/2 is expected from this address, from its first byte on"));
            }
        }
        if http2 && gate.refusal().is_none() {
            let (socket, first) = gate.into_socket();
            http2::serve(Arc::new(self), socket, first, trust).await;
            return;
        }
        if gate.refusal().is_none() && gate.has_request().await {
            let connection = Arc::new(self);
            let service = {
                let (connection, desk) = (Arc::clone(&connection), Arc::clone(&desk));
                service_fn(move |request| Box::pin(answer(Arc::clone(&connection), Arc::clone(&desk), request)))
            };
            let mut served = http1::Builder::new()
                // A client may shut its side down after its request and still wait for the answer.
                .half_close(true)
                // The gate writes the fields that a client sees.
                .auto_date_header(false)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(gate), service);
            let ended = poll_fn(|context| served.poll_without_shutdown(context)).await;
            gate = served.into_parts().io.into_inner();
            if let Err(error) = ended {
                tracing::debug!("The connection from ip={} ended: {error}.", connection.shown_peer());
                // An answer that broke off must not look as if it had ended; one to a body that broke off is whole.
                if !gate.has_broken_off() {
                    return;
                }
            }
            self = Arc::unwrap_or_clone(connection);
        }
        if let Some(refusal) = gate.refusal() {
            self.log(refusal);
        }
        gate.close().await;
    }

    /// Says in the error log why a request was refused.
    pub fn log(&self, refusal: Refusal) {
        tracing::warn!("Invalid request from ip={}: {refusal}", self.shown_peer());
    }

    pub fn shown_peer(&self) -> String {
        self.peer.map_or_else(|| "unix".to_owned(), |(address, _)| address.to_string())
    }
}

/// Returns when the server waits for no further request, and the connection has none that is complete. A client that
/// never gets its request across must not keep a server from ending.
async fn cut(stop: &mut watch::Receiver<Stop>, running: &AtomicUsize) {
    // A server that is gone without a word has nothing to wait for either.
    let _ = stop.wait_for(|stop| *stop == Stop::Cut).await;
    while running.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(LOOK).await;
    }
}

/// Answers one request. Of hyper's request only the body counts: the head is what the gate has read.
async fn answer(
    connection: Arc<Connection>,
    desk: Arc<Desk>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let head = desk.take_request().expect("the gate brings a head before it tells hyper of it");
    let address = connection.peer.map(|(address, _)| address);
    let log = connection.access_log.as_ref().map(|log| Box::new(LogEntry::new(log, address, &head)));
    let refuse = |refusal: Refusal, log| {
        let answer = Answer::refusal(refusal);
        respond(&connection, &desk, &head, answer, log, wire::Connection::Close, None)
    };
    let body = match RequestBody::receive(Intake::any(request.into_body()), connection.spool.as_deref()).await {
        Ok(body) => body,
        // The framing is lost, so the connection cannot be used again.
        Err(refusal) => {
            connection.log(refusal);
            return Ok(refuse(refusal, log));
        }
    };
    let request = wsgi::Request {
        head: Arc::clone(&head),
        peer: connection.peer,
        proxied: connection.proxied,
        origin: Arc::clone(&connection.origin),
        notes: log.as_ref().and_then(|log| log.notes()),
    };
    if wsgi::mount(&request).is_none() {
        let refusal = Refusal::new(500, "The path is outside of SCRIPT_NAME, where the app is mounted");
        connection.log(refusal);
        return Ok(refuse(refusal, log));
    }
    desk.begin(Running::new(&connection.running));
    let (sender, answer) = oneshot::channel();
    poll_fn(|context| {
        desk.watch(context);
        Poll::Ready(())
    })
    .await;
    let responder = Box::new(ChannelResponder::new(sender, Arc::clone(&desk), connection.spool.clone()));
    connection.app.call(Call { request, body: Box::new(body), responder });
    let deadline = connection.clients.request_timeout.map(|limit| Instant::now() + limit);
    let answer = match deadline {
        Some(deadline) => timeout_at(deadline, answer).await,
        None => Ok(answer.await),
    };
    Ok(match answer {
        Ok(Ok(answer)) => respond(&connection, &desk, &head, answer, log, wire::Connection::KeepAlive, deadline),
        // The sender is dropped without an answer when the call panics.
        Ok(Err(_)) => refuse(Refusal::new(500, ""), log),
        Err(_) => refuse(Refusal::new(503, "The app has taken too long"), log),
    })
}

/// Leaves the head at the desk, and tells hyper as much as frames the body.
fn respond(
    connection: &Connection,
    desk: &Arc<Desk>,
    request: &wire::Head,
    answer: Answer,
    log: Option<Box<LogEntry>>,
    wish: wire::Connection,
    deadline: Option<Instant>,
) -> Response<ResponseBody> {
    let Answer { head, body } = answer;
    let to_head = request.method() == "HEAD";
    let has_body = head.has_body() && !to_head;
    let length = match &body {
        AnswerBody::Whole(bytes) if has_body => Some(bytes.len() as u64),
        AnswerBody::Parcel(parcel) if has_body => Some(parcel.left()),
        _ => head.content_length,
    };
    let chunked = has_body && length.is_none() && request.version != Version::HTTP_10;
    let ends_with_connection = has_body && length.is_none() && !chunked;
    let keep_alive = wish == wire::Connection::KeepAlive
        && request.keep_alive
        && !connection.clients.keepalive.is_zero()
        && !ends_with_connection
        && *connection.stop.borrow() == Stop::Not;
    let fate = if keep_alive { wire::Connection::KeepAlive } else { wire::Connection::Close };
    let mut text = Vec::new();
    let status = head.status;
    wire::write_head(&mut text, request.version, status.as_u16(), &head.reason, fate, length, chunked, &head.fields);
    let (kind, parcel) = match body {
        _ if !has_body => (Kind::Absent, None),
        AnswerBody::Parcel(parcel) if parcel.left() == 0 => (Kind::Absent, None),
        AnswerBody::Whole(bytes) => (Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())), None),
        AnswerBody::Parcel(parcel) => (Kind::Parcel(parcel.left()), Some(parcel)),
        AnswerBody::Pieces(pieces) => (Kind::Pieces(pieces, deadline), None),
    };
    desk.bring_response(text, parcel);
    let mut log = log;
    if let Some(log) = &mut log {
        log.answered(&head);
    }
    let mut response = Response::new(ResponseBody::new(kind, log, Arc::clone(desk)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(length) = length.filter(|_| has_body) {
        headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    }
    if !keep_alive {
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}
