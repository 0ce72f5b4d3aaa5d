//! Memory in places of one size, which lie on huge pages of the system's as long as a process grows.
//!
//! The processor keeps the translations of few addresses at hand. One for 2 MiB instead of 4 KiB makes it look up fewer,
//! and the system has far fewer pages to make, each of which interrupts what runs.

use std::{
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What a huge page has on x86-64, and on arm64 with pages of 4 KiB: so much is taken from the system at a time. Where it
/// has more, these are pages as usual.
const BLOCK: usize = 2 << 20;

/// What is smaller is no such place.
const LEAST: usize = 256 << 10;

static PLACES: Mutex<Places> = Mutex::new(Places { size: 0, free: Vec::new(), is_settled: false });

struct Places {
    /// How large each is: what was first asked for.
    size: usize,
    /// Where there are some that nobody has.
    free: Vec<usize>,
    is_settled: bool,
}

/// Memory of this size, all of it zero or what whoever had it before has left. `None` where there is no more.
pub fn take_place(size: usize) -> Option<usize> {
    let mut places = lock();
    if places.size == 0 && size >= LEAST && BLOCK.is_multiple_of(size) {
        places.size = size;
    }
    if size != places.size {
        return map(size);
    }
    if places.free.is_empty() {
        // Where there is no room for a block there may be some for a place (setrlimit, RLIMIT_AS).
        let Some(block) = map_aligned() else { return map(size) };
        if !places.is_settled {
            // A system without huge pages has other ones, which do as well.
            advise(block, BLOCK, libc::MADV_HUGEPAGE);
        }
        // What comes first is taken first.
        places.free.extend((block..block + BLOCK).step_by(size).rev());
    }
    places.free.pop()
}

/// Takes back what [`take_place`] gave.
pub fn give_back(place: usize, size: usize) {
    let mut places = lock();
    if size != places.size {
        return unmap(place, size);
    }
    if places.is_settled {
        release(place, size);
    }
    places.free.push(place);
}

/// From here on memory comes and goes: what is free goes to the system, and what is taken anew counts page by page.
pub fn settle() {
    let mut places = lock();
    places.is_settled = true;
    places.free.iter().for_each(|place| release(*place, places.size));
}

fn lock() -> MutexGuard<'static, Places> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn release(place: usize, size: usize) {
    advise(place, size, libc::MADV_DONTNEED);
    // Or the system would make a huge page of it again, for what is beside it.
    advise(place, size, libc::MADV_NOHUGEPAGE);
}

/// A block that begins where a huge page may.
fn map_aligned() -> Option<usize> {
    let place = map(BLOCK)?;
    if place.is_multiple_of(BLOCK) {
        return Some(place);
    }
    unmap(place, BLOCK);
    let around = map(2 * BLOCK)?;
    let place = around.next_multiple_of(BLOCK);
    unmap(around, place - around);
    unmap(place + BLOCK, around + BLOCK - place);
    Some(place)
}

fn map(size: usize) -> Option<usize> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, where there is none yet.
    let place = unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) };
    (place != libc::MAP_FAILED).then(|| place.expose_provenance())
}

fn unmap(place: usize, size: usize) {
    if size > 0 {
        // SAFETY: it was mapped here, and whoever had it has given it back.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(place), size) };
    }
}

/// Nothing depends on whether the system takes the advice.
fn advise(place: usize, size: usize, advice: libc::c_int) {
    // SAFETY: it was mapped here, and nobody has what is in it.
    unsafe { libc::madvise(ptr::with_exposed_provenance_mut(place), size, advice) };
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, LEAST, give_back, settle, take_place};

    const SIZE: usize = 1 << 20;

    fn bytes(place: usize) -> &'static mut [u8] {
        // SAFETY: the tests ask for no less, and use a place only as long as they have it.
        unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(place), SIZE) }
    }

    // One test: there is one memory, and it settles once.
    #[test]
    fn places_are_whole_distinct_and_given_to_the_system_when_they_come_back() {
        // Of another size, before and after the size is known, and one that would fit but came later.
        let other = take_place(16 << 10).expect("memory");
        let places: Vec<_> = (0..7_u8).map(|_| take_place(SIZE).expect("memory")).collect();
        let smaller = take_place(LEAST).expect("memory");
        for (place, number) in places.iter().zip(1..) {
            bytes(*place).fill(number);
        }
        assert!(places.iter().zip(1..).all(|(place, number)| bytes(*place).iter().all(|byte| *byte == number)));
        assert!(places.chunks_exact(2).all(|pair| pair[0].is_multiple_of(BLOCK) && pair[1] == pair[0] + SIZE));
        give_back(other, 16 << 10);
        give_back(smaller, LEAST);
        give_back(places[2], SIZE);
        assert_eq!(take_place(SIZE), Some(places[2]), "what came back last serves first");
        give_back(places[2], SIZE);
        settle();
        assert_eq!(take_place(SIZE), Some(places[2]));
        assert!(bytes(places[2]).iter().all(|byte| *byte == 0), "it went to the system");
        give_back(places[3], SIZE);
        assert_eq!(take_place(SIZE), Some(places[3]));
        assert!(bytes(places[3]).iter().all(|byte| *byte == 0), "it went to the system");
        assert!(bytes(places[6]).iter().all(|byte| *byte == 7), "what is beside it stays");
    }
}
