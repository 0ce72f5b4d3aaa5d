//! A connection of HTTP/2 (RFC 9113): h2 has its frames, streams and windows, and bounds their memory; here is when it
//! ends. Heads are read by the same rules as those of HTTP/1, and requests go the same way to the app.

mod activity;
mod frames;
mod head;
mod intake;
mod line;
mod response;
mod sending;
mod stream;
mod turns;
mod watched;

use std::{
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use h2::server::{self, Builder, Handshake};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::{Instant, sleep},
};

pub use self::{head::read as read_head, intake::Intake};

use self::{
    activity::{Activity, Open},
    watched::Watched,
};
use super::{
    connection::{Connection, LINGER, Running, Stop, linger},
    socket::Socket,
};
use crate::{
    settings::{Clients, Http2},
    sys,
    wire::Trust,
};

/// How often it is looked whether a connection should end.
const LOOK: Duration = Duration::from_millis(500);

/// And while it ends.
const LOOK_AT_END: Duration = Duration::from_millis(20);

/// A connection is kept for this long without a request at least: its client may have sent one already.
const SHORTEST: Duration = Duration::from_secs(1);

/// No more than this is what a client is told of the end of its connection: GOAWAY twice, PING, and what TLS and unix sockets
/// add. One that does not take even that within [`LINGER`] is gone.
const FAREWELL: usize = 4 << 10;

/// So much of all bodies of a connection may be under way, at least.
const WINDOW: u32 = 1 << 20;

/// RFC 9113 section 6.9.1.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// So many requests of a proxy's may be cancelled before it is looked what has come.
const CANCELLED: usize = 1000;

/// So much memory may what comes of a proxy's bodies take besides its bytes: h2 takes 256 for a frame that has less. Those are
/// four bodies that come byte by byte and wait, with as much of each under way as there is by default.
const OVERHEAD: usize = 64 << 20;

/// So much of an answer waits for the socket.
const BUFFER: usize = 64 << 10;

/// A socket of any kind: the program has h2's code once, not once for each kind.
pub trait Duplex: AsyncRead + AsyncWrite + AsRawFd + Send + Unpin {
    /// How many bytes the system has taken, as [`Socket::sent`].
    fn taken(&self) -> u64;
}

impl<S: Socket + Send> Duplex for S {
    fn taken(&self) -> u64 {
        self.sent()
    }
}

/// Answers the requests of a connection, of which these bytes were read before.
pub async fn serve(connection: Arc<Connection>, socket: Box<dyn Duplex>, first: Bytes, trust: Trust) {
    let Some(settings) = connection.clients.http2 else { return };
    // Until the last byte is out this counts as a request: the answers of streams that have ended may still wait here.
    let own = Running::new(&connection.work);
    let activity = Arc::<Activity>::default();
    // It is open for as long as h2 has it, which is below.
    let descriptor = socket.as_raw_fd();
    let mut builder = Builder::new();
    if trust == Trust::Proxy {
        // It carries the requests of many, and one of them could have it ended for all: by what h2 resets on its own, by
        // requests that are cancelled at once, and by a body in small pieces.
        builder
            .max_local_error_reset_streams(None)
            .max_pending_accept_reset_streams(CANCELLED)
            .data_frame_budget(OVERHEAD);
    }
    let handshake = builder
        .initial_window_size(settings.initial_window_size)
        .initial_connection_window_size(window(&connection.clients, settings))
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_frame_size(settings.max_frame_size)
        .max_header_list_size(settings.max_header_list_size)
        .max_send_buffer_size(BUFFER)
        .handshake(Watched::new(socket, first, Arc::clone(&activity)));
    let last = Notify::new();
    let mut accepting = std::pin::pin!(accept(&connection, &activity, trust, handshake, &last, descriptor));
    let mut stop = connection.stop.clone();
    // Since when the client is told to bring no further request.
    let mut ending = None;
    let mut rest = Rest::default();
    let open = loop {
        tokio::select! {
            open = accepting.as_mut() => break open,
            // A server that is gone without a word has nothing to wait for either.
            _ = stop.wait_for(|stop| *stop != Stop::Not), if ending.is_none() => {
                ending = Some(Instant::now());
                last.notify_one();
            }
            () = sleep(if ending.is_some() { LOOK_AT_END } else { LOOK }) => {
                if is_over(&connection, &activity, rest.left(descriptor), ending) {
                    return;
                }
                if ending.is_none() && is_idle(&connection, &activity) {
                    ending = Some(Instant::now());
                    last.notify_one();
                }
            }
        }
    };
    drop(own);
    if open.is_some() {
        // One that goes on talking while it reads would find the connection broken, and might give up what it has not read.
        linger(silence(descriptor), stop).await;
    }
}

/// So much of all bodies of a connection may be under way. Bodies that are not taken in before the app is called wait for it
/// with what has come of them: those of all streams have room, so that none takes another's.
fn window(clients: &Clients, settings: Http2) -> u32 {
    let streams = if clients.buffering { 1 } else { settings.max_concurrent_streams };
    settings.initial_window_size.saturating_mul(streams).clamp(WINDOW, LARGEST_WINDOW)
}

