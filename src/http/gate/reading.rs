//! What comes from the client: heads, which the gate reads itself, and bodies, which it passes on.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf},
    time::Instant,
};

use super::{Gate, Socket, Writing};
use crate::{
    http::{
        rate::Rate,
        request_body::{TOO_LARGE, TOO_SLOW},
    },
    wire::{Chunks, Framing, Head, Refusal, Scanner, Version},
};

/// So many bytes are taken from a socket at a time where hyper has no buffer for them.
const PIECE: usize = 64 << 10;

/// What comes next from the client.
pub(super) enum Reading {
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

impl<S: Socket> Gate<S> {
    /// Reads the next head. `None` where the client has no more, or has kept the connection idle for too long.
    pub(super) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Arc<Head>>, Refusal>> {
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
                let mut head = Head::parse(text, &self.clients.rules, self.trust)?;
                head.https |= self.https;
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
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
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
        self.broken_off = true;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)))
    }

    fn body_is_in(&mut self) {
        self.reading = Reading::Nothing;
        if self.writing == Writing::Done {
            self.next_request();
        }
    }
}

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
