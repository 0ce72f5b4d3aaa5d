//! One request of a connection, from its head to the last byte of its answer.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, timeout};

use super::{
    body::Body,
    feed::{Demand, Feed, Feeding},
    outbox::{Outbox, Slowness},
    transport::Transport,
};
use crate::{
    http::{
        body::{
            pieces::{End, Pieces},
            request::{DRAIN_TIME, NoBody, RequestBody},
            whole::unreadable,
        },
        connection::{Connection, FAILED, Running, Stop, TOO_LONG},
        log_entry::LogEntry,
        responder::{Answer, AnswerBody},
        slot::{Found, Waiting},
        socket::Socket,
        timer::Timer,
    },
    wire::{self, Refusal, Version},
    wsgi::{BodyReader, Notes},
};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What becomes of the connection.
pub enum Next {
    /// It may bring another request.
    Request,
    /// It ends in order.
    End,
    /// It breaks, so that what was sent is not taken for the whole.
    Cut,
}

/// A request under way.
struct Exchange<'a, S> {
    connection: &'a Connection,
    transport: &'a mut Transport<S>,
    head: Arc<wire::Head>,
    body: Body,
    /// Where the app reads the body from, if it reads while it comes.
    feed: Option<Feeding>,
    outbox: Outbox,
    log: Option<LogEntry>,
    /// What the app has left for that.
    notes: Notes,
    /// So many bytes of the answer's body went out.
    sent: u64,
}

/// Answers a request whose head has come.
pub async fn answer<S: Socket>(connection: &Connection, transport: &mut Transport<S>, head: Arc<wire::Head>) -> Next {
    let log = connection.access_log.as_deref().map(LogEntry::new);
    let body = Body::new(head.framing, head.expects_continue, &connection.clients);
    let mut exchange = Exchange {
        connection,
        transport,
        head,
        body,
        feed: None,
        outbox: Outbox::default(),
        log,
        notes: Notes::new(),
        sent: 0,
    };
    let next = exchange.run().await;
    if let (Some(entry), Some(log)) = (&exchange.log, &connection.access_log) {
        entry.write(log, connection.remote_addr.as_deref(), &exchange.head, exchange.sent, &exchange.notes);
    }
    match next {
        Next::Request if !exchange.body.is_done() => exchange.drain().await,
        next => next,
    }
}

