//! An entry of a layer, and how it is written into the tar: with nothing of the disk that it comes from but its content.

use std::{
    ffi::OsString,
    io::{self, Read, Seek as _, Write},
    path::{Path, PathBuf},
};

use crate::image::layer::digest::Hashing;

/// The time of every entry, unless it follows the content: 2000-01-01. (1970 would break zip files made of them.)
pub const TIME: u64 = 946_684_800;
/// How far a time that follows the content may be from [`TIME`]: 2^29 seconds, seventeen years.
const TIME_MASK: u64 = (1 << 29) - 1;

/// How the times of files are chosen that have none of their own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Times {
    /// All the same.
    #[default]
    Fixed,
    /// From each file's content. A web framework makes an `ETag` of a static file's time and size: with one time for all,
    /// a changed file of the same size would keep its tag, and browsers would keep the stale copy.
    ByContent,
}

/// Where it comes from.
#[derive(Debug)]
pub enum Source {
    Directory,
    File(PathBuf),
    Bytes(Vec<u8>),
    Symlink(OsString),
}

/// A directory, a file or a link.
#[derive(Debug)]
pub struct Entry {
    /// Its permissions.
    pub mode: u32,
    /// What it is.
    pub source: Source,
    /// Its time, in seconds since 1970, where that is known: of the commit that it is of. A later one has a later time, by which
    /// browsers that know no tag ask (`If-Modified-Since`).
    pub time: Option<u64>,
}

impl Entry {
    /// One whose time is not known.
    pub fn new(mode: u32, source: Source) -> Self {
        Self { mode, source, time: None }
    }
}

/// What kept an entry from being written.
pub enum Stopped {
    /// A file that is to go into the layer cannot be read.
    Source(PathBuf, io::Error),
    /// The layer cannot be written.
    Layer(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Layer(error)
    }
}

/// Appends an entry to the tar of a layer, and says how long the file in it is.
pub fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &Path,
    entry: &Entry,
    (owner, times): (u32, Times),
) -> Result<u64, Stopped> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(owner.into());
    header.set_gid(owner.into());
    header.set_mtime(entry.time.unwrap_or(TIME));
    let by_content = times == Times::ByContent && entry.time.is_none();
    header.set_size(0);
    match &entry.source {
        Source::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            // By custom, a directory's name ends in a slash.
            tar.append_data(&mut header, path.join(""), io::empty())?;
            Ok(0)
        }
        Source::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path, Path::new(target))?;
            Ok(0)
        }
        Source::Bytes(content) => {
            header.set_size(content.len() as u64);
            if by_content {
                header.set_mtime(time_of(&mut content.as_slice())?);
            }
            tar.append_data(&mut header, path, content.as_slice())?;
            Ok(content.len() as u64)
        }
        Source::File(from) => {
            let unread = |error| Stopped::Source(from.clone(), error);
            let mut file = std::fs::File::open(from).map_err(unread)?;
            let size = file.metadata().map_err(unread)?.len();
            header.set_size(size);
            if by_content {
                header.set_mtime(time_of(&mut file).map_err(unread)?);
                file.rewind().map_err(unread)?;
            }
            // The header is written first: a file that is cut off meanwhile must not shift what follows it.
            let mut content = Exactly { inner: &mut file, left: size, failed: false };
            let appended = tar.append_data(&mut header, path, &mut content);
            if content.failed {
                return appended.map(|()| size).map_err(unread);
            }
            appended?;
            if content.left > 0 {
                return Err(unread(io::Error::other("it changed while it was read")));
            }
            Ok(size)
        }
    }
}

/// The time for a file that holds this.
fn time_of(content: &mut impl Read) -> io::Result<u64> {
    let mut hash = Hashing::new(io::sink());
    io::copy(content, &mut hash)?;
    let (digest, _) = hash.finish()?;
    let number = u64::from_str_radix(&digest[..16], 16).map_err(io::Error::other)?;
    Ok(TIME + (number & TIME_MASK))
}

/// At most so many bytes of a reader, and the count of those that did not come.
struct Exactly<R> {
    inner: R,
    left: u64,
    /// Whether it could not be read.
    failed: bool,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most]).inspect_err(|_| self.failed = true)?;
        self.left -= count as u64;
        Ok(count)
    }
}
