//! How a rank that fails ends the others, which would wait for it forever.

use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;

/// The exit code of a panic, as Rust has it.
const PANICKED: u8 = 101;

/// Ends all ranks.
pub fn end_all(code: u8) -> ! {
    SimpleCommunicator::world().abort(code.into())
}

/// A rank that panics says so by its `name`, and ends all others as well. Unwinding would finalize MPI, which waits for the others.
pub fn end_all_on_panic(name: String) {
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("error: {name}: {panic}; all ranks are ended");
        end_all(PANICKED);
    }));
}
