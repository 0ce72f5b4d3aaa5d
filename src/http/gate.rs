//! The gate between a socket and hyper.
//!
//! hyper is kept for what it does well: bodies and their framing, the order of requests and answers, keeping connections.
//! What it is too lenient for is done here. A request's head is read by [`wire`](crate::wire); hyper is told only what
//! frames the message, so no other reading of it can matter. A chunked body passes only as far as it is well-formed. The
//! head of an answer goes out as the app wrote it, in place of hyper's. And a client that takes too long is sent away.

use std::{
    cell::RefCell,
    convert::Infallible,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Instant, timeout},
};

use super::{
    desk::Desk,
    parcel::{Parcel, Socket},
    patience::Patience,
    rate::Rate,
    spool::Spool,
};
use crate::{
    settings::Clients,
    wire::{Chunks, Framing, Head, Proxied, ProxyHeader, Refusal, Scanner, Trust, Version},
};

/// How long a client may take to read the last of an answer before its connection is closed, and to stop sending: what
/// it sends after that would reset the connection, and the answer with it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// So many bytes are taken from a socket at a time where hyper has no buffer for them.
const PIECE: usize = 64 << 10;

/// A socket with its gate.
pub struct Gate<S> {
    socket: S,
    desk: Arc<Desk>,
    clients: Arc<Clients>,
    trust: Trust,
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
}

/// What comes next from the client.
enum Reading {
    /// A head. The first of a connection is expected from its begin on, others only once they have begun.
    Head { since: Instant, is_first: bool },
    /// A head that was read already.
    Ready(Arc<Head>),
    /// So many bytes of a body.
    Length(u64, Rate),
    /// Chunks, of which so many bytes may be let in already, and so many bytes of body have come.
    Chunks { chunks: Chunks, cleared: usize, size: u64, rate: Rate },
    /// Nothing, until the answer is out.
    Nothing,
    /// Nothing ever again.
    Closed,
}

/// What hyper writes next.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Writing {
    Head,
    Body,
    /// It has answered before the body of the request was in.
    Done,
}

