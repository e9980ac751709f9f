//! Memory of the CPU engine's buffers and of activations that it reads by itself.

use memmap2::{MmapMut, MmapOptions};

/// Zeroed words that come directly from the operating system. Pages that are never touched take no memory. If the system has large pages,
/// access to rows that are far apart needs fewer address translations.
pub(crate) struct HostMemory {
    pages: MmapMut,
    words: usize,
}

impl HostMemory {
    /// `words` words of zeros, or `None` if there is not enough memory.
    pub(crate) fn zeroed(words: usize) -> Option<Self> {
        // A mapping must have at least one byte.
        let pages = MmapOptions::new().len(words.checked_mul(4)?.max(1)).map_anon().ok()?;
        // This is only advice. Systems built without large pages refuse it, which does no harm.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Some(HostMemory { pages, words })
    }

    pub(crate) fn words(&self) -> &[u32] {
        bytemuck::cast_slice(&self.pages[..self.words * 4])
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u32] {
        bytemuck::cast_slice_mut(&mut self.pages[..self.words * 4])
    }
}

impl AsRef<[u8]> for HostMemory {
    fn as_ref(&self) -> &[u8] {
        &self.pages[..self.words * 4]
    }
}

#[cfg(test)]
mod tests {
    use super::HostMemory;

    #[test]
    fn memory_is_zeroed_writable_and_of_any_length() {
        for words in [0, 1, 1_500_000] {
            let mut memory = HostMemory::zeroed(words).expect("some megabytes");
            assert!(memory.words().len() == words && memory.words().iter().all(|&word| word == 0));
            memory.words_mut().fill(7);
            assert_eq!(memory.as_ref(), [7, 0, 0, 0].repeat(words));
        }
        assert!(HostMemory::zeroed(usize::MAX).is_none() && HostMemory::zeroed(usize::MAX / 8).is_none());
    }
}
