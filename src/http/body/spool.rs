//! What has to wait for a slow client, and is too much for memory: files without a name, which are gone with the last
//! that has them open, however that ends.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;

use super::memory_budget::MemoryBudget;

/// So many bytes may wait in one file.
pub(super) const MOST: u64 = 1 << 30;

/// What waits in memory is put into a file when its client has been slow for this long.
pub const SLOW: Duration = Duration::from_secs(1);

/// So many bytes are read from a file at a time, and written to it.
pub(super) const PIECE: usize = 64 << 10;

/// Where such files are made.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    /// Whether it was said already that there can be none.
    warned: AtomicBool,
    /// The memory that there is for what need not wait in one.
    budget: MemoryBudget,
}

/// Bytes that wait in a file, first in, first out. Where the file has reached its size it goes on at its begin, so that it
/// takes no more room on the disk than what waits may, however much passes through it.
#[derive(Debug)]
pub struct Waiting {
    file: File,
    /// So many bytes came out, and so many went in.
    read: u64,
    written: u64,
    /// What comes behind them: it is written when it is a piece, so that small ones do not take a system call each.
    behind: Vec<u8>,
}

impl Spool {
    /// Makes files in this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, warned: AtomicBool::new(false), budget: MemoryBudget::new() }
    }

    /// What waits in memory.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// A new file. None where there can be none: then memory must do, and whoever brings too much must wait.
    pub fn open(&self) -> Option<Waiting> {
        match tempfile::tempfile_in(&self.directory) {
            Ok(file) => Some(Waiting { file, read: 0, written: 0, behind: Vec::new() }),
            Err(error) => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "Slow clients hold up app threads: nothing can wait for them in {} ({error}). Name another \
                         directory with tmp_upload_dir.",
                        self.directory.display()
                    );
                }
                None
            }
        }
    }
}

impl Waiting {
    /// Adds bytes behind the others.
    ///
    /// # Errors
    /// There is no room. They are not added then, and what was before stays.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written - self.read + (self.behind.len() + bytes.len()) as u64 > MOST {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.behind.len() + bytes.len() < PIECE {
            self.behind.extend_from_slice(bytes);
            return Ok(());
        }
        self.flush()?;
        self.write(bytes)
    }

    /// Writes what is to be written.
    fn flush(&mut self) -> io::Result<()> {
        let behind = std::mem::take(&mut self.behind);
        let written = self.write(&behind);
        if written.is_err() {
            self.behind = behind;
        }
        written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.written % MOST;
        let until_end = usize::try_from(MOST - at).unwrap_or(usize::MAX);
        let (behind, before) = bytes.split_at(bytes.len().min(until_end));
        self.file.write_all_at(behind, at)?;
        self.file.write_all_at(before, 0)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Takes the next bytes; none when there are none.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn pop(&mut self) -> io::Result<Option<Bytes>> {
        if self.read == self.written {
            let behind = std::mem::take(&mut self.behind);
            return Ok((!behind.is_empty()).then(|| behind.into()));
        }
        let at = self.read % MOST;
        let size = usize::try_from((self.written - self.read).min(MOST - at)).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; size];
        self.file.read_exact_at(&mut piece, at)?;
        self.read += size as u64;
        if self.read == self.written {
            // What was read needs no room on the disk any more.
            self.file.set_len(0)?;
            (self.read, self.written) = (0, 0);
        }
        Ok(Some(piece.into()))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.read == self.written && self.behind.is_empty()
    }

    /// The file, from its begin.
    ///
    /// # Errors
    /// There is no room for all of it.
    pub fn into_file(mut self) -> io::Result<File> {
        self.flush()?;
        Ok(self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Spool};

    #[test]
    fn what_waits_comes_out_as_it_went_in() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut waiting = Spool::new(directory.path().to_owned()).open().expect("a file");
        let long: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        for _ in 0..2 {
            waiting.push(b"first").expect("room");
            waiting.push(&long).expect("room");
            let mut out = Vec::new();
            while let Some(piece) = waiting.pop().expect("readable") {
                out.extend_from_slice(&piece);
            }
            assert_eq!(out, [b"first", long.as_slice()].concat());
            assert!(waiting.is_empty());
        }
        let left = std::fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(left, 0, "the file has no name");
    }

    #[test]
    fn a_file_takes_so_many_bytes_and_no_more() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut waiting = Spool::new(directory.path().to_owned()).open().expect("a file");
        // A file with a hole, which takes no room.
        waiting.written = MOST - 5;
        assert!(waiting.push(b"123456").is_err(), "it has no room for all of it");
        waiting.push(b"12345").expect("room");
        assert!(waiting.push(b"1").is_err());
        waiting.read = MOST - 5;
        assert_eq!(waiting.pop().expect("readable").as_deref(), Some(&b"12345"[..]));
        waiting.push(b"1").expect("what was read makes room");
    }

    #[test]
    fn small_pieces_are_written_together() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut waiting = Spool::new(directory.path().to_owned()).open().expect("a file");
        let length = |waiting: &super::Waiting| waiting.file.metadata().expect("readable").len();
        for _ in 0..super::PIECE - 1 {
            waiting.push(b"x").expect("room");
        }
        assert_eq!(length(&waiting), 0);
        waiting.push(b"yz").expect("room");
        assert_eq!(length(&waiting), super::PIECE as u64 + 1);
        let out: Vec<u8> = std::iter::from_fn(|| waiting.pop().expect("readable")).flatten().collect();
        assert_eq!(out, [vec![b'x'; super::PIECE - 1], b"yz".to_vec()].concat());
        waiting.push(b"behind").expect("room");
        let file = waiting.into_file().expect("room");
        assert_eq!(file.metadata().expect("readable").len(), 6, "all of it is in the file");
    }

    #[test]
    fn a_file_never_grows_beyond_what_may_wait() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut waiting = Spool::new(directory.path().to_owned()).open().expect("a file");
        (waiting.read, waiting.written) = (MOST - 6, MOST - 6);
        for _ in 0..3 {
            waiting.push(b"12345").expect("room");
            waiting.flush().expect("room");
        }
        let length = waiting.file.metadata().expect("readable").len();
        assert!(length <= MOST, "{length}");
        let mut out = Vec::new();
        while let Some(piece) = waiting.pop().expect("readable") {
            out.extend_from_slice(&piece);
        }
        assert_eq!(out, b"123451234512345");
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_no_failure() {
        assert!(Spool::new("/no/such/directory".into()).open().is_none());
    }
}
