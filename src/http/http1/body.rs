//! A request's body as it comes: as long as its head said, or in chunks; no longer than it may be, and no slower.

use std::{
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;

use super::transport::Transport;
use crate::{
    http::{
        body::{
            buffer::{self, Buffer},
            rate::Rate,
            request::{TOO_LARGE, TOO_SLOW},
        },
        socket::Socket,
    },
    settings::Clients,
    wire::{Chunks, Framing, Refusal},
};

/// What is left of a body.
pub struct Body {
    rest: Rest,
    rate: Rate,
    /// So many bytes more may come.
    room: Option<u64>,
    /// The client waits to be told to send it.
    pub expects_continue: bool,
    /// Why it broke off.
    pub refusal: Option<Refusal>,
}

enum Rest {
    Length(u64),
    Chunks(Chunks),
}

impl Body {
    pub fn new(framing: Framing, expects_continue: bool, clients: &Clients) -> Self {
        let rest = match framing {
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunks(Chunks::default()),
        };
        let rate = Rate::new(clients.body_min_rate);
        Self { rest, rate, room: clients.limit_request_body, expects_continue, refusal: None }
    }

    /// Whether all of it has come.
    pub fn is_done(&self) -> bool {
        match &self.rest {
            Rest::Length(left) => *left == 0,
            Rest::Chunks(chunks) => chunks.is_done(),
        }
    }

    /// The next piece; `None` at the end.
    pub fn poll_piece<S: Socket>(
        &mut self,
        transport: &mut Transport<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Refusal>> {
        if let Some(refusal) = self.refusal {
            return Poll::Ready(Err(refusal));
        }
        let polled = match &mut self.rest {
            Rest::Length(0) => Poll::Ready(Ok(None)),
            Rest::Length(left) => poll_length(left, transport, context),
            Rest::Chunks(chunks) => poll_chunk(chunks, transport, context),
        };
        let result = match polled {
            Poll::Ready(Ok(Some(piece))) => {
                self.rate.came(piece.len());
                match &mut self.room {
                    Some(room) if (piece.len() as u64) > *room => Err(TOO_LARGE),
                    Some(room) => {
                        *room -= piece.len() as u64;
                        Ok(Some(piece))
                    }
                    None => Ok(Some(piece)),
                }
            }
            Poll::Ready(result) => result,
            Poll::Pending if transport.timer.is_over(context, self.rate.wait()) => Err(TOO_SLOW),
            Poll::Pending => return Poll::Pending,
        };
        self.refusal = result.as_ref().err().copied();
        Poll::Ready(result)
    }
}

/// What has come of a chunk is copied where it is less than this, half of what is read at a time.
const COPIED: usize = 32 << 10;

const ENDED: Refusal = Refusal::bad("The body ended early");

fn poll_length<S: Socket>(
    left: &mut u64,
    transport: &mut Transport<S>,
    context: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, Refusal>> {
    let piece = if transport.inbox.is_empty() {
        // Straight from the socket: a large body is not copied here, and nothing behind it is read.
        ready!(poll_piece(usize::try_from(*left).unwrap_or(usize::MAX), transport, context))?
    } else if transport.inbox.len() as u64 <= *left {
        std::mem::take(&mut transport.inbox).freeze()
    } else {
        transport.inbox.split_to(usize::try_from(*left).unwrap_or(usize::MAX)).freeze()
    };
    *left -= piece.len() as u64;
    Poll::Ready(Ok(Some(piece)))
}

/// What has come, of so many bytes.
fn poll_piece<S: Socket>(
    left: usize,
    transport: &mut Transport<S>,
    context: &mut Context<'_>,
) -> Poll<Result<Bytes, Refusal>> {
    let size = left.min(buffer::SIZE);
    let piece = if size < buffer::SIZE {
        let mut piece = Vec::with_capacity(size);
        ready!(poll_read(&mut piece, size, transport, context))?;
        // It would hold all of that room, for as long as it waits.
        if piece.len() < size / 2 { Bytes::copy_from_slice(&piece) } else { piece.into() }
    } else {
        let mut piece = Buffer::take();
        ready!(poll_read(piece.content(), size, transport, context))?;
        if piece.content().len() < size / 2 { Bytes::copy_from_slice(piece.content()) } else { piece.freeze() }
    };
    Poll::Ready(Ok(piece))
}

fn poll_read<S: Socket>(
    piece: &mut Vec<u8>,
    size: usize,
    transport: &mut Transport<S>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Refusal>> {
    let mut limited = piece.limit(size);
    let read = ready!(pin!(transport.socket.read_buf(&mut limited)).poll(context));
    Poll::Ready(if matches!(read, Ok(1..)) { Ok(()) } else { Err(ENDED) })
}

fn poll_chunk<S: Socket>(
    chunks: &mut Chunks,
    transport: &mut Transport<S>,
    context: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, Refusal>> {
    loop {
        let (skipped, data) = chunks.next(&transport.inbox, &transport.clients.rules)?;
        transport.inbox.advance(skipped);
        if data > 0 {
            // It would hold all that came with it, for as long as it waits.
            let piece = if data < COPIED {
                let piece = Bytes::copy_from_slice(&transport.inbox[..data]);
                transport.inbox.advance(data);
                piece
            } else {
                transport.inbox.split_to(data).freeze()
            };
            if transport.inbox.is_empty() {
                transport.inbox = BytesMut::new();
            }
            return Poll::Ready(Ok(Some(piece)));
        }
        if chunks.is_done() {
            return Poll::Ready(Ok(None));
        }
        if !matches!(ready!(transport.poll_fill(context)), Ok(1..)) {
            return Poll::Ready(Err(ENDED));
        }
    }
}
