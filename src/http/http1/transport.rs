//! A socket with what came through it and was not read yet: heads and what precedes them are found here.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    http::{
        body::request::TOO_SLOW,
        connection::{LINGER, PREFACE, Stop, linger},
        socket::Socket,
        timer::Timer,
    },
    settings::Clients,
    wire::{Head, Proxied, ProxyHeader, Refusal, Scanner, Trust},
};

/// So many bytes are taken from a socket at a time.
const PIECE: usize = 64 << 10;

/// A connection as bytes.
pub struct Transport<S> {
    pub(super) socket: S,
    pub(super) clients: Arc<Clients>,
    /// What came and was not read.
    pub(super) inbox: BytesMut,
    scanner: Scanner,
    /// Whether there was a request before.
    kept: bool,
    /// Since when the next head is waited for. The first of a connection is expected from its begin on, others only once
    /// they have begun.
    since: Option<Instant>,
    pub(super) timer: Timer,
}

impl<S: Socket> Transport<S> {
    pub fn new(socket: S, clients: Arc<Clients>) -> Self {
        Self {
            socket,
            clients,
            inbox: BytesMut::new(),
            scanner: Scanner::default(),
            kept: false,
            since: None,
            timer: Timer::default(),
        }
    }

    /// Takes in what a proxy says of the connection, if it does.
    ///
    /// # Errors
    /// It is malformed, or does not come.
    pub async fn proxied(&mut self) -> Result<Option<Proxied>, Refusal> {
        // As long as a head may take, whatever pieces it comes in.
        let limit = self.clients.header_timeout.unwrap_or(Duration::MAX);
        let proxied = async {
            loop {
                match ProxyHeader::read(&self.inbox, self.clients.proxy_protocol)? {
                    ProxyHeader::Absent => return Ok(None),
                    ProxyHeader::Present(proxied, length) => {
                        self.inbox.advance(length);
                        return Ok(Some(proxied));
                    }
                    ProxyHeader::Incomplete(_) => {}
                }
                if !matches!(poll_fn(|context| self.poll_fill(context)).await, Ok(1..)) {
                    return Ok(None);
                }
            }
        };
        timeout(limit, proxied).await.unwrap_or(Err(Refusal::new(408, "The PROXY header does not come")))
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

    /// Whether nothing was taken from it that waits here.
    pub fn is_silent(&self) -> bool {
        self.inbox.is_empty()
    }

    /// The socket, and what was taken from it.
    pub fn into_socket(self) -> (S, Bytes) {
        (self.socket, self.inbox.freeze())
    }

    /// Reads the next head. `None` where the client has no more, or has kept the connection idle for too long.
    ///
    /// # Errors
    /// Why the request is refused.
    pub fn poll_head(&mut self, context: &mut Context<'_>, trust: Trust) -> Poll<Result<Option<Head>, Refusal>> {
        loop {
            // An idle connection has nothing to look at.
            if !self.inbox.is_empty()
                && let Some((start, end)) = self.scanner.find_end(&self.inbox, &self.clients.rules)?
            {
                self.scanner = Scanner::default();
                let mut text = if end == self.inbox.len() {
                    // An idle connection holds no memory for what it may bring.
                    std::mem::take(&mut self.inbox)
                } else {
                    self.inbox.split_to(end)
                };
                text.advance(start);
                (self.kept, self.since) = (true, None);
                return Poll::Ready(Head::parse(text.freeze(), &self.clients.rules, trust).map(Some));
            }
            match self.poll_fill(context) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(size)) => {
                    if self.kept && size == self.inbox.len() {
                        self.since = None;
                    }
                }
                Poll::Pending => {
                    let since = *self.since.get_or_insert_with(Instant::now);
                    // An empty line behind a body begins no request (RFC 9112 section 2.2).
                    let is_idle = self.kept && self.inbox.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
                    let limit = if is_idle { Some(self.clients.keepalive) } else { self.clients.header_timeout };
                    if !self.timer.is_over(context, limit.map(|limit| since + limit)) {
                        return Poll::Pending;
                    }
                    let silent = is_idle || self.inbox.is_empty();
                    return Poll::Ready(if silent { Ok(None) } else { Err(TOO_SLOW) });
                }
            }
        }
    }

    /// Takes what the client has sent. Gives the number of bytes, 0 at the end.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        thread_local! {
            static PLACE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
        }
        PLACE.with_borrow_mut(|place| {
            let mut place = ReadBuf::new(place);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut place))?;
            self.inbox.extend_from_slice(place.filled());
            Poll::Ready(Ok(place.filled().len()))
        })
    }

    /// Says why the last request was refused if it was, and closes the connection once the client had the time to read
    /// what was sent.
    pub async fn close(mut self, refusal: Option<Refusal>, stop: watch::Receiver<Stop>) {
        let end = async {
            if let Some(refusal) = refusal {
                self.socket.write_all(&refusal.answer()).await?;
            }
            self.socket.shutdown().await
        };
        if !matches!(timeout(LINGER, end).await, Ok(Ok(()))) {
            return;
        }
        let rest = async {
            // Not within the connection's own memory, which it has from its begin.
            let mut dropped = vec![0; 4 << 10];
            while matches!(timeout(LINGER, self.socket.read(&mut dropped)).await, Ok(Ok(1..))) {}
        };
        linger(rest, stop).await;
    }
}
