//! Accepting connections, and ending them in order.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::rustls::ServerConfig;

use super::{
    body::{buffer, high_water::HighWater, spool::Spool},
    connection::{Connection, Stop, Streams, Work},
    socket,
    tls::shake_hands,
};
use crate::{
    net::{Address, Listener, Socket},
    settings::Clients,
    sys,
    telemetry::access::AccessLog,
    wire::{Refusal, Trust},
    wsgi::{App, Origin},
};

/// How long a connection that is kept alive may still bring a request once the server stops: a client that has just
/// sent one must not find the connection closed (gunicorn 27.0.1). The answer says that it is the last.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// How often it is looked whether the last connection is gone.
const LOOK: Duration = Duration::from_millis(10);

/// So many connections and streams may leave much memory behind: each may have brought a head of nearly a megabyte.
const MANY: u64 = 20;

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
    /// Begins to serve `app` at every listener.
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
    ) -> io::Result<Self> {
        let spool = clients.buffering.then(|| Arc::new(Spool::new(clients.tmp_upload_dir.clone())));
        let (stop, open) = (watch::channel(Stop::Not).0, Open::new(&clients));
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
                streams: Arc::clone(&lock(&server.open.connections).streams),
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
        let connections = lock(&self.open.connections).have_gone();
        let bodies = self.spool.as_ref().is_some_and(|spool| spool.budget().has_drained());
        connections || bodies
    }

    /// Stops accepting, after those that the kernel has accepted already, and returns once every request is answered.
    pub async fn stop(mut self) {
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

/// The connections that are open, and how many may be.
#[derive(Clone)]
struct Open {
    connections: Arc<Mutex<Connections>>,
    places: Option<Arc<Semaphore>>,
    /// How long a connection may wait for its place before it is sent away, and how many may: they have descriptors, too.
    timer: Option<Duration>,
    waiters: Option<Arc<Semaphore>>,
    /// How many files may be open, where that is what limits the connections, and whether that was told.
    files: Option<usize>,
    told: Arc<AtomicBool>,
}

#[derive(Default)]
struct Connections {
    tasks: HashMap<u64, Task>,
    next: u64,
    high: HighWater,
    streams: Arc<Streams>,
}

impl Connections {
    fn count(&self) -> u64 {
        self.tasks.len() as u64
    }

    fn have_gone(&mut self) -> bool {
        self.high.rise(self.count() + self.streams.most());
        self.high.has_fallen(self.count() + self.streams.now(), MANY)
    }
}

/// What looks after a connection.
struct Task {
    handle: AbortHandle,
    work: Arc<Work>,
}

/// An open connection, for as long as this lives.
struct Place {
    open: Arc<Mutex<Connections>>,
    number: u64,
    /// Given back when this is dropped.
    permit: Option<OwnedSemaphorePermit>,
}

impl Open {
    fn new(clients: &Clients) -> Self {
        let files = sys::most_files();
        // The rest is for the app, and for what waits in files. Not for a limit of its own: that was chosen.
        let share = files.map(|files| (files - files / 4).max(1));
        let most = clients.worker_connections.or(share);
        let semaphore = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        // Some in any case, so that they are sent away.
        let waiters = share.map(|share| share.saturating_sub(most.unwrap_or(0)).max((share / 8).max(1)));
        Self {
            connections: Arc::default(),
            places: most.map(semaphore),
            timer: clients.backlog_timeout,
            waiters: waiters.map(semaphore),
            files: files.filter(|_| clients.worker_connections.is_none()),
            told: Arc::default(),
        }
    }

    fn count(&self) -> usize {
        lock(&self.connections).tasks.len()
    }

    /// Waits until there is a place.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let (Some(places), Some(files)) = (&self.places, self.files)
            && places.available_permits() == 0
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "There are as many connections as a worker may have with {files} open files (ulimit -n), and others wait. \
                 Raise that, or lower --keep-alive."
            );
        }
        one_of(self.places.as_ref()).await
    }

    /// Waits for the next connection. Without a time to wait for a place it stays in the kernel's queue until there is
    /// one, where another worker may take it; with such a time, until it may wait here. No place is held for a connection
    /// that may never come: the next may come to another listener.
    async fn accept<A: Accept>(&self, listener: &A) -> Accepted<A> {
        let waits_here = self.timer.is_some();
        if self.places.is_none() || waits_here && self.waiters.is_none() {
            return (listener.accept().await, None);
        }
        loop {
            let mut permit = Some(if waits_here { one_of(self.waiters.as_ref()).await } else { self.permit().await });
            let mut accept = pin!(listener.accept());
            let accepted = poll_fn(|context| {
                // Something has come, perhaps, since there was nothing: a place is needed first.
                let Some(held) = permit.take() else { return Poll::Ready(None) };
                accept.as_mut().poll(context).map(|accepted| Some((accepted, held)))
            });
            if let Some(accepted) = accepted.await {
                return accepted;
            }
        }
    }

    /// Has a connection looked after by what `life` makes of its place.
    fn begin<F: Future<Output = ()> + Send + 'static>(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        work: Arc<Work>,
        life: impl FnOnce(Place) -> F,
    ) {
        let mut connections = lock(&self.connections);
        connections.next += 1;
        let number = connections.next;
        let place = Place { open: Arc::clone(&self.connections), number, permit };
        let handle = tokio::spawn(life(place)).abort_handle();
        connections.tasks.insert(number, Task { handle, work });
        let count = connections.count();
        connections.high.rise(count);
    }

    /// Ends the connections that have no complete request, and of which nothing of one has come since they were `seen`. A
    /// client that never gets its request across must not keep a server from ending; one that is at it may go on.
    fn cut(&self, seen: &mut HashMap<u64, usize>) {
        let connections = lock(&self.connections);
        let idle = connections.tasks.iter().filter(|(_, task)| task.work.running() == 0);
        let handles: Vec<_> = idle
            .filter(|(number, task)| seen.insert(**number, task.work.came()) == Some(task.work.came()))
            .map(|(_, task)| task.handle.clone())
            .collect();
        drop(connections);
        handles.iter().for_each(AbortHandle::abort);
    }
}

/// Waits until there is one of these, where they have a number.
async fn one_of(places: Option<&Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    // It is never closed.
    Arc::clone(places?).acquire_owned().await.ok()
}

fn lock(connections: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).tasks.remove(&self.number);
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

/// The address and port of a client; none on a unix socket.
type Peer = Option<(IpAddr, u16)>;

/// A socket that gives connections.
trait Accept: Send + Sync {
    type Stream: socket::Socket + Send + Sync + 'static;

    /// Waits for the next.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// What came of accepting a connection, and its place if it has one already.
type Accepted<A> = (io::Result<(<A as Accept>::Stream, Peer)>, Option<OwnedSemaphorePermit>);

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = Self::accept(self).await?;
        Ok((stream, Some((peer.ip(), peer.port()))))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((Self::accept(self).await?.0, None))
    }
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
            let (accepted, permit) = tokio::select! {
                biased;
                next = self.open.accept(&listener) => next,
                // The queue is empty when accepting has to wait, so nothing that the kernel took on is lost.
                _ = self.stop.wait_for(|stop| *stop != Stop::Not) => return,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer, permit),
                Err(error) => pause(&error).await,
            }
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
