//! Runs one reader on one input, within limits.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Target, allocations, input, watchdog};

/// An execution is a failure if it takes longer than this each time.
const SLOW: Duration = Duration::from_secs(2);
/// How often an execution beyond its limits is tried. A busy machine can make any execution slow, and a library may keep memory from its
/// first use on: that of dense products is as large as the processor's caches.
const TRIES: usize = 3;
/// Memory that a reader may take for each byte of its files.
const MEMORY_FOR_A_BYTE: usize = 10;
/// Memory that a reader may take whatever the size of its files.
const MEMORY: usize = 64 << 20;

/// Where the files of the inputs are written, one input after another. Whoever starts the program removes this folder
/// with the folder of temporary files, because a program that is ended from outside cannot.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // Readers share their work among rayon's threads. If this thread is the only one, nothing is handed over, and an
    // execution repeats exactly.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global();
    TempDir::new().expect("a folder for temporary files").keep()
});

/// Reads `input` as `target` does, from files.
///
/// # Panics
/// If the reader panics, if something that it must ensure does not hold, or if it takes more than two seconds, or more memory than 10 times
/// the input and 64 MiB, in every try. A reader that has not ended after a minute ends the program.
pub fn execute(target: &Target, input: &[u8]) {
    input::write(target, input, &FOLDER).expect("the files of an input can be written");
    let allowed = MEMORY_FOR_A_BYTE * input.len() + MEMORY;
    let (mut seconds, mut peak) = (Duration::MAX, usize::MAX);
    for _ in 0..TRIES {
        let mut of_try = 0;
        seconds = seconds.min(watchdog::timed(|| of_try = allocations::peak(|| (target.read)(&FOLDER))));
        peak = peak.min(of_try);
        if seconds <= SLOW && peak <= allowed {
            return;
        }
    }
    assert!(peak <= allowed, "{peak} bytes were allocated for {} bytes of input; {allowed} are allowed", input.len());
    panic!("{seconds:?} for {} bytes of input; {SLOW:?} are allowed", input.len());
}
