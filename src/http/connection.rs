//! A connection: which protocol it speaks, on whose behalf, and what its requests have in common.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep},
};

use super::{
    body::{request::TOO_LARGE, spool::Spool},
    http1::{self, Transport},
    http2,
    responder::ChannelResponder,
    slot::{Slot, Waiting},
    socket::Socket,
};
use crate::{
    settings::{Clients, ProxyProtocol},
    telemetry::access::AccessLog,
    wire::{self, Framing, HTTP2_WANTED, Proxied, Refusal, Trust},
    wsgi::{self, App, BodyReader, Call, Origin},
};

/// What a client of HTTP/2 sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client may take to read the last of an answer before its connection is closed, and to stop sending once it
/// could have read it, or the server stops: what it sends after that would reset the connection, and the answer with it (RFC
/// 9112 section 9.6).
pub const LINGER: Duration = Duration::from_secs(2);

/// A client that goes on sending for so long does not read.
const LONGEST_LINGER: Duration = Duration::from_secs(30);

/// The app is mounted elsewhere.
const OUTSIDE: Refusal = Refusal::new(500, "The path is outside of SCRIPT_NAME, where the app is mounted");

/// The call ended without an answer: it panicked.
pub const FAILED: Refusal = Refusal::new(500, "");

/// The app may still be at it.
pub const TOO_LONG: Refusal = Refusal::new(503, "The app has taken too long");

/// What the requests of a connection have in common.
#[derive(Clone)]
pub struct Connection {
    pub app: Arc<dyn App>,
    pub origin: Arc<Origin>,
    pub clients: Arc<Clients>,
    /// Where what is too much for memory waits for slow clients; none where nothing is to wait.
    pub spool: Option<Arc<Spool>>,
    /// The client, as far as it is known.
    pub peer: Option<(IpAddr, u16)>,
    /// Whether who connected may say on whose behalf.
    pub trust: Trust,
    /// Whether it speaks TLS.
    pub https: bool,
    /// Whether TLS has agreed on HTTP/2.
    pub http2: bool,
    /// What a proxy said of it.
    pub proxied: Option<Arc<Proxied>>,
    pub access_log: Option<Arc<AccessLog>>,
    /// The client's address as the access log writes it.
    pub remote_addr: Option<Arc<str>>,
    /// How far the server is in stopping.
    pub stop: watch::Receiver<Stop>,
    /// How many further connections there may be; none where any number.
    pub places: Option<Arc<Semaphore>>,
    /// What all of them have of HTTP/2.
    pub streams: Arc<Streams>,
    /// What it is at.
    pub work: Arc<Work>,
}

/// Waits until the `rest` that a client sends is over, which has all of its answers, but not for ever.
pub async fn linger(rest: impl Future<Output = ()>, mut stop: watch::Receiver<Stop>) {
    let stopping = async {
        // A server that is gone without a word has nothing to wait for either.
        let _ = stop.wait_for(|stop| *stop != Stop::Not).await;
        sleep(LINGER).await;
    };
    tokio::select! {
        () = rest => {}
        () = stopping => {}
        () = sleep(LONGEST_LINGER) => {}
    }
}

/// What a connection is at, for who waits until it is done.
#[derive(Debug, Default)]
pub struct Work {
    running: AtomicUsize,
    came: AtomicUsize,
}

impl Work {
    /// So many requests has the app, or their answers are on their way.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// How many pieces of bodies have come.
    pub fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    /// A piece of a body has come.
    pub fn comes(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
    }
}

/// The requests of HTTP/2 that are under way on all connections.
#[derive(Debug, Default)]
pub struct Streams {
    now: AtomicU64,
    most: AtomicU64,
}

impl Streams {
    /// So many are there now.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The most that there were since this was asked before.
    pub fn most(&self) -> u64 {
        self.most.swap(self.now(), Ordering::Relaxed)
    }
}

/// One of them, for as long as this lives.
pub struct Stream(Arc<Streams>);

impl Stream {
    pub fn new(streams: &Arc<Streams>) -> Self {
        let now = streams.now.fetch_add(1, Ordering::Relaxed) + 1;
        streams.most.fetch_max(now, Ordering::Relaxed);
        Self(Arc::clone(streams))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far a server is in stopping.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd)]
pub enum Stop {
    /// It serves.
    Not,
    /// It accepts no connection, and answers every request that comes on those that there are.
    Begun,
    /// It answers the requests that are complete, and waits for others only while they go on coming.
    Cut,
}

/// A request that the app has, or whose answer is on its way, for as long as this lives.
pub struct Running(Arc<Work>);

