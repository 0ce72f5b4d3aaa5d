//! `wsgi.input` without Python: reading a body by size, by line, or whole.

use bytes::{Buf as _, Bytes, BytesMut};

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

    /// Reads `size` bytes, or to the end where `size` is `None`. Fewer only at the end.
    ///
    /// # Errors
    /// The body did not come as announced.
    pub fn read(&mut self, size: Option<usize>) -> Result<Bytes, BodyError> {
        let mut wanted = size.unwrap_or(usize::MAX);
        if wanted == 0 || !self.refill()? {
            return Ok(Bytes::new());
        }
        // The most common read is served by one piece, which is then handed on without a copy.
        if size.is_some() && self.piece.len() >= wanted {
            return Ok(self.piece.split_to(wanted));
        }
        let mut result = BytesMut::new();
        while wanted > 0 && self.refill()? {
            let taken = self.piece.split_to(self.piece.len().min(wanted));
            wanted -= taken.len();
            result.extend_from_slice(&taken);
        }
        Ok(result.freeze())
    }

    /// Reads to the end of a line, its newline with it, or `limit` bytes of it.
    ///
    /// # Errors
    /// The body did not come as announced.
    pub fn read_line(&mut self, limit: Option<usize>) -> Result<Bytes, BodyError> {
        let limit = limit.unwrap_or(usize::MAX);
        let mut line = BytesMut::new();
        while line.len() < limit && self.refill()? {
            // Looks no further than it may take: the same bytes would be searched again by each of many short reads.
            let reach = self.piece.len().min(limit - line.len());
            let newline = self.piece[..reach].iter().position(|byte| *byte == b'\n');
            let take = newline.map_or(reach, |at| at + 1);
            let whole = newline.is_some() || take == limit;
            if whole && line.is_empty() {
                return Ok(self.piece.split_to(take));
            }
            line.extend_from_slice(&self.piece[..take]);
            self.piece.advance(take);
            if whole {
                break;
            }
        }
        Ok(line.freeze())
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
            assert_eq!(input.read(Some(0)).expect("no error"), "");
            assert_eq!(input.read(Some(5)).expect("no error"), "one t");
            assert_eq!(input.read(Some(3)).expect("no error"), "wo ");
            assert_eq!(input.read(None).expect("no error"), "three");
            assert_eq!(input.read(None).expect("no error"), "");
            assert_eq!(input.read(Some(9)).expect("no error"), "");
        }
    }

    #[test]
    fn lines_keep_their_newline_and_respect_the_limit() {
        for mut input in inputs(b"ab\n\ncdef\ngh") {
            assert_eq!(input.read_line(Some(0)).expect("no error"), "");
            assert_eq!(input.read_line(None).expect("no error"), "ab\n");
            assert_eq!(input.read_line(Some(5)).expect("no error"), "\n");
            assert_eq!(input.read_line(Some(2)).expect("no error"), "cd");
            assert_eq!(input.read_line(Some(3)).expect("no error"), "ef\n");
            assert_eq!(input.read(Some(1)).expect("no error"), "g");
            assert_eq!(input.read_line(None).expect("no error"), "h");
            assert_eq!(input.read_line(None).expect("no error"), "");
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
        assert_eq!(broken().read(Some(3)).expect("these bytes came"), "abc");
        let mut twice = broken();
        assert!(twice.read(None).is_err() && twice.read(None).is_err(), "the second read is told as well");
        assert_eq!((twice.fault(), input(&[b"abc"]).fault()), (Some(400), None));
    }

    #[test]
    fn a_closed_input_has_let_go_of_the_body() {
        let mut read = input(&[b"abc"]);
        assert_eq!(read.read(None).expect("no error"), "abc");
        read.close();
        assert_eq!(read.read(None).expect("it had ended"), "");
        let mut unread = input(&[b"abc", b"def"]);
        assert_eq!(unread.read(Some(1)).expect("no error"), "a");
        unread.close();
        assert!(unread.read(Some(1)).is_err(), "what is left of it is not the body");
    }
}