impl<S: Socket> Exchange<'_, S> {
    async fn run(&mut self) -> Next {
        if let Err(refusal) = self.connection.check_length(self.head.framing) {
            return self.refuse(refusal).await;
        }
        let body = match self.receive().await {
            Ok(body) => body,
            // The framing is lost, so the connection cannot be used again.
            Err(refusal) => return self.refuse(refusal).await,
        };
        let connection = self.connection;
        let request = match connection.request(Arc::clone(&self.head)) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let _running = Running::new(&connection.work);
        let (waiting, deadline) = connection.call(request, body);
        let next = match self.wait(&waiting, deadline).await {
            Ok(Ok(answer)) => self.respond(answer, wire::Connection::KeepAlive, deadline).await,
            Ok(Err(refusal)) => self.fail(refusal).await,
            Err(error) => self.broken(&error),
        };
        if self.log.is_some() {
            self.notes = waiting.notes();
        }
        next
    }

    /// Takes the body in, as much of it as there is room for. Where nothing is buffered the app gets it as it comes.
    async fn receive(&mut self) -> Result<Box<dyn BodyReader>, Refusal> {
        if self.body.is_done() {
            return Ok(Box::new(NoBody));
        }
        let mut taken = Box::<RequestBody>::default();
        let connection = self.connection;
        if let Some(spool) = &connection.spool {
            loop {
                let piece = taken.patiently(poll_fn(|context| self.poll_piece(context)), spool).await?;
                let Some(piece) = piece else { return Ok(taken) };
                if !taken.take_in(piece, spool) {
                    break;
                }
                if self.body.is_done() {
                    return Ok(taken);
                }
            }
        }
        let feed = Arc::<Feed>::default();
        self.feed = Some(Feeding(Arc::clone(&feed)));
        taken.goes_on(feed, &self.connection.app);
        Ok(taken)
    }

    /// The next piece of the body. A client that waits to be told to send it is told.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<bytes::Bytes>, Refusal>> {
        // A client that does not wait for it needs no telling (RFC 9110 section 10.1.1).
        if std::mem::take(&mut self.body.expects_continue) && self.transport.inbox.is_empty() {
            self.outbox.text().extend_from_slice(CONTINUE);
        }
        // What cannot be written now goes out with what follows; a client that is gone is noticed by reading.
        let _ = self.poll_write(context);
        let polled = self.body.poll_piece(self.transport, context);
        if matches!(polled, Poll::Ready(Ok(Some(_)))) {
            self.connection.work.comes();
        }
        polled
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let slowness = Slowness { spool: self.connection.spool.as_ref(), limit: self.connection.clients.write_timeout };
        self.outbox.poll_write(&mut self.transport.socket, context, &slowness)
    }

    /// Brings the app as much of the body as it wants, and gives what it wants then: more, where that has yet to come.
    fn poll_feed(&mut self, context: &mut Context<'_>) -> Demand {
        while let Some(Feeding(feed)) = &self.feed {
            let feed = Arc::clone(feed);
            let demand = feed.demand(context);
            if demand != Demand::More {
                return demand;
            }
            match self.poll_piece(context) {
                Poll::Ready(Ok(Some(piece))) => feed.push(piece),
                Poll::Ready(Ok(None)) => feed.end(Ok(())),
                Poll::Ready(Err(refusal)) => {
                    self.connection.log(refusal);
                    feed.end(Err(refusal));
                }
                Poll::Pending => return Demand::More,
            }
        }
        Demand::Closed
    }

    /// Waits for the answer.
    async fn wait(&mut self, waiting: &Waiting, deadline: Option<Instant>) -> io::Result<Result<Answer, Refusal>> {
        let mut timer = Timer::default();
        poll_fn(|context| {
            self.poll_feed(context);
            loop {
                match waiting.poll(context) {
                    Poll::Ready(Found::Answer(answer)) => return Poll::Ready(Ok(Ok(answer))),
                    Poll::Ready(Found::Nothing) => return Poll::Ready(Ok(Err(FAILED))),
                    Poll::Ready(Found::Interim(head)) => self.outbox.text().extend_from_slice(&head),
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(Err(error)) = self.poll_write(context) {
                return Poll::Ready(Err(error));
            }
            if timer.is_over(context, deadline) {
                return Poll::Ready(Ok(Err(TOO_LONG)));
            }
            Poll::Pending
        })
        .await
    }

    /// Says why there is no other answer, and ends the connection.
    async fn refuse(&mut self, refusal: Refusal) -> Next {
        self.connection.log(refusal);
        self.fail(refusal).await
    }

    async fn fail(&mut self, refusal: Refusal) -> Next {
        self.respond(Answer::refusal(refusal), wire::Connection::Close, None).await
    }

    /// Sends an answer.
    async fn respond(&mut self, answer: Answer, wish: wire::Connection, deadline: Option<Instant>) -> Next {
        let Answer { head, body } = answer;
        let request = &self.head;
        let has_body = head.has_body() && request.method() != "HEAD";
        // What follows then is no body, and has no framing (RFC 9110 section 9.3.6).
        let is_tunnel = request.method() == "CONNECT" && head.status.is_success();
        let length = match &body {
            _ if is_tunnel => None,
            AnswerBody::Whole(whole) if has_body => Some(whole.left()),
            _ => head.content_length,
        };
        let chunked = has_body && length.is_none() && request.version >= Version::HTTP_11 && !is_tunnel;
        // Once the answer has begun nobody is told any more: it would be read as a part of it.
        let was_not_told = std::mem::take(&mut self.body.expects_continue);
        let keep_alive = wish == wire::Connection::KeepAlive
            && request.keep_alive
            && !is_tunnel
            && (chunked || !has_body || length.is_some())
            && self.body.refusal.is_none()
            // Such a client may send its body, or not.
            && !was_not_told
            && !self.connection.clients.keepalive.is_zero()
            && self.connection.may_stay()
            && *self.connection.stop.borrow() == Stop::Not;
        let fate = if keep_alive { wire::Connection::KeepAlive } else { wire::Connection::Close };
        let (version, status) = (request.version, head.status.as_u16());
        wire::write_head(self.outbox.text(), version, status, &head.reason, fate, length, chunked, &head.fields);
        if let (Some(entry), Some(log)) = (&mut self.log, &self.connection.access_log) {
            entry.answered(log, &head);
        }
        let written = match body {
            AnswerBody::Pieces(pieces) if has_body => self.stream(&pieces, chunked, deadline).await,
            AnswerBody::Whole(whole) if has_body => {
                let size = whole.left();
                self.outbox.add(whole);
                let written = poll_fn(|context| self.poll_write(context)).await;
                self.sent = size - self.outbox.left();
                written.map(|()| End::Well)
            }
            body => {
                drop(body);
                poll_fn(|context| self.poll_write(context)).await.map(|()| End::Well)
            }
        };
        let is_framed = !has_body || chunked || length.is_some();
        match written {
            Ok(End::Well) if keep_alive && self.body.refusal.is_none() => Next::Request,
            Ok(End::Well) => Next::End,
            // Its framing says that it is not whole. What there is of it is to arrive.
            Ok(End::Broken) if is_framed => Next::End,
            // Only the connection can say it; what is on its way may be lost by that.
            Ok(End::Broken) => {
                self.transport.socket.reset();
                Next::Cut
            }
            Err(error) => {
                if !is_framed {
                    // The system would deliver what it has, and end the connection as if that were all.
                    self.transport.socket.reset();
                }
                self.broken(&error)
            }
        }
    }

    /// Sends pieces as they come, until this time at the latest while the app has not ended.
    async fn stream(&mut self, pieces: &Pieces, chunked: bool, deadline: Option<Instant>) -> io::Result<End> {
        let mut timer = Timer::default();
        let mut end = None;
        poll_fn(|context| {
            self.poll_feed(context);
            loop {
                while end.is_none() && self.outbox.has_room() {
                    match pieces.poll_next(context) {
                        Poll::Ready(Ok(piece)) => {
                            self.sent += piece.len() as u64;
                            self.outbox.add_piece(piece, chunked);
                        }
                        Poll::Ready(Err(how)) => end = Some(how),
                        Poll::Pending if timer.is_over(context, deadline) => {
                            pieces.break_off();
                            end = Some(End::Broken);
                        }
                        Poll::Pending => break,
                    }
                    if end == Some(End::Well) && chunked {
                        self.outbox.end_chunks();
                    }
                }
                let room = self.outbox.has_room();
                ready!(self.poll_write(context))?;
                match end {
                    Some(end) => return Poll::Ready(Ok(end)),
                    // It was full, so there may be more to add.
                    None if !room => {}
                    None => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Reads what the app has left of the body.
    async fn drain(&mut self) -> Next {
        let drain = poll_fn(|context| {
            while !self.body.is_done() {
                // The app may still read, though it has answered.
                if self.poll_feed(context) != Demand::Closed {
                    return Poll::Pending;
                }
                ready!(self.poll_piece(context))?;
            }
            Poll::Ready(Ok::<(), Refusal>(()))
        });
        match timeout(DRAIN_TIME, drain).await {
            Ok(Ok(())) => Next::Request,
            _ => Next::End,
        }
    }

    fn broken(&self, error: &io::Error) -> Next {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            // No client's doing: it is the body's word for a file.
            unreadable(error);
        } else {
            tracing::debug!("The connection from ip={} ended: {error}.", self.connection.shown_peer());
        }
        Next::Cut
    }
}