impl Running {
    pub fn new(work: &Arc<Work>) -> Self {
        work.running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(work))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Whether it may be kept for a next request: not where others wait for its place.
    pub fn may_stay(&self) -> bool {
        self.places.as_ref().is_none_or(|places| places.available_permits() > 0)
    }

    /// Whether the access log asks for variables as the app leaves them.
    fn is_watched(&self) -> bool {
        self.access_log.as_ref().is_some_and(|log| !log.needs().variables.is_empty())
    }

    /// Says why nothing is answered here, and ends.
    pub async fn send_away(&self, socket: impl Socket, refusal: Refusal) {
        Transport::new(socket, Arc::clone(&self.clients)).close(Some(refusal), self.stop.clone()).await;
    }

    /// Answers what comes, until either side has enough.
    pub async fn run(mut self, socket: impl Socket + Send + 'static) {
        let mut transport = Transport::new(socket, Arc::clone(&self.clients));
        if let Err(refusal) = self.take_in_proxy(&mut transport).await {
            return http1::end(&self, transport, Some(refusal)).await;
        }
        if self.access_log.is_some() {
            self.remote_addr = self.peer.map(|(address, _)| address.to_canonical().to_string().into());
        }
        let (mut http2, trust) = (self.http2, self.trust);
        if !self.https && trust == Trust::Proxy && self.clients.is_cleartext_http2() {
            http2 = transport.has_preface().await;
            if !http2 {
                // As gunicorn: who is to speak HTTP/2 and does not is set up wrongly. Who says nothing only looks who is there.
                let why = (!transport.is_silent()).then_some(Refusal::bad(HTTP2_WANTED));
                return http1::end(&self, transport, why).await;
            }
        }
        if http2 {
            let (socket, first) = transport.into_socket();
            // Most connections never need the room that this takes.
            Box::pin(http2::serve(Arc::new(self), Box::new(socket), first, trust)).await;
        } else {
            http1::serve(&self, transport, trust).await;
        }
    }

    /// Takes in what a proxy says of the connection, unless it has said it before TLS began.
    async fn take_in_proxy(&mut self, transport: &mut Transport<impl Socket>) -> Result<(), Refusal> {
        if self.clients.proxy_protocol == ProxyProtocol::Off || self.proxied.is_some() {
            return Ok(());
        }
        transport.proxied().await?.map_or(Ok(()), |proxied| self.believe(proxied))
    }

    /// Takes a proxy at its word.
    ///
    /// # Errors
    /// It is not one that may say this.
    pub fn believe(&mut self, proxied: Proxied) -> Result<(), Refusal> {
        if !self.clients.proxy_allow_ips.contain(self.peer.map(|(address, _)| address)) {
            return Err(Refusal::new(403, "This address may not speak the PROXY protocol"));
        }
        self.proxied = Some(Arc::new(proxied));
        if let Some((client, _)) = proxied.addresses {
            self.peer = Some((client.ip(), client.port()));
        }
        Ok(())
    }

    /// Whether a body may come that has this framing.
    ///
    /// # Errors
    /// It says that it is longer than `limit_request_body`.
    pub fn check_length(&self, framing: Framing) -> Result<(), Refusal> {
        match (framing, self.clients.limit_request_body) {
            (Framing::Length(length), Some(limit)) if length > limit => Err(TOO_LARGE),
            _ => Ok(()),
        }
    }

    /// What the app is told of the request that has this head.
    ///
    /// # Errors
    /// It is not for the app.
    pub fn request(&self, head: Arc<wire::Head>) -> Result<wsgi::Request, Refusal> {
        let request = wsgi::Request {
            head,
            peer: self.peer,
            proxied: self.proxied.clone(),
            origin: Arc::clone(&self.origin),
            is_watched: self.is_watched(),
        };
        if wsgi::mount(&request).is_some() { Ok(request) } else { Err(OUTSIDE) }
    }

    /// Has the app called. Gives where its answer will be, and until when it may take.
    pub fn call(&self, request: wsgi::Request, body: Box<dyn BodyReader>) -> (Waiting, Option<Instant>) {
        let (slot, waiting) = Slot::new();
        let responder = Box::new(ChannelResponder::new(slot, Arc::clone(&self.app), self.spool.clone()));
        self.app.call(Call { request, body, responder });
        (waiting, self.clients.request_timeout.map(|limit| Instant::now() + limit))
    }

    /// Says in the error log why a request was refused.
    pub fn log(&self, refusal: Refusal) {
        tracing::warn!("Invalid request from ip={}: {refusal}", self.shown_peer());
    }

    pub fn shown_peer(&self) -> String {
        self.peer.map_or_else(|| "unix".to_owned(), |(address, _)| address.to_string())
    }
}
