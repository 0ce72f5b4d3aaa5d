//! The gate between a socket and hyper.
//!
//! hyper is kept for what it does well: bodies and their framing, the order of requests and answers, keeping connections.
//! What it is too lenient for is done here. A request's head is read by [`wire`](crate::wire); hyper is told only what
//! frames the message, so no other reading of it can matter. A chunked body passes only as far as it is well-formed. The
//! head of an answer goes out as the app wrote it, in place of hyper's. And a client that takes too long is sent away.

mod reading;
mod writing;

use std::{future::poll_fn, io, sync::Arc, task::Waker, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};

use self::{reading::Reading, writing::Writing};
use super::{
    desk::Desk,
    parcel::{Parcel, Socket},
    patience::Patience,
    spool::Spool,
};
use crate::{
    settings::Clients,
    wire::{Proxied, ProxyHeader, Refusal, Scanner, Trust},
};

/// How long a client may take to read the last of an answer before its connection is closed, and to stop sending: what
/// it sends after that would reset the connection, and the answer with it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket with its gate.
pub struct Gate<S> {
    socket: S,
    desk: Arc<Desk>,
    clients: Arc<Clients>,
    trust: Trust,
    /// Whether the socket is one of TLS.
    https: bool,
    /// What came and was not let in yet.
    inbox: BytesMut,
    scanner: Scanner,
    reading: Reading,
    /// What goes out before anything else of hyper's.
    outbox: BytesMut,
    writing: Writing,
    /// The body that goes out in the place of what hyper writes.
    parcel: Option<Parcel>,
    /// Since when the client has taken nothing.
    stalled: Option<Instant>,
    spool: Option<Arc<Spool>>,
    /// Whoever waits to read the next request while an answer is on its way.
    reader: Option<Waker>,
    patience: Patience,
    write_patience: Patience,
    /// Why nothing more is let in.
    refusal: Option<Refusal>,
    broken_off: bool,
}

impl<S: Socket> Gate<S> {
    pub fn new(
        socket: S,
        desk: Arc<Desk>,
        clients: Arc<Clients>,
        spool: Option<Arc<Spool>>,
        trust: Trust,
        https: bool,
    ) -> Self {
        Self {
            socket,
            desk,
            clients,
            trust,
            https,
            inbox: BytesMut::new(),
            scanner: Scanner::default(),
            reading: Reading::Head { since: Instant::now(), is_first: true },
            outbox: BytesMut::new(),
            writing: Writing::Head,
            parcel: None,
            stalled: None,
            spool,
            reader: None,
            patience: Patience::default(),
            write_patience: Patience::default(),
            refusal: None,
            broken_off: false,
        }
    }

    /// Takes in what a proxy says of the connection, if it does.
    ///
    /// # Errors
    /// It is malformed, or does not come.
    pub async fn proxied(&mut self) -> Result<Option<Proxied>, Refusal> {
        loop {
            match ProxyHeader::read(&self.inbox, self.clients.proxy_protocol)? {
                ProxyHeader::Absent => return Ok(None),
                ProxyHeader::Present(proxied, length) => {
                    self.inbox.advance(length);
                    return Ok(Some(proxied));
                }
                ProxyHeader::Incomplete => {}
            }
            // As long as a head may take.
            let limit = self.clients.header_timeout.unwrap_or(Duration::MAX);
            match timeout(limit, poll_fn(|context| self.poll_fill(context))).await {
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(_)) => {}
                Err(_) => return Err(Refusal::new(408, "The PROXY header does not come")),
            }
        }
    }

    /// Whether the connection begins as one of HTTP/2 (RFC 9113 section 3.4). What has come stays where it is.
    pub async fn has_preface(&mut self) -> bool {
        let limit = self.clients.header_timeout.unwrap_or(Duration::MAX);
        let preface = async {
            loop {
                let common = self.inbox.len().min(PREFACE.len());
                if self.inbox[..common] != PREFACE[..common] {
                    return false;
                }
                if common == PREFACE.len() {
                    return true;
                }
                if !matches!(poll_fn(|context| self.poll_fill(context)).await, Ok(1..)) {
                    return false;
                }
            }
        };
        timeout(limit, preface).await.unwrap_or(false)
    }

    /// The socket, and what was taken from it.
    pub fn into_socket(self) -> (S, Bytes) {
        (self.socket, self.inbox.freeze())
    }

    /// Waits for the first request, so that whoever sends none costs no more than this. False where none comes.
    pub async fn has_request(&mut self) -> bool {
        match poll_fn(|context| self.poll_head(context)).await {
            Ok(Some(head)) => {
                self.reading = Reading::Ready(head);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Why the last request was not let in, if that was so.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Whether a body was not let in to its end, because of what the client sent.
    pub fn has_broken_off(&self) -> bool {
        self.broken_off
    }

    /// Lets nothing more in, for this reason.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
        self.reading = Reading::Closed;
    }

    /// Sends what is left to send, and why the last request was refused if it was, and closes the connection once the
    /// client had the time to read it.
    pub async fn close(mut self) {
        if let Some(refusal) = self.refusal {
            self.outbox.extend_from_slice(&refusal.answer(true));
        }
        let end = async {
            self.socket.write_all_buf(&mut self.outbox).await?;
            self.socket.shutdown().await?;
            let mut dropped = [0; 4 << 10];
            while self.socket.read(&mut dropped).await? > 0 {}
            io::Result::Ok(())
        };
        // A client that is gone, or that goes on sending, has had its chance.
        let _ = timeout(LINGER, end).await;
    }

    /// The answer is out.
    fn answer_is_out(&mut self) {
        self.parcel = None;
        self.writing = Writing::Done;
        self.desk.clear();
        if matches!(self.reading, Reading::Nothing) {
            self.next_request();
        }
    }

    fn next_request(&mut self) {
        self.writing = Writing::Head;
        self.reading = Reading::Head { since: Instant::now(), is_first: false };
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
