//! Layers compressed as tightly as gzip allows (RFC 1952), in the same bytes every time.
//!
//! A layer is compressed once and fetched by every machine that runs it. It is cut into pieces, each a gzip member of its own
//! (RFC 1952, section 2.2), so that all processors work on it and none needs the whole of it in memory.

use std::{
    io::{self, Read, Write},
    num::NonZero,
    thread,
};

use fs_err::File;
use libdeflater::{CompressionError, CompressionLvl, Compressor};

use crate::{
    exit::Fatal,
    image::{
        job::progress::{Cancel, Progress},
        layer::Layer,
    },
};

/// How long a piece is. It decides the bytes, so it does not depend on the machine; each costs two kilobytes.
const PIECE: usize = 4 << 20;
/// More at a time would only take memory.
const AT_MOST: usize = 16;

/// What stopped the making of an image's file.
pub enum Stopped {
    /// The build was told to stop.
    Told(Fatal),
    /// A file could not be read or written.
    Disk(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Writes the layer, compressed, to `to`.
pub fn compress(layer: &Layer, to: &mut impl Write, progress: &dyn Progress, cancel: &Cancel) -> Result<(), Stopped> {
    let at_a_time = thread::available_parallelism().map_or(1, NonZero::get).min(AT_MOST);
    let mut from = File::open(&layer.path)?;
    let mut done = 0;
    loop {
        cancel.check().map_err(Stopped::Told)?;
        let pieces = (0..at_a_time).map(|_| piece(&mut from)).collect::<Result<Vec<_>, _>>()?;
        let compressed: Vec<_> = thread::scope(|scope| {
            let pieces = pieces.iter().filter(|piece| !piece.is_empty());
            let threads: Vec<_> = pieces.map(|piece| scope.spawn(|| member(piece))).collect();
            threads.into_iter().map(|thread| thread.join().expect("compressing does not panic")).collect()
        });
        for member in compressed {
            to.write_all(&member?)?;
        }
        done += pieces.iter().map(Vec::len).sum::<usize>() as u64;
        progress.bytes(done, layer.size);
        if pieces.iter().any(|piece| piece.len() < PIECE) {
            return Ok(());
        }
    }
}

/// The next piece; a shorter one is the last.
fn piece(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    from.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

/// A piece as a gzip member, without a time or a name.
fn member(piece: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut member = vec![0; compressor.gzip_compress_bound(piece.len())];
    let length = compressor
        .gzip_compress(piece, &mut member)
        .map_err(|CompressionError::InsufficientSpace| io::Error::other("the compressor's own bound is too low"))?;
    member.truncate(length);
    Ok(member)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::MultiGzDecoder;

    use super::{PIECE, compress};
    use crate::image::job::progress::{Cancel, Silent};
    use crate::image::layer::Contents;

    #[test]
    fn a_layer_comes_back_as_it_was_however_many_pieces_it_has() {
        let folder = tempfile::tempdir().unwrap();
        // A layer has three blocks beside its one file: a header, and two at its end.
        for length in [0, 1, PIECE - 3 * 512, PIECE, 3 * PIECE + 7] {
            let content: Vec<u8> =
                (0..length).map(|at| (at / 251 % 256).to_le_bytes()[0] ^ at.to_le_bytes()[0]).collect();
            let mut contents = Contents::default();
            contents.bytes("file", content, false);
            let layer = contents.write("test", folder.path(), &Silent, &Cancel::default()).unwrap();
            let (mut once, mut twice, mut back) = (Vec::new(), Vec::new(), Vec::new());
            for compressed in [&mut once, &mut twice] {
                assert!(compress(&layer, compressed, &Silent, &Cancel::default()).is_ok());
            }
            assert_eq!(once, twice);
            MultiGzDecoder::new(once.as_slice()).read_to_end(&mut back).unwrap();
            assert_eq!(back, std::fs::read(&layer.path).unwrap());
        }
    }

    #[test]
    fn a_build_that_is_told_to_stop_compresses_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut contents = Contents::default();
        contents.bytes("file", "content", false);
        let layer = contents.write("test", folder.path(), &Silent, &Cancel::default()).unwrap();
        let (cancel, mut compressed) = (Cancel::default(), Vec::new());
        cancel.cancel();
        assert!(compress(&layer, &mut compressed, &Silent, &cancel).is_err());
        assert!(compressed.is_empty());
    }
}