impl<S: Socket> Gate<S> {
    pub fn new(socket: S, desk: Arc<Desk>, clients: Arc<Clients>, spool: Option<Arc<Spool>>, trust: Trust) -> Self {
        Self {
            socket,
            desk,
            clients,
            trust,
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
            match std::future::poll_fn(|context| self.poll_fill(context)).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// Waits for the first request, so that whoever sends none costs no more than this. False where none comes.
    pub async fn has_request(&mut self) -> bool {
        match std::future::poll_fn(|context| self.poll_head(context)).await {
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

    /// Reads the next head. `None` where the client has no more, or has kept the connection idle for too long.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Arc<Head>>, Refusal>> {
        let head = match ready!(self.poll_head_bytes(context)) {
            Ok(Some(head)) => head,
            Ok(None) => {
                self.reading = Reading::Closed;
                return Poll::Ready(Ok(None));
            }
            Err(refusal) => {
                self.refuse(refusal);
                return Poll::Ready(Err(refusal));
            }
        };
        Poll::Ready(Ok(Some(Arc::new(head))))
    }

    fn poll_head_bytes(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Head>, Refusal>> {
        loop {
            if let Some((start, end)) = self.scanner.find_end(&self.inbox, &self.clients.rules)? {
                self.scanner = Scanner::default();
                let mut text = self.inbox.split_to(end).freeze();
                text.advance(start);
                if self.inbox.is_empty() {
                    // An idle connection holds no memory for what it may bring.
                    self.inbox = BytesMut::new();
                }
                let head = Head::parse(text, &self.clients.rules, self.trust)?;
                let limit = self.clients.limit_request_body;
                if let (Framing::Length(length), Some(limit)) = (head.framing, limit)
                    && length > limit
                {
                    return Poll::Ready(Err(TOO_LARGE));
                }
                return Poll::Ready(Ok(Some(head)));
            }
            match self.poll_fill(context) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let Reading::Head { since, is_first } = self.reading else { return Poll::Pending };
                    let is_idle = self.inbox.is_empty() && !is_first;
                    let limit = if is_idle { Some(self.clients.keepalive) } else { self.clients.header_timeout };
                    if !self.patience.is_over(context, limit.map(|limit| since + limit)) {
                        return Poll::Pending;
                    }
                    let silent = is_idle || self.inbox.is_empty();
                    return Poll::Ready(if silent { Ok(None) } else { Err(TOO_SLOW) });
                }
            }
        }
    }

    /// Takes what the client has sent. Gives the number of bytes, 0 at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        thread_local! {
            static PLACE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
        }
        PLACE.with_borrow_mut(|place| {
            let mut place = ReadBuf::new(place);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut place))?;
            if let Reading::Head { since, is_first } = &mut self.reading
                && self.inbox.is_empty()
                && !*is_first
            {
                *since = Instant::now();
            }
            self.inbox.extend_from_slice(place.filled());
            Poll::Ready(Ok(place.filled().len()))
        })
    }

    /// The head goes to those who answer, and hyper is told how the message is framed.
    fn let_in(&mut self, head: Arc<Head>, buffer: &mut ReadBuf<'_>) {
        let rate = Rate::new(self.clients.body_min_rate);
        self.reading = match head.framing {
            Framing::Length(0) => Reading::Nothing,
            Framing::Length(length) => Reading::Length(length, rate),
            Framing::Chunked => Reading::Chunks { chunks: Chunks::default(), cleared: 0, size: 0, rate },
        };
        buffer.put_slice(if head.method() == "HEAD" { b"HEAD / " } else { b"POST / " });
        buffer.put_slice(if head.version == Version::HTTP_10 { b"HTTP/1.0\r\n" } else { b"HTTP/1.1\r\n" });
        if !head.keep_alive {
            buffer.put_slice(b"connection: close\r\n");
        } else if head.version == Version::HTTP_10 {
            buffer.put_slice(b"connection: keep-alive\r\n");
        }
        if head.expects_continue {
            buffer.put_slice(b"expect: 100-continue\r\n");
        }
        match head.framing {
            Framing::Length(0) => {}
            Framing::Length(length) => buffer.put_slice(format!("content-length: {length}\r\n").as_bytes()),
            Framing::Chunked => buffer.put_slice(b"transfer-encoding: chunked\r\n"),
        }
        buffer.put_slice(b"\r\n");
        self.desk.bring_request(head);
    }

    /// Passes some of a body of known length on.
    fn poll_length(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Reading::Length(left, rate) = &mut self.reading else { return Poll::Ready(Ok(())) };
        let before = buffer.filled().len();
        if self.inbox.is_empty() {
            let mut part = (&mut self.socket).take(*left);
            match Pin::new(&mut part).poll_read(context, buffer) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    return if self.patience.is_over(context, rate.wait()) {
                        self.fail(TOO_SLOW)
                    } else {
                        Poll::Pending
                    };
                }
            }
        } else {
            let part = usize::try_from(*left).unwrap_or(usize::MAX).min(self.inbox.len()).min(buffer.remaining());
            buffer.put_slice(&self.inbox.split_to(part));
        }
        let passed = buffer.filled().len() - before;
        rate.came(passed);
        *left -= passed as u64;
        if *left == 0 {
            self.body_is_in();
        }
        Poll::Ready(Ok(()))
    }

    /// Passes some chunks on, as far as they are well-formed.
    fn poll_chunks(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let Reading::Chunks { chunks, cleared, size, .. } = &mut self.reading else { return Poll::Ready(Ok(())) };
            if *cleared == 0 && !chunks.is_done() {
                match chunks.check(&self.inbox, &self.clients.rules) {
                    Ok((good, data)) => {
                        (*cleared, *size) = (good, *size + data);
                        if self.clients.limit_request_body.is_some_and(|limit| *size > limit) {
                            return self.fail(TOO_LARGE);
                        }
                    }
                    Err(refusal) => return self.fail(refusal),
                }
            }
            let part = (*cleared).min(buffer.remaining());
            if part > 0 {
                buffer.put_slice(&self.inbox.split_to(part));
                *cleared -= part;
                if *cleared == 0 && chunks.is_done() {
                    self.body_is_in();
                }
                return Poll::Ready(Ok(()));
            }
            match self.poll_fill(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(came)) => {
                    if let Reading::Chunks { rate, .. } = &mut self.reading {
                        rate.came(came);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let Reading::Chunks { rate, .. } = &mut self.reading else { return Poll::Pending };
                    let deadline = rate.wait();
                    return if self.patience.is_over(context, deadline) { self.fail(TOO_SLOW) } else { Poll::Pending };
                }
            }
        }
    }

    /// The body breaks off: nothing more is let in, and whoever reads it is told why, and tells the client.
    fn fail(&mut self, refusal: Refusal) -> Poll<io::Result<()>> {
        self.reading = Reading::Closed;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)))
    }

    fn body_is_in(&mut self) {
        self.reading = Reading::Nothing;
        if self.writing == Writing::Done {
            self.next_request();
        }
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

    /// Takes hyper's head, and puts the real one in its place. Gives the number of bytes that are hyper's.
    fn replace_head(&mut self, written: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.writing == Writing::Head && taken < written.len() {
            let rest = &written[taken..];
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            let end = end.ok_or_else(|| io::Error::other("hyper has written a head in pieces"))?;
            if rest.starts_with(b"HTTP/1.1 100 ") {
                self.outbox.extend_from_slice(&rest[..end]);
            } else {
                let (head, parcel) =
                    self.desk.take_response().ok_or_else(|| io::Error::other("an answer without a head"))?;
                self.outbox.extend_from_slice(&self.desk.take_interim());
                self.outbox.extend_from_slice(&head);
                self.parcel = parcel;
                self.writing = Writing::Body;
            }
            taken += end;
        }
        Ok(taken)
    }

    /// Writes what is in the outbox, and behind it what hyper has but for the first bytes. Gives the number of hyper's.
    fn poll_write_behind_outbox(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
        taken: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            // hyper brings few at a time; those that have no place here come again.
            let mut slices = [IoSlice::new(&[]); 16];
            slices[0] = IoSlice::new(&self.outbox);
            slices[1] = IoSlice::new(&buffers[0][taken..]);
            let count = (buffers.len() - 1).min(slices.len() - 2);
            slices[2..2 + count].copy_from_slice(&buffers[1..=count]);
            let is_enough = slices[1..2 + count].iter().all(|slice| slice.is_empty());
            let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(context, &slices[..2 + count]))?;
            let own = written.min(self.outbox.len());
            self.outbox.advance(own);
            if written > own || is_enough || written == 0 {
                return Poll::Ready(Ok(written - own));
            }
        }
    }

    /// The client takes nothing. What waits for it in memory is put elsewhere after a while, and after a longer one it
    /// is cut off.
    fn stall(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Infallible>> {
        let since = *self.stalled.get_or_insert_with(Instant::now);
        if let (Some(parcel @ Parcel::Memory(_)), Some(spool)) = (&mut self.parcel, &self.spool) {
            if !self.write_patience.is_over(context, Some(since + SPILL)) {
                return Poll::Pending;
            }
            parcel.spill(spool);
        }
        let limit = self.clients.write_timeout.map(|limit| since + limit);
        if self.write_patience.is_over(context, limit) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn poll_outbox(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let written = match Pin::new(&mut self.socket).poll_write(context, &self.outbox) {
                Poll::Ready(written) => written?,
                Poll::Pending => return self.stall(context).map_ok(|never| match never {}),
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.advance(written);
        }
        if self.outbox.capacity() > 0 {
            self.outbox = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// A client that takes nothing for this long is slow.
const SPILL: Duration = Duration::from_secs(1);

const TOO_LARGE: Refusal = Refusal::new(413, "The body is larger than it may be");
const TOO_SLOW: Refusal = Refusal::new(408, "The client is too slow");

impl<S: Socket> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &this.reading {
            Reading::Head { .. } => {
                // A refusal is told when everything before it is answered: hyper sees the end of what there is.
                if let Ok(Some(head)) = ready!(this.poll_head(context)) {
                    this.let_in(head, buffer);
                }
                Poll::Ready(Ok(()))
            }
            Reading::Ready(head) => {
                let head = Arc::clone(head);
                this.let_in(head, buffer);
                Poll::Ready(Ok(()))
            }
            Reading::Length(..) => this.poll_length(context, buffer),
            Reading::Chunks { .. } => this.poll_chunks(context, buffer),
            Reading::Nothing => {
                this.reader = Some(context.waker().clone());
                Poll::Pending
            }
            Reading::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Socket> AsyncWrite for Gate<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let buffers: &[IoSlice<'_>] = match buffers.iter().position(|buffer| !buffer.is_empty()) {
            Some(first) => &buffers[first..],
            None => return Poll::Ready(Ok(0)),
        };
        let taken = this.replace_head(&buffers[0])?;
        let count = buffers.iter().map(|buffer| buffer.len()).sum::<usize>() - taken;
        let written = match &mut this.parcel {
            Some(parcel) if count > 0 => parcel.poll_write(&mut this.socket, context, &mut this.outbox, count),
            _ => this.poll_write_behind_outbox(context, buffers, taken),
        };
        match written {
            Poll::Ready(Ok(written)) => {
                this.stalled = None;
                Poll::Ready(Ok(taken + written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if taken > 0 => Poll::Ready(Ok(taken)),
            Poll::Pending => this.stall(context).map_ok(|never| match never {}),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.writing == Writing::Head {
            let interim = this.desk.take_interim();
            this.outbox.extend_from_slice(&interim);
        }
        ready!(this.poll_outbox(context))?;
        if this.writing == Writing::Body && this.desk.is_over() {
            this.answer_is_out();
        }
        Pin::new(&mut this.socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // `close` does that, in its own time.
        Poll::Ready(Ok(()))
    }
}
