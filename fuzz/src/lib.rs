//! What all programs share.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
pub use {libfuzzer_sys, unmix_fuzz};

/// The target of that name.
///
/// # Panics
/// If there is none.
pub fn target(name: &str) -> &'static unmix_fuzz::Target {
    unmix_fuzz::Target::named(name).expect("a target of this name")
}

/// Changes the first `size` bytes of `data`, by libFuzzer's own means or by ours, which know what headers look like.
/// Returns the new number of bytes, at most `longest`.
pub fn mutate(target: &str, data: &mut [u8], size: usize, longest: usize, seed: u32) -> usize {
    if seed % 2 == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, longest);
    }
    let input = &data[..size];
    let made = unmix_fuzz::mutate(self::target(target), input, input, longest, ChaCha8Rng::seed_from_u64(seed.into()));
    data[..made.len()].copy_from_slice(&made);
    made.len()
}

/// The program of a target.
#[macro_export]
macro_rules! program {
    ($target:literal) => {
        use $crate::libfuzzer_sys::{fuzz_mutator, fuzz_target};

        fuzz_target!(|input: &[u8]| $crate::unmix_fuzz::execute($crate::target($target), input));
        fuzz_mutator!(|data: &mut [u8], size: usize, longest: usize, seed: u32| {
            $crate::mutate($target, data, size, longest, seed)
        });
    };
}
