//! The body of an answer on its way, as fast as the client takes it.

use std::{future::poll_fn, task::Poll, time::Duration};

use bytes::Bytes;
use h2::{Reason, SendStream};
use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};

use super::{activity::Activity, line::Line, turns::Turn};
use crate::http::{
    body::{
        pieces::{End, Pieces},
        spool::{SLOW, Spool},
        whole::{Spill, WholeBody, unreadable},
    },
    connection::Connection,
    responder::AnswerBody,
    timer::Timer,
};

/// So much is asked for at a time: the other answers of the connection want their turns.
const PIECE: usize = 16 << 10;

/// How often it is looked whether a client that takes nothing has had its turn.
const LOOK: Duration = Duration::from_millis(500);

/// Why an answer ends before its end.
enum Cut {
    /// The client does not want it any more.
    Gone,
    /// The client takes nothing of it.
    Stalled,
    /// There is no more of it.
    Broken,
}

/// An answer whose head is sent.
pub struct Sending<'a> {
    stream: SendStream<Bytes>,
    activity: &'a Activity,
    line: &'a mut Line,
    /// For how long the client may take nothing.
    limit: Option<Duration>,
    /// Where a large answer waits that is in memory, when its client is slow.
    spool: Option<&'a Spool>,
    timer: Timer,
    /// What it has asked for last.
    asked: Turn,
}

impl<'a> Sending<'a> {
    pub fn new(
        stream: SendStream<Bytes>,
        activity: &'a Activity,
        line: &'a mut Line,
        connection: &'a Connection,
    ) -> Self {
        let (limit, spool) = (connection.clients.write_timeout, connection.spool.as_deref());
        Self { stream, activity, line, limit, spool, timer: Timer::default(), asked: activity.ask() }
    }

    /// Sends the body, which is not empty, until this time at the latest while the app makes more of it. What breaks off is
    /// reset, so that it is not taken for the whole.
    pub async fn send(mut self, body: AnswerBody, deadline: Option<Instant>) {
        let sent = match body {
            AnswerBody::Whole(whole) => self.send_whole(whole).await,
            AnswerBody::Pieces(pieces) => self.send_pieces(&pieces, deadline).await,
        };
        match sent {
            Ok(()) | Err(Cut::Gone) => {}
            Err(Cut::Stalled) => self.stream.send_reset(Reason::CANCEL),
            Err(Cut::Broken) => {
                // What was given to h2 before is to go out; a reset drops what has not.
                yield_now().await;
                self.stream.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    }

    async fn send_whole(&mut self, mut whole: WholeBody) -> Result<(), Cut> {
        while whole.left() > 0 {
            let mut piece = whole.next_piece().map_err(|error| {
                unreadable(&error);
                Cut::Broken
            })?;
            if whole.is_large()
                && let Some(spool) = self.spool
            {
                // The client may be slow. What it has not been given yet is part of all of it.
                if let Ok(put) = timeout(SLOW, self.put(&mut piece, false)).await {
                    put?;
                } else {
                    piece = Bytes::copy_from_slice(&piece);
                    let mut spill = Spill::new(&whole, spool);
                    while let Some(begun) = spill {
                        spill = begun.go_on(&mut whole);
                        yield_now().await;
                    }
                }
            }
            self.put(&mut piece, whole.left() == 0).await?;
        }
        Ok(())
    }

    async fn send_pieces(&mut self, pieces: &Pieces, deadline: Option<Instant>) -> Result<(), Cut> {
        while let Some(mut piece) = self.next(pieces, deadline).await? {
            self.put(&mut piece, false).await?;
        }
        self.stream.send_data(Bytes::new(), true).map_err(|_| Cut::Gone)
    }

    async fn next(&mut self, pieces: &Pieces, deadline: Option<Instant>) -> Result<Option<Bytes>, Cut> {
        poll_fn(|context| match pieces.poll_next(context) {
            Poll::Ready(Ok(piece)) => Poll::Ready(Ok(Some(piece))),
            Poll::Ready(Err(End::Well)) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(End::Broken)) => Poll::Ready(Err(Cut::Broken)),
            Poll::Pending if self.stream.poll_reset(context).is_ready() => Poll::Ready(Err(Cut::Gone)),
            Poll::Pending if self.timer.is_over(context, deadline) => Poll::Ready(Err(Cut::Broken)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Sends a piece as the client takes it.
    async fn put(&mut self, piece: &mut Bytes, is_last: bool) -> Result<(), Cut> {
        while !piece.is_empty() {
            let size = self.room(piece.len().min(PIECE)).await?;
            let taken = piece.split_to(size);
            self.stream.send_data(taken, is_last && piece.is_empty()).map_err(|_| Cut::Gone)?;
            self.line.sent += size as u64;
        }
        Ok(())
    }

    /// Waits until the client takes some of so many bytes. Gives how many.
    async fn room(&mut self, size: usize) -> Result<usize, Cut> {
        self.stream.reserve_capacity(size);
        let (mut turn, mut ring) = (None, None);
        let room = poll_fn(|context| {
            if self.stream.poll_reset(context).is_ready() {
                return Poll::Ready(Err(Cut::Gone));
            }
            let room = self.stream.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            match self.stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(room))) => return Poll::Ready(Ok(room)),
                Poll::Ready(_) => return Poll::Ready(Err(Cut::Gone)),
                Poll::Pending => {}
            }
            let Some(limit) = self.limit else { return Poll::Pending };
            let turn = *turn.get_or_insert_with(|| self.activity.ask());
            while self.timer.is_over(context, Some(ring.unwrap_or(turn.since + limit))) {
                if self.activity.is_stalled(turn, limit) {
                    return Poll::Ready(Err(Cut::Stalled));
                }
                ring = Some(Instant::now() + LOOK);
            }
            Poll::Pending
        })
        .await?;
        if let Some(turn) = turn {
            self.activity.give(std::mem::replace(&mut self.asked, turn));
        }
        Ok(room.min(size))
    }
}
