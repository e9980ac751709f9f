//! Long computations: without the interpreter's lock, in whichever process, and without panics that reach Python.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use rayon::ThreadPool;

use crate::log_records;

/// The threads that compute in this process, or in the one that it was forked from.
static THREADS: Mutex<Option<&'static Threads>> = Mutex::new(None);

/// Threads, and the process that started them.
struct Threads {
    process: u32,
    /// None for rayon's own, which start by themselves. They do not exist in a process that was forked from theirs.
    pool: Option<ThreadPool>,
}

/// Computes while other threads of Python run.
///
/// # Errors
/// What `compute` returns, and an error in place of a panic.
pub fn computing<T: Send>(py: Python<'_>, compute: impl FnOnce() -> PyResult<T> + Send) -> PyResult<T> {
    log_records::keep();
    py.detach(|| {
        let threads = threads()?;
        let caught = catch_unwind(AssertUnwindSafe(|| match &threads.pool {
            Some(pool) => pool.install(compute),
            None => compute(),
        }));
        caught.unwrap_or_else(|panic| {
            Err(PyRuntimeError::new_err(format!(
                "unmix failed where it should not ({}); please report this with what you did",
                message(&*panic)
            )))
        })
    })
}

/// Whether this process was forked from one that had computed.
pub fn is_forked() -> bool {
    known_threads().is_some_and(|threads| threads.process != std::process::id() || threads.pool.is_some())
}

/// The threads of this process.
fn threads() -> PyResult<&'static Threads> {
    let process = std::process::id();
    let mut known = known_threads();
    let pool = match *known {
        Some(threads) if threads.process == process => return Ok(threads),
        None => None,
        Some(_) => Some(rayon::ThreadPoolBuilder::new().build().map_err(|error| {
            PyMemoryError::new_err(format!("the threads of a forked process cannot be started: {error}"))
        })?),
    };
    // A process has one of them, until it ends.
    let threads: &'static Threads = Box::leak(Box::new(Threads { process, pool }));
    *known = Some(threads);
    Ok(threads)
}

fn known_threads() -> MutexGuard<'static, Option<&'static Threads>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
