//! Signals that ask the program to stop: Ctrl-C, and those that batch systems and closing terminals send. The first
//! signal asks, and the second one ends the program.

use std::sync::atomic::{AtomicI32, Ordering};

/// The number of the first signal, or 0 before there was one.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// The number of the signal that Ctrl-C sends.
const CTRL_C: i32 = 2;

/// From now on these signals are noted. `notice` is called at the first one, from another thread.
pub fn catch(notice: impl Fn() + Send + 'static) {
    let handler = move |signal: i32| match RECEIVED.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => notice(),
        Err(_) => std::process::exit(128 + signal),
    };
    if let Err(error) = listen(handler) {
        // Signals still end the program, but without saving.
        log::warn!("signals cannot be caught: {error}");
    }
}

#[cfg(unix)]
fn listen(handler: impl Fn(i32) + Send + 'static) -> Result<(), Box<dyn std::error::Error>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut wanted = vec![SIGINT, SIGTERM];
    // `nohup` makes a program ignore the end of its terminal.
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || signals.forever().for_each(handler))?;
    Ok(())
}

#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, the call only writes the present one to memory that is valid for it.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } == 0;
    // SAFETY: all zeros are a valid action, and the call may have replaced them by another valid one.
    known && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

#[cfg(not(unix))]
fn listen(handler: impl Fn(i32) + Send + 'static) -> Result<(), Box<dyn std::error::Error>> {
    Ok(ctrlc::set_handler(move || handler(CTRL_C))?)
}

/// Whether one of the signals has come.
pub fn requested() -> bool {
    RECEIVED.load(Ordering::Relaxed) != 0
}

/// The exit code of an interrupted program: 128 plus the number of the signal, as shells have it.
pub fn exit_code() -> u8 {
    let signal = match RECEIVED.load(Ordering::Relaxed) {
        0 => CTRL_C,
        signal => signal,
    };
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}
