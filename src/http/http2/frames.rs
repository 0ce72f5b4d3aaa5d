//! What passes on a connection, frame by frame: whether it carries anything. What the frames say is h2's business.

/// The length, the type, the flags and the stream of a frame (RFC 9113 section 4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// The frames that go one way.
pub struct Frames {
    head: [u8; HEAD],
    /// So much of the head is there.
    filled: usize,
    /// So much of the content is still to come, and whether it is a body or fields.
    left: usize,
    carries: bool,
    /// The frames since the last one that carried something.
    empty: usize,
}

impl Frames {
    /// Those that begin behind so many bytes.
    pub fn behind(preface: usize) -> Self {
        Self { head: [0; HEAD], filled: 0, left: preface, carries: false, empty: 0 }
    }

    /// Follows the next bytes. Says whether some of a body or of fields is among them.
    pub fn pass(&mut self, mut bytes: &[u8]) -> bool {
        let mut carried = false;
        while !bytes.is_empty() {
            if self.left > 0 {
                let size = self.left.min(bytes.len());
                (self.left, bytes) = (self.left - size, &bytes[size..]);
                carried |= self.carries;
                continue;
            }
            let size = (HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + size].copy_from_slice(&bytes[..size]);
            (self.filled, bytes) = (self.filled + size, &bytes[size..]);
            if self.filled == HEAD {
                self.filled = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.carries = self.left > 0 && matches!(kind, DATA | HEADERS | CONTINUATION);
                self.empty = if self.carries { 0 } else { self.empty + 1 };
            }
        }
        carried
    }

    /// The number of frames since the last one that carried something, or since the counting began anew.
    pub fn empty(&self) -> usize {
        self.empty
    }

    /// Begins to count anew.
    pub fn forget(&mut self) {
        self.empty = 0;
    }

    /// Whether what has passed are whole frames.
    pub fn is_between(&self) -> bool {
        self.filled == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], content].concat()
    }

    #[test]
    fn frames_are_told_apart_in_whatever_pieces_they_come() {
        let ping = frame(6, &[0; 8]);
        let sent = [b"preface".as_slice(), &ping, &frame(DATA, b"abc"), &frame(DATA, b""), &ping, &ping[..12]].concat();
        for size in 1..=sent.len() {
            let mut frames = Frames::behind(7);
            let carried: Vec<bool> = sent.chunks(size).map(|piece| frames.pass(piece)).collect();
            assert!(carried.contains(&true), "{size}");
            assert_eq!((frames.empty(), frames.is_between()), (3, false), "{size}");
            assert!(!frames.pass(&ping[12..]) && frames.is_between());
            frames.forget();
            assert!(frames.pass(&frame(HEADERS, &[0; 300])));
            assert!(!frames.pass(&ping) && frames.empty() == 1);
        }
    }

    #[test]
    fn each_piece_of_a_body_counts() {
        let mut frames = Frames::behind(0);
        let sent = frame(DATA, &vec![0; 70_000]);
        assert!(!frames.pass(&sent[..HEAD]));
        assert!(sent[HEAD..].chunks(1000).all(|piece| frames.pass(piece)));
        assert!(frames.is_between());
    }
}
