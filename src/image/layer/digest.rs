//! SHA-256: what the OCI image specification names content by.

use std::{
    io::{self, Write},
    path::Path,
};

use fs_err::File;
use sha2::{Digest as _, Sha256};

/// A writer that knows the digest and the length of what went through it.
pub struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hashing<W> {
    /// What is written goes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// Counts what does not go to the other.
    pub fn update(&mut self, content: &[u8]) {
        self.hash.update(content);
        self.size += content.len() as u64;
    }

    /// The digest, in hexadecimal, and the length.
    pub fn finish(mut self) -> io::Result<(String, u64)> {
        self.inner.flush()?;
        Ok((hexadecimal(&self.hash.finalize()), self.size))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.update(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The hexadecimal SHA-256 of a file, and its length.
pub fn of_file(path: &Path) -> io::Result<(String, u64)> {
    let mut hash = Hashing::new(io::sink());
    io::copy(&mut File::open(path)?, &mut hash)?;
    hash.finish()
}

/// The hexadecimal SHA-256 of `content`.
pub fn of(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
