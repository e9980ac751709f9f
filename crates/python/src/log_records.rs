//! The log of the engine, for Python's `logging`.
//!
//! Records are kept until Python takes them. So a thread that logs never waits for the interpreter, and never calls into it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

/// Most records that are kept. Older ones give way.
const MOST: usize = 1000;

/// A record: a level as Python numbers it, the target, and the message.
type Kept = (u8, String, String);

static RECORDS: Mutex<VecDeque<Kept>> = Mutex::new(VecDeque::new());

struct Keeper;

impl Log for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Drivers and loaders say much that does not concern the user.
        of_package(metadata.target()).starts_with("unmix") || metadata.level() <= Level::Error
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => 40,
            Level::Warn => 30,
            Level::Info => 20,
            Level::Debug | Level::Trace => 10,
        };
        let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == MOST {
            records.pop_front();
        }
        records.push_back((level, of_package(record.target()).to_owned(), record.args().to_string()));
    }

    fn flush(&self) {}
}

/// The target of a record as the package calls it: the native module is named `_unmix`.
fn of_package(target: &str) -> &str {
    target.trim_start_matches('_')
}

/// The records since the last call.
#[pyfunction]
fn take_log_records() -> Vec<Kept> {
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
}

/// Begins to keep records, if it was not done before. The command, which has a log of its own, never does.
pub fn keep() {
    if log::set_logger(&Keeper).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(take_log_records, module)?)
}
