//! The body of an answer that is there as a whole: it goes from where it is to the socket.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::unix::fs::FileExt as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};

use super::spool::{self, Spool, Waiting};
use crate::http::socket::Socket;

/// A body.
#[derive(Debug)]
pub enum WholeBody {
    /// In memory, the app's own perhaps.
    Memory(Bytes),
    /// So many bytes of a file from this offset on.
    File { file: File, offset: u64, left: u64 },
}

/// So much of a file is read at a time where it has to be.
const PIECE: usize = 64 << 10;

/// So much of a file is sent at a time: other connections want their turn.
const AT_ONCE: usize = 1 << 20;

/// What is not larger than this does not count as waiting in memory.
const SMALL: usize = 64 << 10;

impl WholeBody {
    /// A body that waits for its client: in memory, unless too much does already.
    pub fn new(bytes: Bytes, spool: Option<&Spool>) -> Self {
        let Some(spool) = spool.filter(|_| bytes.len() > SMALL) else { return Self::Memory(bytes) };
        spool.budget().hold_answer(bytes).map_or_else(
            |bytes| {
                let mut whole = Self::Memory(bytes);
                whole.spill(spool);
                whole
            },
            Self::Memory,
        )
    }

    /// How many bytes are left of it.
    pub fn left(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { left, .. } => *left,
        }
    }

    /// Whether it is in memory, and too much for a slow client.
    pub fn is_large(&self) -> bool {
        matches!(self, Self::Memory(bytes) if bytes.len() > SMALL)
    }

    /// Writes `before`, and as much of the whole as goes with it. Gives the number of bytes of both.
    ///
    /// # Errors
    /// The client is gone, or the file became shorter.
    pub fn poll_write<S: Socket>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
        before: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Memory(bytes) if before.is_empty() => Pin::new(socket).poll_write(context, bytes),
            Self::Memory(bytes) => {
                Pin::new(socket).poll_write_vectored(context, &[IoSlice::new(before), IoSlice::new(bytes)])
            }
            Self::File { .. } if !before.is_empty() => Pin::new(socket).poll_write(context, before),
            Self::File { file, offset, left } => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX);
                let sent = if S::TAKES_FILES {
                    ready!(socket.poll_send_file(context, file, *offset, count.min(AT_ONCE)))?
                } else {
                    let mut piece = vec![0; count.min(PIECE)];
                    let size = file.read_at(&mut piece, *offset)?;
                    // What is not taken is read again: the system has it in memory still.
                    if size == 0 { 0 } else { ready!(Pin::new(socket).poll_write(context, &piece[..size]))? }
                };
                if sent == 0 {
                    return Poll::Ready(Err(became_shorter()));
                }
                Poll::Ready(Ok(sent))
            }
        }
    }

    /// So many bytes of it are out.
    pub fn advance(&mut self, size: usize) {
        match self {
            Self::Memory(bytes) => bytes.advance(size),
            Self::File { offset, left, .. } => {
                *offset += size as u64;
                *left -= size as u64;
            }
        }
    }

    /// The next piece of it, for whoever frames pieces; empty at the end.
    ///
    /// # Errors
    /// The file cannot be read, or became shorter.
    pub fn next_piece(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.split_to(bytes.len().min(PIECE))),
            Self::File { left: 0, .. } => Ok(Bytes::new()),
            Self::File { file, offset, left } => {
                let mut piece = vec![0; usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE)];
                let size = file.read_at(&mut piece, *offset)?;
                if size == 0 {
                    return Err(became_shorter());
                }
                piece.truncate(size);
                *offset += size as u64;
                *left -= size as u64;
                Ok(piece.into())
            }
        }
    }

    /// Puts what is in memory into a file at once. Where there can be none it stays.
    fn spill(&mut self, spool: &Spool) {
        let mut spill = Spill::new(self, spool);
        while let Some(begun) = spill {
            spill = begun.go_on(self);
        }
    }
}

/// What puts a body from memory into a file, since its client is slow, a piece at a time: a large one takes a second, and
/// others want their turn.
pub struct Spill {
    bytes: Bytes,
    /// So many of them are written.
    written: usize,
    waiting: Waiting,
}

impl Spill {
    /// Begins. None where the body is not in memory, or there can be no file for it.
    pub fn new(whole: &WholeBody, spool: &Spool) -> Option<Box<Self>> {
        let WholeBody::Memory(bytes) = whole else { return None };
        if bytes.len() as u64 > spool::MOST {
            return None;
        }
        Some(Box::new(Self { bytes: bytes.clone(), written: 0, waiting: spool.open()? }))
    }

    /// Writes the next piece of the body, of which some may have been sent since. Gives what is to go on, unless that was the
    /// last one, and what is left of the body is in the file; or that has no room, and it stays where it is.
    pub fn go_on(mut self: Box<Self>, whole: &mut WholeBody) -> Option<Box<Self>> {
        let piece = &self.bytes[self.written..];
        let piece = &piece[..piece.len().min(spool::PIECE)];
        self.waiting.push(piece).ok()?;
        self.written += piece.len();
        if self.written < self.bytes.len() {
            return Some(self);
        }
        let Self { bytes, waiting, .. } = *self;
        let left = whole.left();
        *whole = WholeBody::File { file: waiting.into_file().ok()?, offset: bytes.len() as u64 - left, left };
        None
    }
}

/// Says that what is left of a body is lost, which is no client's doing.
pub fn unreadable(error: &io::Error) {
    tracing::error!("What is left of an answer cannot be read: {error}.");
}

fn became_shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_goes_into_a_file_a_piece_at_a_time_and_none_of_it_is_lost() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::new(directory.path().to_owned());
        let content: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        for sent in [0, 1, 500_000, 999_999] {
            let mut whole = WholeBody::Memory(content.clone().into());
            let (mut spill, mut steps) = (Spill::new(&whole, &spool), 0);
            while let Some(begun) = spill {
                let before = begun.written;
                spill = begun.go_on(&mut whole);
                steps += 1;
                assert!(spill.as_ref().is_none_or(|spill| spill.written == before + spool::PIECE));
                if steps == 3 {
                    whole.advance(sent);
                }
            }
            assert_eq!(steps, content.len().div_ceil(spool::PIECE));
            let WholeBody::File { .. } = whole else { panic!("it is still in memory") };
            let mut out = Vec::new();
            while whole.left() > 0 {
                out.extend(whole.next_piece().expect("readable"));
            }
            assert!(out == content[sent..], "{sent}");
        }
    }
}
