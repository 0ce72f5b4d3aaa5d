//! Accepting connections, and ending them in order.

use std::{collections::HashMap, future::ready, io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, watch},
    task::{JoinSet, unconstrained},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::rustls::ServerConfig;

use super::{
    body::{buffer, spool::Spool},
    connection::{Connection, Stop},
    open::{Accept, Open, Peer},
    socket,
    tls::shake_hands,
};
use crate::{
    net::{Address, Listener, Socket},
    settings::Clients,
    telemetry::access::AccessLog,
    wire::{Refusal, Trust},
    wsgi::{App, Origin},
};

/// How long a connection that is kept alive may still bring a request once the server stops: a client that has just
/// sent one must not find the connection closed (gunicorn 27.0.1). The answer says that it is the last.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// How often it is looked whether the last connection is gone.
const LOOK: Duration = Duration::from_millis(10);

/// How long to wait when no connection can be accepted, because descriptors have run out say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that accepts connections. All of its methods need the tokio runtime that the connections live on.
pub struct Server {
    listeners: Vec<Listener>,
    accepting: JoinSet<()>,
    stop: watch::Sender<Stop>,
    open: Open,
    spool: Option<Arc<Spool>>,
}

impl Server {
    /// Begins to serve `app` at every listener. While `busy` says so, connections are left to other processes that listen.
    ///
    /// # Errors
    /// A listener's socket cannot be used on this runtime.
    pub fn start(
        listeners: Vec<Listener>,
        script_name: &str,
        clients: Clients,
        tls: Option<&Arc<ServerConfig>>,
        app: &Arc<dyn App>,
        access_log: Option<&Arc<AccessLog>>,
        busy: Option<watch::Receiver<bool>>,
    ) -> io::Result<Self> {
        let spool = clients.buffering.then(|| Arc::new(Spool::new(clients.tmp_upload_dir.clone())));
        let (stop, open) = (watch::channel(Stop::Not).0, Open::new(&clients, busy));
        let mut server = Self { listeners, accepting: JoinSet::new(), stop, open, spool: spool.clone() };
        let clients = Arc::new(clients);
        for listener in &server.listeners {
            let connection = Connection {
                app: Arc::clone(app),
                origin: Arc::new(origin(listener.address(), script_name)),
                clients: Arc::clone(&clients),
                spool: spool.clone(),
                peer: None,
                trust: Trust::Stranger,
                proxied: None,
                remote_addr: None,
                https: tls.is_some(),
                http2: false,
                access_log: access_log.map(Arc::clone),
                stop: server.stop.subscribe(),
                places: server.open.places.clone(),
                streams: server.open.streams(),
                work: Arc::default(),
            };
            let acceptor = Acceptor {
                connection,
                tls: tls.map(Arc::clone),
                open: server.open.clone(),
                stop: server.stop.subscribe(),
            };
            match listener.socket() {
                Socket::Tcp(socket) => {
                    let socket = TcpListener::from_std(socket.try_clone()?)?;
                    server.accepting.spawn(acceptor.run(socket));
                }
                Socket::Unix(socket) => {
                    let socket = UnixListener::from_std(socket.try_clone()?)?;
                    server.accepting.spawn(acceptor.run(socket));
                }
            }
        }
        Ok(server)
    }

    /// Whether connections or what waited for them have let go of much memory since it was asked before. What bodies were
    /// read into is freed where no others need it.
    pub fn has_let_go(&self) -> bool {
        buffer::release();
        let connections = self.open.have_gone();
        let bodies = self.spool.as_ref().is_some_and(|spool| spool.budget().has_drained());
        connections || bodies
    }

