//! Ctrl-C: the first one asks to stop, the second one ends the program.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::failure::Failure;

static PRESSED: AtomicUsize = AtomicUsize::new(0);

/// Exit code of an interrupted program.
const EXIT_CODE: i32 = 130;

/// From now on Ctrl-C is counted; `notice` is called at the first one, from another thread.
pub fn catch(notice: impl Fn() + Send + 'static) {
    let handler = move || match PRESSED.fetch_add(1, Ordering::Relaxed) {
        0 => notice(),
        _ => std::process::exit(EXIT_CODE),
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        // Ctrl-C still ends the program, only without saving.
        log::warn!("Ctrl-C cannot be caught: {error}");
    }
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    PRESSED.load(Ordering::Relaxed) > 0
}

/// Ends the command where Ctrl-C came before there was anything to save.
pub fn check() -> Result<(), Failure> {
    if requested() {
        Err(Failure::Interrupted("interrupted before the fit began; nothing was saved".to_owned()))
    } else {
        Ok(())
    }
}
