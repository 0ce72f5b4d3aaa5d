//! How much waits in memory for clients, of all of them together, and how much may.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::high_water::HighWater;
use crate::sys;

/// So many bytes may wait, whatever there is of memory. Of an answer that is larger there may be one.
const TOGETHER: RangeInclusive<u64> = (64 << 20)..=(256 << 20);

/// Within these, one part of memory in so many.
const SHARE: u64 = 64;

/// So much may leave memory behind that the C library keeps.
const MUCH: u64 = 32 << 20;

/// The memory that bodies of all clients share.
#[derive(Debug)]
pub struct MemoryBudget {
    total: Arc<AtomicU64>,
    limit: u64,
    answers: Arc<Mutex<Answers>>,
    high: Mutex<HighWater>,
}

/// Bytes that wait in memory, for as long as this lives.
#[derive(Debug)]
pub struct Held {
    total: Arc<AtomicU64>,
    limit: u64,
    size: u64,
}

/// The answers that wait, by where they are and how long, and how many clients each waits for.
type Answers = HashMap<(usize, usize), (Held, usize)>;

/// An answer that waits in memory, for as long as this lives.
struct HeldAnswer {
    answers: Arc<Mutex<Answers>>,
    bytes: Bytes,
}

impl MemoryBudget {
    /// A share of what this process may use.
    pub fn new() -> Self {
        let limit = (sys::memory_limit().unwrap_or(0) / SHARE).clamp(*TOGETHER.start(), *TOGETHER.end());
        Self { total: Arc::default(), limit, answers: Arc::default(), high: Mutex::default() }
    }

    /// Room for so many bytes. None where too much waits already.
    pub fn hold(&self, size: u64) -> Option<Held> {
        let before = self.total.fetch_add(size, Ordering::Relaxed);
        let held = Held { total: Arc::clone(&self.total), limit: self.limit, size };
        (before == 0 || before + size <= self.limit).then_some(held)
    }

    /// Room for an answer: gives its bytes, which hold the room. What the app keeps and gives to many clients is in memory
    /// once, and counts once.
    ///
    /// # Errors
    /// Too much waits already: the bytes as they were.
    pub fn hold_answer(&self, bytes: Bytes) -> Result<Bytes, Bytes> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.entry(place(&bytes)) {
            Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
            Entry::Vacant(entry) => match self.hold(bytes.len() as u64) {
                Some(held) => drop(entry.insert((held, 1))),
                None => return Err(bytes),
            },
        }
        drop(answers);
        Ok(Bytes::from_owner(HeldAnswer { answers: Arc::clone(&self.answers), bytes }))
    }

    /// Whether much has waited, and most of that is gone since it was asked before.
    pub fn has_drained(&self) -> bool {
        let mut high = self.high.lock().unwrap_or_else(PoisonError::into_inner);
        high.has_fallen(self.total.load(Ordering::Relaxed), MUCH)
    }
}

fn place(bytes: &Bytes) -> (usize, usize) {
    (bytes.as_ptr().addr(), bytes.len())
}

impl Held {
    /// Room for so many more. False where too much waits already.
    pub fn grow(&mut self, size: u64) -> bool {
        let has_room = self.total.fetch_add(size, Ordering::Relaxed) + size <= self.limit;
        if has_room {
            self.size += size;
        } else {
            self.total.fetch_sub(size, Ordering::Relaxed);
        }
        has_room
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.size, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HeldAnswer {
    /// Runs while the bytes are there still, so that no others can be in their place.
    fn drop(&mut self) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = answers.entry(place(&self.bytes)) {
            entry.get_mut().1 -= 1;
            if entry.get().1 == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{MemoryBudget, TOGETHER};

    #[test]
    fn there_is_room_for_one_answer_at_least_and_for_so_many_at_most() {
        let room = MemoryBudget::new();
        let large = room.hold(1 << 30);
        assert!(large.is_some() && room.hold(1).is_none());
        drop(large);
        let all: Vec<_> = std::iter::repeat_with(|| room.hold(1 << 20)).map_while(|held| held).take(300).collect();
        assert!(all.len() as u64 == room.limit >> 20 && TOGETHER.contains(&room.limit), "{}", all.len());
        drop(all);
        let mut grows = room.hold(1).expect("room");
        assert!(grows.grow(room.limit - 1) && !grows.grow(1));
        drop(grows);
        assert!(room.hold(1 << 30).is_some(), "what is gone makes room");
    }

    #[test]
    fn an_answer_for_many_clients_counts_once_and_until_the_last_has_it() {
        let room = MemoryBudget::new();
        let size = usize::try_from(room.limit / 2 + 1).expect("it fits");
        let answer = Bytes::from(vec![b'x'; size]);
        let mut held: Vec<_> = (0..3).map(|_| room.hold_answer(answer.clone()).expect("room")).collect();
        assert!(held.iter().all(|held| *held == answer));
        let other = Bytes::from(vec![b'y'; size]);
        assert!(room.hold_answer(other.clone()).is_err_and(|bytes| bytes == other), "another counts as well");
        held.truncate(1);
        assert!(room.hold_answer(other.clone()).is_err(), "one waits still");
        held.clear();
        assert!(room.hold_answer(other).is_ok() && room.hold_answer(answer).is_ok(), "what is gone makes room");
    }
}
