//! The program `unmix-mpi`: `unmix fit` on several machines, which MPI connects.

mod world;

use std::process::ExitCode;
use std::sync::Arc;

use unmix_cli::{Ranks, main_of_rank};

use crate::world::World;

#[global_allocator]
static ALLOCATOR: unmix_cli::EndingAllocator = unmix_cli::EndingAllocator;

/// The exit code of a panic, as Rust has it.
const PANICKED: u8 = 101;

fn main() -> ExitCode {
    let Some((universe, world)) = World::start() else {
        eprintln!("error: MPI cannot be started; run `unmix-mpi` by mpirun or srun");
        return ExitCode::from(1);
    };
    let ranks = Ranks { local_rank: world.local_rank(), host: world.host(), communicator: Arc::new(world) };
    end_all_on_panic(ranks.name());
    let end = main_of_rank(std::env::args_os().collect(), &ranks);
    if end.is_alone {
        // The others wait for this rank. Finalizing MPI would wait for them.
        world::end_all(end.code);
    }
    drop(universe);
    ExitCode::from(end.code)
}

/// A rank that panics says so, and ends all others as well.
fn end_all_on_panic(name: String) {
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("error: {name}: {panic}; all ranks are ended");
        world::end_all(PANICKED);
    }));
}
