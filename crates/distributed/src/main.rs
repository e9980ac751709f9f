//! The program `unmix-mpi`: `unmix fit` on several machines, which MPI connects.

use std::process::ExitCode;
use std::sync::Arc;

use unmix_cli::{Ranks, main_of_rank};
use unmix_mpi::{World, end_all, end_all_on_panic};

#[global_allocator]
static ALLOCATOR: unmix_cli::EndingAllocator = unmix_cli::EndingAllocator;

fn main() -> ExitCode {
    let Some((universe, world)) = World::start() else {
        eprintln!("error: MPI cannot be started; run `unmix-mpi` by mpirun or srun");
        return ExitCode::from(1);
    };
    let world = Arc::new(world);
    let ranks = Ranks { local_rank: world.local_rank(), host: world.host(), communicator: Arc::clone(&world) as _ };
    end_all_on_panic(ranks.name());
    let end = main_of_rank(std::env::args_os().collect(), &ranks);
    if end.is_alone {
        // The others wait for this rank. Finalizing MPI would wait for them.
        end_all(end.code);
    }
    log::debug!("{}", world.exchanged());
    drop(universe);
    ExitCode::from(end.code)
}
