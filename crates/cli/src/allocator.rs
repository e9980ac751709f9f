//! Ends a program that gets no more memory with a message and an exit code. Rust would abort it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::OUT_OF_MEMORY;

/// Whether stderr holds JSON lines.
static JSON: AtomicBool = AtomicBool::new(false);

/// From now on the message is a JSON line.
pub fn tell_in_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// The system's allocator, except that an allocation which it refuses ends the program.
pub struct EndingAllocator;

// SAFETY: every method is the system allocator's own with the same arguments, and its result is passed on unless it is null.
unsafe impl GlobalAlloc for EndingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps what `alloc` asks for.
        granted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps what `alloc_zeroed` asks for.
        granted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps what `realloc` asks for, and `memory` came from the system allocator.
        granted(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps what `dealloc` asks for, and `memory` came from the system allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn granted(memory: *mut u8, bytes: usize) -> *mut u8 {
    if memory.is_null() {
        end(bytes);
    }
    memory
}

/// Says that memory ran out and ends the program. It neither allocates nor waits for another thread.
#[cold]
fn end(bytes: usize) -> ! {
    let (start, stop) = if JSON.load(Ordering::Relaxed) {
        ("{\"event\":\"error\",\"message\":\"", "\",\"exit_code\":4}")
    } else {
        ("error: ", "")
    };
    let mut text = [0u8; 320];
    let mut rest = &mut text[..];
    let _ = writeln!(
        rest,
        "{start}out of memory: the system refused {bytes} bytes more; use fewer tokens or a smaller rank, or allow the program \
         more memory{stop}"
    );
    let left = rest.len();
    say(&text[..text.len() - left]);
    exit()
}

#[cfg(unix)]
fn say(text: &[u8]) {
    use std::os::fd::FromRawFd;
    // SAFETY: the descriptor of stderr is open as long as the process lives, or writing fails, and it is never closed here.
    let stderr = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(2) });
    let _ = (&*stderr).write_all(text);
}

#[cfg(not(unix))]
fn say(text: &[u8]) {
    let _ = std::io::stderr().write_all(text);
}

#[cfg(unix)]
fn exit() -> ! {
    // SAFETY: this ends the process at once, which needs nothing. What is registered to run at a usual exit might
    // allocate.
    unsafe { libc::_exit(OUT_OF_MEMORY.into()) }
}

#[cfg(not(unix))]
fn exit() -> ! {
    std::process::exit(OUT_OF_MEMORY.into())
}
