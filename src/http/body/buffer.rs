//! What large bodies are read into. Memory of that size goes back to the system when it is freed, which makes it anew for
//! the next body, page by page: a quarter of what an upload of 10 MB takes. So it is kept while bodies go on coming.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The bytes that a buffer holds.
pub const SIZE: usize = 256 << 10;

static SPARE: Mutex<Spare> = Mutex::new(Spare { buffers: Vec::new(), least: 0 });

/// Those that nobody uses.
struct Spare {
    buffers: Vec<Vec<u8>>,
    /// So many there have been at any time since it was looked last.
    least: usize,
}

/// A buffer, which is kept for others when this is dropped.
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty one.
    pub fn take() -> Self {
        let mut spare = spare();
        let kept = spare.buffers.pop();
        spare.least = spare.least.min(spare.buffers.len());
        drop(spare);
        Self(kept.unwrap_or_else(|| Vec::with_capacity(SIZE)))
    }

    /// What is in it, and where more goes.
    pub fn content(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// What is in it, to be passed on.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.0.clear();
        spare().buffers.push(std::mem::take(&mut self.0));
    }
}

fn spare() -> MutexGuard<'static, Spare> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frees those that nobody has needed since it was called last.
pub fn release() {
    let mut spare = spare();
    let needed = spare.buffers.len() - spare.least;
    let unneeded = spare.buffers.split_off(needed);
    spare.least = needed;
    drop(spare);
    drop(unneeded);
}

#[cfg(test)]
mod tests {
    use super::{Buffer, SIZE, release, spare};

    #[test]
    fn buffers_are_kept_for_as_long_as_they_are_needed() {
        let fill = |count: usize| {
            let mut buffers: Vec<_> = (0..count).map(|_| Buffer::take()).collect();
            for buffer in &mut buffers {
                assert!(buffer.content().is_empty() && buffer.content().capacity() >= SIZE);
                buffer.content().extend_from_slice(b"x");
            }
            let bytes: Vec<_> = buffers.into_iter().map(Buffer::freeze).collect();
            assert!(bytes.iter().all(|bytes| bytes == "x"));
        };
        let kept = || spare().buffers.len();
        fill(4);
        assert_eq!(kept(), 4);
        release();
        assert_eq!(kept(), 4, "all were needed since the time before");
        fill(3);
        release();
        assert_eq!(kept(), 3);
        release();
        assert_eq!(kept(), 0);
    }
}
