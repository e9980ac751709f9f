//! Fetches memory before it is needed.

/// Fetches the cache lines of these bytes, if the processor can do that.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8]) {
    bytes.chunks(64).for_each(|line| prefetch_line(line.as_ptr()));
}

/// Fetches the cache line at an address into the second-level cache. The address need not be one of ours. The
/// first-level cache is full of what is being computed with.
#[inline(always)]
pub(crate) fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch may name any address.
        #[allow(unused_unsafe, reason = "unsafe in older versions of Rust")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
