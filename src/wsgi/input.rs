//! `wsgi.input` without Python: reading a body by size, by line, or whole.

use bytes::Bytes;
use memchr::memchr;

use super::{BodyError, BodyReader};

/// A request's body being read.
pub struct Input {
    /// None at the end.
    reader: Option<Box<dyn BodyReader>>,
    piece: Bytes,
    /// Why there is nothing more to read. It stays: a second read must not take a broken body for one that has ended.
    broken: Option<BodyError>,
}

impl Input {
    /// Reads what `reader` has.
    pub fn new(reader: Box<dyn BodyReader>) -> Self {
        Self { reader: Some(reader), piece: Bytes::new(), broken: None }
    }

    /// There is no body.
    pub fn empty() -> Self {
        Self { reader: None, piece: Bytes::new(), broken: None }
    }

    /// Reads `size` bytes, or to the end where `size` is `None`. Fewer only at the end. Gives them in pieces, as they came:
    /// who makes one of them copies each byte once.
    ///
    /// # Errors
    /// The body did not come as announced.
    pub fn read(&mut self, size: Option<usize>) -> Result<Vec<Bytes>, BodyError> {
        let (mut wanted, mut pieces) = (size.unwrap_or(usize::MAX), Vec::new());
        while wanted > 0 && self.refill()? {
            let taken = self.piece.split_to(self.piece.len().min(wanted));
            wanted -= taken.len();
            pieces.push(taken);
        }
        Ok(pieces)
    }

    /// Reads to the end of a line, its newline with it, or `limit` bytes of it.
    ///
    /// # Errors
    /// The body did not come as announced.
    pub fn read_line(&mut self, limit: Option<usize>) -> Result<Vec<Bytes>, BodyError> {
        let (mut room, mut pieces) = (limit.unwrap_or(usize::MAX), Vec::new());
        while room > 0 && self.refill()? {
            // Looks no further than it may take: the same bytes would be searched again by each of many short reads.
            let reach = self.piece.len().min(room);
            let newline = memchr(b'\n', &self.piece[..reach]);
            pieces.push(self.piece.split_to(newline.map_or(reach, |at| at + 1)));
            if newline.is_some() {
                break;
            }
            room -= reach;
        }
        Ok(pieces)
    }

    /// Whether all that is left is in memory, so that nothing blocks.
    pub fn is_ready(&self) -> bool {
        self.reader.as_ref().is_none_or(|reader| reader.is_ready())
    }

    /// The status that tells the client that its body did not come as it must, as far as it was read.
    pub fn fault(&self) -> Option<u16> {
        self.broken.as_ref().map(|error| error.status)
    }

    /// Gives up what was not read, so that the connection can go on. An app may hold its environ for longer.
    pub fn close(&mut self) {
        if self.reader.take().is_some() || !self.piece.is_empty() {
            self.piece = Bytes::new();
            self.broken.get_or_insert_with(|| BodyError { status: 500, why: "the request is over".to_owned() });
        }
    }

    /// Makes sure that there is something in `piece`; false at the end.
    fn refill(&mut self) -> Result<bool, BodyError> {
        while self.piece.is_empty() {
            if let Some(error) = &self.broken {
                return Err(error.clone());
            }
            let Some(reader) = &mut self.reader else { return Ok(false) };
            match reader.next() {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => self.reader = None,
                Err(error) => {
                    self.reader = None;
                    self.broken = Some(error);
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::{BodyError, BodyReader, Input};

    struct Pieces(VecDeque<Result<Bytes, BodyError>>);

    impl BodyReader for Pieces {
        fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
            self.0.pop_front().transpose()
        }

        fn is_ready(&self) -> bool {
            true
        }
    }

    fn text(read: Result<Vec<Bytes>, BodyError>, expectation: &str) -> Vec<u8> {
        read.expect(expectation).concat()
    }

    fn input(pieces: &[&'static [u8]]) -> Input {
        Input::new(Box::new(Pieces(pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect())))
    }

    /// The same text in pieces of every size.
    fn inputs(text: &'static [u8]) -> impl Iterator<Item = Input> {
        (1..=text.len()).map(move |size| input(&text.chunks(size).collect::<Vec<_>>()))
    }

    #[test]
    fn read_gives_the_size_that_was_asked_for_however_the_body_came() {
        for mut input in inputs(b"one two three") {
            assert_eq!(text(input.read(Some(0)), "no error"), b"");
            assert_eq!(text(input.read(Some(5)), "no error"), b"one t");
            assert_eq!(text(input.read(Some(3)), "no error"), b"wo ");
            assert_eq!(text(input.read(None), "no error"), b"three");
            assert_eq!(text(input.read(None), "no error"), b"");
            assert_eq!(text(input.read(Some(9)), "no error"), b"");
        }
    }

    #[test]
    fn lines_keep_their_newline_and_respect_the_limit() {
        for mut input in inputs(b"ab\n\ncdef\ngh") {
            assert_eq!(text(input.read_line(Some(0)), "no error"), b"");
            assert_eq!(text(input.read_line(None), "no error"), b"ab\n");
            assert_eq!(text(input.read_line(Some(5)), "no error"), b"\n");
            assert_eq!(text(input.read_line(Some(2)), "no error"), b"cd");
            assert_eq!(text(input.read_line(Some(3)), "no error"), b"ef\n");
            assert_eq!(text(input.read(Some(1)), "no error"), b"g");
            assert_eq!(text(input.read_line(None), "no error"), b"h");
            assert_eq!(text(input.read_line(None), "no error"), b"");
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error_and_not_an_end() {
        let broken = || {
            let pieces =
                [Ok(Bytes::from_static(b"abc")), Err(BodyError { status: 400, why: "it ended early".to_owned() })];
            Input::new(Box::new(Pieces(pieces.into_iter().collect())))
        };
        assert!(broken().read(None).is_err());
        assert!(broken().read(Some(4)).is_err());
        assert!(broken().read_line(None).is_err());
        assert_eq!(text(broken().read(Some(3)), "these bytes came"), b"abc");
        let mut twice = broken();
        assert!(twice.read(None).is_err() && twice.read(None).is_err(), "the second read is told as well");
        assert_eq!((twice.fault(), input(&[b"abc"]).fault()), (Some(400), None));
    }

    #[test]
    fn a_closed_input_has_let_go_of_the_body() {
        let mut read = input(&[b"abc"]);
        assert_eq!(text(read.read(None), "no error"), b"abc");
        read.close();
        assert_eq!(text(read.read(None), "it had ended"), b"");
        let mut unread = input(&[b"abc", b"def"]);
        assert_eq!(text(unread.read(Some(1)), "no error"), b"a");
        unread.close();
        assert!(unread.read(Some(1)).is_err(), "what is left of it is not the body");
    }
}
