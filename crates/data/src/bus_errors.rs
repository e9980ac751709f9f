//! What happens if a mapped file is cut short, or its disk fails, while it is read. The system then sends the signal
//! SIGBUS, which ends a process without a message. Once it is caught, the missing bytes read as zeros, and
//! [`check_mappings`] says which file it was.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Error;

/// Most mappings that are watched at once.
const MAPPINGS: usize = 16_384;

/// The place of a mapping in memory. The handler reads it without a lock, as a handler must.
struct Slot {
    /// Address of the first byte, or 0 if the slot is free.
    start: AtomicUsize,
    bytes: AtomicUsize,
    /// Whether bytes were missing.
    broken: AtomicBool,
}

static SLOTS: [Slot; MAPPINGS] =
    [const { Slot { start: AtomicUsize::new(0), bytes: AtomicUsize::new(0), broken: AtomicBool::new(false) } };
        MAPPINGS];

/// Files with missing bytes whose mappings no longer exist, and the files of the slots.
static FILES: Mutex<Files> = Mutex::new(Files { of_slots: Vec::new(), broken: Vec::new() });

struct Files {
    of_slots: Vec<(usize, PathBuf)>,
    broken: Vec<PathBuf>,
}

fn files() -> std::sync::MutexGuard<'static, Files> {
    FILES.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A mapping that is watched as long as this value lives. This value must be dropped before the mapping.
#[derive(Debug)]
pub(crate) struct Watched {
    /// None if all slots are taken. Such a mapping is not watched.
    slot: Option<usize>,
}

impl Watched {
    /// Watches the mapping of the file at `path`.
    pub(crate) fn new(mapping: &[u8], path: &Path) -> Self {
        let mut files = files();
        let taken = |slot: &Slot| slot.start.load(Ordering::Relaxed) != 0;
        let slot = SLOTS.iter().position(|slot| !taken(slot));
        if let Some(index) = slot {
            let slot = &SLOTS[index];
            slot.broken.store(false, Ordering::Relaxed);
            slot.bytes.store(mapping.len(), Ordering::Relaxed);
            slot.start.store(mapping.as_ptr() as usize, Ordering::Release);
            files.of_slots.push((index, path.to_owned()));
        }
        Watched { slot }
    }

    /// Whether bytes were missing.
    pub(crate) fn is_broken(&self) -> bool {
        self.slot.is_some_and(|slot| SLOTS[slot].broken.load(Ordering::Acquire))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(index) = self.slot else { return };
        let mut files = files();
        SLOTS[index].start.store(0, Ordering::Release);
        if let Some(place) = files.of_slots.iter().position(|(slot, _)| *slot == index) {
            let (_, path) = files.of_slots.swap_remove(place);
            if SLOTS[index].broken.load(Ordering::Acquire) {
                files.broken.push(path);
            }
        }
    }
}

/// Checks that every mapped file that was read so far held all of its bytes. What was computed from one that did not is
/// worthless.
///
/// # Errors
/// [`Error::CutShort`] with the first file that did not.
pub fn check_mappings() -> Result<(), Error> {
    let files = files();
    let broken = |slot: &usize| SLOTS[*slot].broken.load(Ordering::Acquire);
    let open = files.of_slots.iter().filter(|(slot, _)| broken(slot)).map(|(_, path)| path);
    match files.broken.iter().chain(open).next() {
        Some(path) => Err(Error::CutShort(path.clone())),
        None => Ok(()),
    }
}

/// From now on, missing bytes of mapped files read as zeros instead of ending the process, and [`check_mappings`]
/// reports them. An earlier handler of SIGBUS still gets the signals of other memory. Does nothing on systems without
/// this signal.
pub fn catch_bus_errors() {
    #[cfg(unix)]
    handler::install();
}

#[cfg(unix)]
mod handler {
    use std::sync::OnceLock;
    use std::sync::atomic::Ordering;

    use super::SLOTS;

    /// The earlier action.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    pub(super) fn install() {
        let mut before = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: without a new action, the call only writes the present one to memory that is valid for it; all zeros are valid, too.
        let before = unsafe {
            libc::sigaction(libc::SIGBUS, std::ptr::null(), before.as_mut_ptr());
            before.assume_init()
        };
        if BEFORE.set(before).is_err() {
            return; // It is installed.
        }
        // SAFETY: all zeros are a valid action, whose fields are then set: a handler of the kind that the flags announce, on the
        // stack for signals where a thread has one, and no other signal blocked.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_bus_error as extern "C" fn(_, _, _) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
        }
    }

    /// Puts pages of zeros where the file no longer has any. It calls nothing that a handler must not call.
    extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the system calls this with valid information on the signal.
        let address = unsafe { (*info).si_addr() } as usize;
        for slot in &SLOTS {
            let start = slot.start.load(Ordering::Acquire);
            let end = start + slot.bytes.load(Ordering::Relaxed);
            if start == 0 || !(start..end.next_multiple_of(4096)).contains(&address) {
                continue;
            }
            // SAFETY: asks for a number.
            let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
            let first = address / page * page;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            // SAFETY: the pages from this one to the end belong to the mapping of this slot, which lives as long as the slot is
            // taken. Where this byte is beyond the end of the file, those behind it are as well.
            let mapped = unsafe { libc::mmap(first as *mut _, end - first, libc::PROT_READ, flags, -1, 0) };
            if mapped != libc::MAP_FAILED {
                slot.broken.store(true, Ordering::Release);
                return;
            }
        }
        pass_on(signal, info, context);
    }

    /// Does what would have been done without this handler.
    fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let Some(before) = BEFORE.get() else { return };
        match before.sa_sigaction {
            // The signal comes again as soon as this returns, and then ends the process.
            libc::SIG_DFL | libc::SIG_IGN => {
                // SAFETY: the action is one that the system gave.
                unsafe { libc::sigaction(libc::SIGBUS, before, std::ptr::null_mut()) };
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                // SAFETY: the flag says that the handler is of this kind.
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    unsafe { std::mem::transmute(handler) };
                handler(signal, info, context);
            }
            handler => {
                // SAFETY: without the flag, a handler takes the signal alone.
                let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
                handler(signal);
            }
        }
    }
}
