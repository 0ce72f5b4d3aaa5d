//! A connection of HTTP/2 (RFC 9113): hyper and h2 have its frames, streams and windows, and bound their memory; here is
//! when it ends. Heads are read by the same rules as those of HTTP/1, and requests go the same way to the app.

mod frames;
mod head;
mod pulse;
mod response_body;
mod stream;

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};

pub use self::head::read as read_head;

use self::pulse::{Beating, Pulse, Stream};
use super::{
    connection::{Connection, Running, Stop},
    parcel::Socket,
};
use crate::wire::Trust;

/// How often it is looked whether a connection should end.
const LOOK: Duration = Duration::from_millis(500);

/// And while it ends.
const LOOK_AT_END: Duration = Duration::from_millis(20);

/// A client that takes nothing for so long at the end of its connection is gone.
const LINGER: Duration = Duration::from_secs(2);

/// A connection is kept for this long without a request at least: its client may have sent one already.
const SHORTEST: Duration = Duration::from_secs(1);

/// So much of all bodies of a connection may be under way.
const WINDOW: u32 = 1 << 20;

/// A socket of any kind: the program has hyper's and h2's code once, not once for each kind.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// How many bytes the system has taken, as [`Socket::sent`].
    fn taken(&self) -> u64;
}

impl<S: Socket + Send> Duplex for S {
    fn taken(&self) -> u64 {
        self.sent()
    }
}

tokio::task_local! {
    /// The stream that a task is at.
    static STREAM: Arc<Stream>;
}

/// What hyper has streams looked after by: each ends when it is told to, which resets it (`RST_STREAM`) unless it is done.
#[derive(Clone)]
struct Streams;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, life: F) {
        let stream = Arc::<Stream>::default();
        tokio::spawn(STREAM.scope(Arc::clone(&stream), async move {
            tokio::select! {
                () = life => {}
                () = stream.end.notified() => {}
            }
        }));
    }
}

/// Answers the requests of a connection, of which these bytes were read before.
pub async fn serve(connection: Arc<Connection>, socket: Box<dyn Duplex>, first: Bytes, trust: Trust) {
    let Some(settings) = connection.clients.http2 else { return };
    // Until the last byte is out this counts as a request: the answers of streams that have ended may still wait here.
    let own = Running::new(&connection.work);
    let pulse = Arc::<Pulse>::default();
    let service = {
        let (connection, pulse) = (Arc::clone(&connection), Arc::clone(&pulse));
        service_fn(move |request| stream::answer(Arc::clone(&connection), Arc::clone(&pulse), trust, request))
    };
    let served = http2::Builder::new(Streams)
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.initial_window_size)
        .initial_connection_window_size(WINDOW.max(settings.initial_window_size))
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_frame_size(settings.max_frame_size)
        .max_header_list_size(settings.max_header_list_size)
        .serve_connection(TokioIo::new(Beating::new(socket, first, Arc::clone(&pulse))), service);
    let mut served = std::pin::pin!(served);
    let mut stop = connection.stop.clone();
    let mut ending = false;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    let peer = connection.shown_peer();
                    if let Some(fault) = fault(&error, &pulse) {
                        tracing::warn!("Invalid request from ip={peer}: {fault} (HTTP/2)");
                    } else {
                        tracing::debug!("The connection from ip={peer} ended: {error}.");
                    }
                }
                break;
            }
            // A server that is gone without a word has nothing to wait for either.
            _ = stop.wait_for(|stop| *stop != Stop::Not), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
            () = sleep(if ending { LOOK_AT_END } else { LOOK }) => {
                if let Some(limit) = connection.clients.write_timeout {
                    pulse.end_streams(limit);
                }
                if is_over(&connection, &pulse, ending) {
                    break;
                }
                if !ending && is_idle(&connection, &pulse) {
                    ending = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
    drop(own);
}

/// What of a client's is no HTTP/2, or too much of it; none where its connection just ended.
fn fault(error: &hyper::Error, pulse: &Pulse) -> Option<String> {
    if let Some(flood) = pulse.flood() {
        return Some(flood.to_owned());
    }
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    error.is_library().then(|| error.to_string())
}

/// Whether the client is told to bring no further request.
fn is_idle(connection: &Connection, pulse: &Pulse) -> bool {
    let clients = &connection.clients;
    let limit = if pulse.has_begun() { Some(clients.keepalive.max(SHORTEST)) } else { clients.header_timeout };
    pulse.streams() == 0 && limit.is_some_and(|limit| pulse.still() >= limit)
}

/// Whether nothing is to be hoped of the connection.
fn is_over(connection: &Connection, pulse: &Pulse, ending: bool) -> bool {
    let still = pulse.still();
    let write_timeout = connection.clients.write_timeout;
    if write_timeout.is_some_and(|limit| pulse.jammed() >= limit) {
        return true;
    }
    // Only this connection's own count is left: whoever has not brought a request whole is not waited for.
    let cut = *connection.stop.borrow() == Stop::Cut && connection.work.running() <= 1;
    let patience = if cut { LINGER } else { write_timeout.unwrap_or(LINGER).max(LINGER) };
    ending && (pulse.streams() == 0 || cut) && still >= patience
}