/// What its peer's system has not got yet of a connection.
struct Rest {
    left: usize,
    moved: Instant,
}

impl Default for Rest {
    fn default() -> Self {
        Self { left: 0, moved: Instant::now() }
    }
}

impl Rest {
    /// How many bytes that are, and for how long they have been as many.
    fn left(&mut self, descriptor: RawFd) -> (usize, Duration) {
        let left = sys::undelivered(descriptor);
        if left != self.left {
            *self = Self { left, moved: Instant::now() };
        }
        (left, self.moved.elapsed())
    }
}

/// Waits until the client's system has what was sent, which closing the socket could take from it: whatever else comes from
/// the client then resets the connection (RFC 1122 section 4.2.2.13).
async fn deliver(descriptor: RawFd, limit: Option<Duration>) {
    let mut rest = Rest::default();
    while sys::discard(descriptor).is_ok() {
        let (left, still) = rest.left(descriptor);
        if left == 0 || left <= FAREWELL && still >= LINGER || limit.is_some_and(|limit| still >= limit) {
            break;
        }
        sleep(LOOK_AT_END).await;
    }
}

/// Waits until a client says nothing more.
async fn silence(descriptor: RawFd) {
    let mut heard = Instant::now();
    while heard.elapsed() < LINGER {
        match sys::discard(descriptor) {
            Ok(Some(0)) => {}
            Ok(Some(_)) => heard = Instant::now(),
            Ok(None) | Err(_) => break,
        }
        sleep(LOOK_AT_END).await;
    }
}

/// Begins a connection, and looks after each stream that comes, until the `last` that may. Gives the connection, still open,
/// where it ended well and the client's system has all.
async fn accept(
    connection: &Arc<Connection>,
    activity: &Arc<Activity>,
    trust: Trust,
    handshake: Handshake<Watched, Bytes>,
    last: &Notify,
    descriptor: RawFd,
) -> Option<server::Connection<Watched, Bytes>> {
    let mut streams = handshake.await.inspect_err(|error| log(connection, activity, error)).ok()?;
    loop {
        tokio::select! {
            accepted = streams.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    tokio::spawn(stream::serve(Arc::clone(connection), Open::new(activity), trust, request, respond));
                }
                Some(Err(error)) => {
                    log(connection, activity, &error);
                    if error.is_library() {
                        // It was told why.
                        deliver(descriptor, Some(LINGER)).await;
                    }
                    return None;
                }
                None => break,
            },
            () = last.notified() => streams.graceful_shutdown(),
        }
    }
    deliver(descriptor, connection.clients.write_timeout).await;
    Some(streams)
}

/// Says why a connection has ended.
fn log(connection: &Connection, activity: &Activity, error: &h2::Error) {
    let peer = connection.shown_peer();
    if let Some(fault) = fault(error, activity) {
        tracing::warn!("Invalid request from ip={peer}: {fault} (HTTP/2)");
    } else {
        tracing::debug!("The connection from ip={peer} ended: {error}.");
    }
}

/// What of a client's is no HTTP/2, or too much of it; none where its connection just ended.
fn fault(error: &h2::Error, activity: &Activity) -> Option<String> {
    activity.flood().map(str::to_owned).or_else(|| error.is_library().then(|| error.to_string()))
}

/// Whether the client is told to bring no further request.
fn is_idle(connection: &Connection, activity: &Activity) -> bool {
    let clients = &connection.clients;
    let awaits_head = activity.awaits_head();
    let limit = if awaits_head { clients.header_timeout } else { Some(clients.keepalive.max(SHORTEST)) };
    let is_still = limit.is_some_and(|limit| activity.still() >= limit);
    activity.streams() == 0 && (is_still || !awaits_head && !connection.may_stay())
}

/// Whether nothing is to be hoped of the connection, which has been `ending` since then, and of which so much is `left` for so
/// long already.
fn is_over(connection: &Connection, activity: &Activity, left: (usize, Duration), ending: Option<Instant>) -> bool {
    let (write_timeout, (left, still_left)) = (connection.clients.write_timeout, left);
    // A socket takes more only once its client has taken a good part of what it has, and a slow one may take longer for that.
    if write_timeout.is_some_and(|limit| activity.jammed().min(still_left) >= limit) {
        return true;
    }
    // While there is more for the socket, what it has is not all.
    let Some(since) = ending.filter(|_| activity.jammed().is_zero()) else { return false };
    // Only this connection's own count is left: whoever has not brought a request whole is not waited for.
    let cut = *connection.stop.borrow() == Stop::Cut && connection.work.running() <= 1;
    let still = activity.still().min(since.elapsed());
    if still < LINGER || !cut && activity.streams() > 0 {
        return false;
    }
    // What its client has not taken yet would be lost with the connection: it is perhaps of an answer.
    left == 0 || cut && left <= FAREWELL || write_timeout.is_some_and(|limit| still_left >= limit)
}
