//! Pieces of a body that wait in memory, the small ones of them joined: who sends a body a byte at a time must not take more
//! memory for it than who sends it at once.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Pieces smaller than this are joined. Each takes an allocation of its own otherwise, and what tells where it is.
const SMALL: usize = 4 << 10;

/// So many bytes are joined at most.
const JOINED: usize = 64 << 10;

/// The pieces, first in, first out.
#[derive(Default)]
pub struct Coalesced {
    whole: VecDeque<Bytes>,
    /// What comes behind them.
    joined: BytesMut,
}

impl Coalesced {
    /// Adds a piece behind the others.
    pub fn push(&mut self, piece: Bytes) {
        // The first stays as it is: as a rule it is the only one.
        let is_first = self.whole.is_empty() && self.joined.is_empty();
        if piece.len() < SMALL && !is_first {
            self.joined.extend_from_slice(&piece);
            if self.joined.len() >= JOINED {
                self.close();
            }
        } else {
            self.close();
            self.whole.push_back(piece);
        }
    }

    /// What comes next is not joined to what is there.
    fn close(&mut self) {
        if !self.joined.is_empty() {
            self.whole.push_back(std::mem::take(&mut self.joined).freeze());
        }
    }

    /// Takes the first piece.
    pub fn pop(&mut self) -> Option<Bytes> {
        if self.whole.is_empty() {
            self.close();
        }
        self.whole.pop_front()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.joined.is_empty()
    }

    /// The bytes, piece by piece.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.whole.iter().map(Bytes::as_ref).chain(std::iter::once(self.joined.as_ref()))
    }

    /// Drops them.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Coalesced, JOINED, SMALL};

    #[test]
    fn small_pieces_are_joined_and_all_come_out_in_order() {
        let mut coalesced = Coalesced::default();
        let large = vec![b'x'; SMALL];
        coalesced.push(Bytes::from_static(b"a"));
        for byte in [b"b", b"c", b"d"] {
            coalesced.push(Bytes::from_static(byte));
        }
        coalesced.push(Bytes::from(large.clone()));
        coalesced.push(Bytes::from_static(b"e"));
        assert_eq!(coalesced.iter().collect::<Vec<_>>().concat(), [b"abcd", large.as_slice(), b"e"].concat());
        let pieces: Vec<_> = std::iter::from_fn(|| coalesced.pop()).collect();
        assert_eq!(pieces, [&b"a"[..], b"bcd", &large, b"e"]);
        assert!(coalesced.is_empty());
    }

    #[test]
    fn a_body_in_bytes_is_a_few_pieces() {
        let mut coalesced = Coalesced::default();
        for byte in (0..251).cycle().take(3 * JOINED) {
            coalesced.push(Bytes::copy_from_slice(&[byte]));
        }
        assert_eq!(coalesced.whole.len(), 3, "the first, and what was joined until it was much");
        let all = std::iter::from_fn(|| coalesced.pop()).flatten();
        assert!(all.eq((0..251).cycle().take(3 * JOINED)));
    }
}
