//! Ends the program if an execution does not end.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Even on a busy machine, nothing that should take less than a millisecond takes this long.
const HANGS: Duration = Duration::from_secs(60);

/// Milliseconds from `START` to the beginning of the execution that runs now, plus one. 0 if none runs.
static BEGUN: AtomicU64 = AtomicU64::new(0);

static START: LazyLock<Instant> = LazyLock::new(|| {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let begun = BEGUN.load(Relaxed);
            if begun != 0 && now().saturating_sub(begun) > HANGS.as_millis() as u64 {
                eprintln!("an execution does not end: it has taken {} seconds", HANGS.as_secs());
                std::process::abort();
            }
        }
    });
    Instant::now()
});

/// Runs `work` and watches it. Returns how long it took.
pub fn timed(work: impl FnOnce()) -> Duration {
    BEGUN.store(now(), Relaxed);
    let begun = processor_time();
    work();
    BEGUN.store(0, Relaxed);
    processor_time().saturating_sub(begun)
}

/// The processor time that this process has used. Waiting for other processes does not count.
#[cfg(unix)]
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of the type that is written.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "the processor time of a process can be asked for");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time that has passed.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    START.elapsed()
}

fn now() -> u64 {
    START.elapsed().as_millis() as u64 + 1
}
