//! Counts the memory that a program allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Larger totals are refused, which ends the program. A reader that asks for this much has failed, and other programs
/// need the machine's memory too.
const REFUSED: usize = 1 << 30;

/// Bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The largest value of `LIVE` since [`peak`] began to look.
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a count. Every program that contains this crate uses it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every request goes to the system's allocator as it came, or is refused by a null pointer, as the trait allows.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same there.
        counted(0, layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same there.
        counted(0, layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from the same allocator.
        counted(layout.size(), size, || unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from the same allocator.
        unsafe { System.dealloc(pointer, layout) };
        LIVE.fetch_sub(layout.size(), Relaxed);
    }
}

/// Allocates `new` bytes in place of `old` ones, unless the total is too large.
fn counted(old: usize, new: usize, allocate: impl FnOnce() -> *mut u8) -> *mut u8 {
    if new > old && LIVE.load(Relaxed).saturating_add(new - old) > REFUSED {
        return std::ptr::null_mut();
    }
    let pointer = allocate();
    if !pointer.is_null() {
        let live = LIVE.fetch_add(new.wrapping_sub(old), Relaxed).wrapping_add(new.wrapping_sub(old));
        PEAK.fetch_max(live, Relaxed);
    }
    pointer
}

/// Runs `work` and returns how far the allocated bytes rose meanwhile. All threads count.
pub fn peak(work: impl FnOnce()) -> usize {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    work();
    PEAK.load(Relaxed).saturating_sub(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_or_grows_counts_once() {
        // Other tests allocate and give back too, but far less than this.
        let (bytes, others) = (256 << 20, 64 << 20);
        let expected = bytes - others..bytes + others;
        let given_back = peak(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes))));
        assert!(expected.contains(&given_back), "{given_back}");
        let grown = peak(|| {
            let mut growing: Vec<u8> = Vec::with_capacity(bytes / 2);
            growing.reserve_exact(bytes);
            std::hint::black_box(growing);
        });
        assert!(expected.contains(&grown), "{grown}");
    }
}
