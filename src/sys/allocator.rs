//! The memory of one request serves the next: what is given back is kept for whoever wants as much, on the same thread.
//!
//! The C library keeps seven pieces of each size for that, fewer than there are connections. With 32 of them it has to
//! sort and join what they give back again and again, which takes longer than all the rest of getting memory.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr,
};

/// Sizes are rounded up to a multiple of this, which is also how the C library aligns.
const STEP: usize = 16;

/// What is larger than so many steps is left to the C library.
const SIZES: usize = 32;

/// So many bytes of each size are kept on each thread at most, a quarter of a megabyte of all.
const KEPT: usize = 8 << 10;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// The C library's allocator, and before it what this thread has kept.
struct Allocator;

thread_local! {
    static HERE: Kept = const { Kept { lists: [const { List { first: Cell::new(ptr::null_mut()), length: Cell::new(0) } }; SIZES] } };
}

/// What a thread has kept, by size.
struct Kept {
    lists: [List; SIZES],
}

/// Pieces of one size, each with the address of the next in it.
struct List {
    first: Cell<*mut Piece>,
    length: Cell<usize>,
}

struct Piece {
    next: *mut Piece,
}

/// Which list a piece of memory belongs to, if any.
fn size(layout: Layout) -> Option<usize> {
    let size = layout.size().wrapping_sub(1) / STEP;
    (size < SIZES && layout.align() <= STEP).then_some(size)
}

/// What the C library is asked for where a piece may be kept: all of its size, for whoever gets it next.
fn whole(size: usize) -> Layout {
    // SAFETY: a step is a power of two, and the largest size far from what a layout may have.
    unsafe { Layout::from_size_align_unchecked((size + 1) * STEP, STEP) }
}

impl List {
    fn take(&self) -> Option<*mut u8> {
        let first = self.first.get();
        if first.is_null() {
            return None;
        }
        // SAFETY: what is in a list was given back, is large enough for a piece, and was written by `keep`.
        self.first.set(unsafe { (*first).next });
        self.length.set(self.length.get() - 1);
        Some(first.cast())
    }

    /// Keeps a piece of this size, if there is room for it.
    ///
    /// # Safety
    /// It is of this size, and nobody uses it.
    #[expect(clippy::cast_ptr_alignment, reason = "all pieces are aligned to a step")]
    unsafe fn keep(&self, piece: *mut u8, size: usize) -> bool {
        if self.length.get() >= KEPT / ((size + 1) * STEP) {
            return false;
        }
        let piece = piece.cast::<Piece>();
        // SAFETY: the caller has given it up; it is aligned to a step, and not smaller than one.
        unsafe { piece.write(Piece { next: self.first.get() }) };
        self.first.set(piece);
        self.length.set(self.length.get() + 1);
        true
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        for (size, list) in self.lists.iter().enumerate() {
            while let Some(piece) = list.take() {
                // SAFETY: it came from there, as large.
                unsafe { System.dealloc(piece, whole(size)) };
            }
        }
    }
}

// Not inlined: there are thousands of places that ask for memory, and an image holds the program.
// SAFETY: all memory is the C library's. What is kept belongs to nobody else, and is given out as what it was asked for:
// a piece of the same size and alignment.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = size(layout) else {
            // SAFETY: the caller's promise is passed on.
            return unsafe { System.alloc(layout) };
        };
        match HERE.try_with(|here| here.lists[size].take()) {
            Ok(Some(piece)) => piece,
            // SAFETY: its size is not zero.
            _ => unsafe { System.alloc(whole(size)) },
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let Some(size) = size(layout) else {
            // SAFETY: the caller's promise is passed on.
            return unsafe { System.dealloc(piece, layout) };
        };
        // SAFETY: it was allocated as one of this size, and the caller gives it up.
        if !matches!(HERE.try_with(|here| unsafe { here.lists[size].keep(piece, size) }), Ok(true)) {
            // SAFETY: it came from there, as large.
            unsafe { System.dealloc(piece, whole(size)) };
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if size(layout).is_none() {
            // SAFETY: the caller's promise is passed on. Large memory is often zero already.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise is passed on.
        let piece = unsafe { self.alloc(layout) };
        if !piece.is_null() {
            // SAFETY: it was allocated with this size.
            unsafe { piece.write_bytes(0, layout.size()) };
        }
        piece
    }

    #[inline(never)]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        // SAFETY: the caller promises that this is a layout.
        let larger = unsafe { Layout::from_size_align_unchecked(new, layout.align()) };
        match (size(layout), size(larger)) {
            (Some(before), Some(after)) if before == after => return piece,
            // SAFETY: the caller's promise is passed on.
            (None, None) => return unsafe { System.realloc(piece, layout, new) },
            _ => {}
        }
        // SAFETY: the caller promises that the size is not zero.
        let moved = unsafe { self.alloc(larger) };
        if !moved.is_null() {
            // SAFETY: both have so many bytes, and are not the same.
            unsafe { ptr::copy_nonoverlapping(piece, moved, layout.size().min(new)) };
            // SAFETY: the caller gives it up.
            unsafe { self.dealloc(piece, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, hint::black_box};

    use super::{HERE, KEPT, SIZES, STEP};

    fn kept(size: usize) -> usize {
        HERE.with(|here| here.lists[size / STEP - 1].length.get())
    }

    #[test]
    fn what_is_given_back_serves_again() {
        let some = || (0..24_u8).map(|number| black_box(Box::new([number; 200]))).collect::<Vec<_>>();
        let places = |boxes: &[Box<[u8; 200]>]| boxes.iter().map(|each| each.as_ptr()).collect::<BTreeSet<_>>();
        let boxes = some();
        let first = places(&boxes);
        drop(boxes);
        let boxes = some();
        assert_eq!(places(&boxes), first);
        assert!(boxes.iter().zip(0..).all(|(each, number)| each.iter().all(|byte| *byte == number)));
    }

    #[test]
    fn so_much_is_kept_and_no_more() {
        let size = SIZES * STEP;
        let boxes: Vec<_> = (0..100).map(|_| black_box(vec![0_u8; size])).collect();
        drop(boxes);
        assert_eq!(kept(size), KEPT / size);
        let large = black_box(vec![0_u8; size + 1]);
        drop(large);
        assert_eq!(kept(size), KEPT / size);
    }

    #[test]
    fn memory_that_is_to_be_zero_is_and_what_grows_or_shrinks_keeps_what_it_has() {
        for size in (1..=40).chain([511, 512, 513, 2000]) {
            drop(black_box(vec![0xff_u8; size]));
            assert!(black_box(vec![0_u8; size]).iter().all(|byte| *byte == 0), "{size}");
        }
        let mut bytes = Vec::new();
        for number in 0..5000_usize {
            bytes.push(number % 251);
        }
        assert!(bytes.iter().enumerate().all(|(number, byte)| *byte == number % 251));
        for size in [4000, 60, 59, 30, 2, 1] {
            bytes.truncate(size);
            bytes.shrink_to_fit();
            assert!(bytes.len() == size && bytes.iter().enumerate().all(|(number, byte)| *byte == number % 251));
        }
    }

    #[test]
    fn memory_may_be_given_back_elsewhere_and_at_the_end_of_a_thread() {
        thread_local! {
            static LAST: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        let texts: Vec<_> = (0..1000_u64).map(|number| number.to_string()).collect();
        let sum = std::thread::spawn(move || {
            let sum: u64 = texts.iter().filter_map(|text| text.parse::<u64>().ok()).sum();
            LAST.set(texts);
            sum
        });
        assert_eq!(sum.join().expect("it ends well"), 499_500);
    }
}
