//! A job for the tests: the last rank panics in a thread of its own while the others wait for it.

use std::sync::Arc;

use unmix::Communicator;
use unmix_cli::Ranks;
use unmix_mpi::{World, end_all_on_panic};

fn main() {
    let (_universe, world) = World::start().expect("MPI starts");
    let world = Arc::new(world);
    let ranks = Ranks { local_rank: world.local_rank(), host: world.host(), communicator: Arc::clone(&world) as _ };
    end_all_on_panic(ranks.name());
    if world.rank() + 1 == world.ranks() {
        let _ = std::thread::spawn(|| panic!("a mistake of this rank")).join();
    }
    world.exchange(&vec![&b"whatever"[..]; world.ranks() as usize]);
    println!("this rank goes on");
}