    /// Stops accepting, after those that the kernel has accepted already where it is to `drain` its queue, and returns once
    /// every request is answered.
    pub async fn stop(mut self, drain: bool) {
        if !drain {
            self.accepting.abort_all();
        }
        // There is no receiver when every acceptor has ended, and then there is none to tell.
        let _ = self.stop.send(Stop::Begun);
        while self.accepting.join_next().await.is_some() {}
        // Whoever connects from now on is refused at once, and may try another server, instead of waiting for this one.
        drop(self.listeners);
        let mut seen = HashMap::new();
        while self.open.count() > 0 {
            self.open.cut(&mut seen);
            let limit = Instant::now() + LAST_REQUESTS;
            while self.open.count() > 0 && Instant::now() < limit {
                sleep(LOOK).await;
            }
            let _ = self.stop.send(Stop::Cut);
        }
    }
}

fn origin(address: &Address, script_name: &str) -> Origin {
    let (name, port) = match address {
        Address::Tcp(address) => (address.ip().to_string(), address.port().to_string()),
        Address::Unix(path) => (path.display().to_string(), String::new()),
        Address::Abstract(name) => (format!("@{name}"), String::new()),
    };
    Origin { name, port, script_name: script_name.to_owned() }
}

struct Acceptor {
    connection: Connection,
    tls: Option<Arc<ServerConfig>>,
    open: Open,
    stop: watch::Receiver<Stop>,
}

impl Acceptor {
    async fn run(mut self, listener: impl Accept) {
        loop {
            let accepted = tokio::select! {
                biased;
                next = self.open.accept(&listener, true) => next,
                _ = self.stop.wait_for(|stop| *stop != Stop::Not) => break,
            };
            self.take(accepted).await;
            self.open.share().await;
        }
        // What the kernel has taken on is not lost, nor what was left to others: they end as well, perhaps.
        loop {
            let accepted = tokio::select! {
                biased;
                next = unconstrained(self.open.accept(&listener, false)) => next,
                () = ready(()) => return,
            };
            self.take(accepted).await;
        }
    }

    async fn take<S: socket::Socket + Send + Sync + 'static>(
        &self,
        (accepted, permit): (io::Result<(S, Peer)>, Option<OwnedSemaphorePermit>),
    ) {
        match accepted {
            Ok((stream, peer)) => self.serve(stream, peer, permit),
            Err(error) => pause(&error).await,
        }
    }

    fn serve(
        &self,
        stream: impl socket::Socket + Send + Sync + 'static,
        peer: Peer,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let mut connection = Connection { peer, work: Arc::default(), ..self.connection.clone() };
        if connection.clients.forwarded_allow_ips.contain(peer.map(|(address, _)| address)) {
            connection.trust = Trust::Proxy;
        }
        let (open, tls) = (self.open.clone(), self.tls.clone());
        self.open.begin(permit, Arc::clone(&connection.work), |mut place| async move {
            let mut refusal = None;
            if let Some(timer) = open.timer {
                match timeout(timer, open.permit()).await {
                    Ok(permit) => place.permit = permit,
                    Err(_) => refusal = Some(FULL),
                }
            }
            match tls {
                // In a place of its own: a connection without TLS does not need the room.
                Some(tls) => {
                    Box::pin(async move {
                        if let Some(stream) = shake_hands(stream, tls, &mut connection).await {
                            connection.http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            serve(connection, stream, refusal).await;
                        }
                    })
                    .await;
                }
                None => serve(connection, stream, refusal).await,
            }
            drop(place);
        });
    }
}

/// Answers a connection's requests, or says why not.
async fn serve(connection: Connection, stream: impl socket::Socket + Send + 'static, refusal: Option<Refusal>) {
    let Some(refusal) = refusal else { return connection.run(stream).await };
    connection.log(refusal);
    // Who speaks HTTP/2 already could not read it.
    if !connection.http2 {
        connection.send_away(stream, refusal).await;
    }
}

const FULL: Refusal = Refusal::new(503, "The server has as many connections as it may have");

async fn pause(error: &io::Error) {
    // A connection that was reset while it waited is the client's business.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::error!("Cannot accept a connection: {error}.");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
