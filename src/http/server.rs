//! Accepting connections, and ending them in order.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::connection::{self, Connection, Stop};
use crate::{
    net::{Address, Listener, Socket},
    telemetry::access::AccessLog,
    wsgi::{App, Origin},
};

/// A client that does not get the head of a request across in this time is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

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
    connections: Arc<GracefulShutdown>,
}

impl Server {
    /// Begins to serve `app` at every listener.
    ///
    /// # Errors
    /// A listener's socket cannot be used on this runtime.
    pub fn start(
        listeners: Vec<Listener>,
        script_name: &str,
        app: &Arc<dyn App>,
        access_log: Option<&Arc<AccessLog>>,
    ) -> io::Result<Self> {
        let mut server = Self {
            listeners,
            accepting: JoinSet::new(),
            stop: watch::channel(Stop::Not).0,
            connections: Arc::default(),
        };
        for listener in &server.listeners {
            let connection = Connection {
                app: Arc::clone(app),
                origin: Arc::new(origin(listener.address(), script_name)),
                peer: None,
                access_log: access_log.map(Arc::clone),
                stop: server.stop.subscribe(),
                running: Arc::default(),
            };
            let acceptor =
                Acceptor { connection, connections: Arc::clone(&server.connections), stop: server.stop.subscribe() };
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

    /// Stops accepting, after those that the kernel has accepted already, and returns once every request is answered.
    pub async fn stop(mut self) {
        // There is no receiver when every acceptor has ended, and then there is none to tell.
        let _ = self.stop.send(Stop::Begun);
        while self.accepting.join_next().await.is_some() {}
        // Whoever connects from now on is refused at once, and may try another server, instead of waiting for this one.
        drop(self.listeners);
        let limit = Instant::now() + LAST_REQUESTS;
        while self.connections.count() > 0 && Instant::now() < limit {
            sleep(LOOK).await;
        }
        let _ = self.stop.send(Stop::Cut);
        // The acceptors, which are gone, held the others.
        if let Some(connections) = Arc::into_inner(self.connections) {
            connections.shutdown().await;
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

/// The address and port of a client; none on a unix socket.
type Peer = Option<(IpAddr, u16)>;

/// A socket that gives connections.
trait Accept: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

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
    connections: Arc<GracefulShutdown>,
    stop: watch::Receiver<Stop>,
}

impl Acceptor {
    async fn run(mut self, listener: impl Accept) {
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                // The queue is empty when accepting has to wait, so nothing that the kernel took on is lost.
                _ = self.stop.wait_for(|stop| *stop != Stop::Not) => return,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer),
                Err(error) => pause(&error).await,
            }
        }
    }

    fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let connection = Arc::new(Connection { peer, running: Arc::default(), ..self.connection.clone() });
        let service = {
            let connection = Arc::clone(&connection);
            hyper::service::service_fn(move |request| connection::answer(Arc::clone(&connection), request))
        };
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            // A client may shut its side down after its request and still wait for the answer.
            .half_close(true)
            .title_case_headers(true)
            .serve_connection(TokioIo::new(stream), service);
        let served = self.connections.watcher().watch(served);
        tokio::spawn(async move {
            tokio::select! {
                served = served => if let Err(error) = served {
                    connection.ended(&error);
                },
                () = connection.cut() => {}
            }
        });
    }
}

async fn pause(error: &io::Error) {
    // A connection that was reset while it waited is the client's business.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::error!("Cannot accept a connection: {error}.");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
