//! All ranks of an MPI program, as a communicator of `unmix`.

use std::sync::{Mutex, PoisonError};

use mpi::environment::{self, Universe};
use mpi::request::Request;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Source};
use mpi::{Rank, Threading};

/// Most bytes of a message, because MPI counts in 32 bits.
const MOST_BYTES: usize = 1 << 30;

/// All ranks.
#[derive(Debug, Default)]
pub struct World {
    /// Locked while ranks exchange, because MPI allows one thread at a time.
    exchanging: Mutex<()>,
}

impl World {
    /// Starts MPI, which ends when the universe is dropped. `None` if it was started before.
    pub fn start() -> Option<(Universe, World)> {
        let (universe, _) = mpi::initialize_with_threading(Threading::Serialized)?;
        Some((universe, World::default()))
    }

    /// Number of this rank among those of its machine.
    pub fn local_rank(&self) -> u32 {
        let world = SimpleCommunicator::world();
        world.split_shared(world.rank()).rank() as u32
    }

    /// Name of this machine.
    pub fn host(&self) -> String {
        environment::processor_name().unwrap_or_else(|_| "an unknown host".to_owned())
    }
}

/// Ends all ranks.
pub fn end_all(code: u8) -> ! {
    SimpleCommunicator::world().abort(code.into())
}

impl unmix::Communicator for World {
    fn ranks(&self) -> u32 {
        SimpleCommunicator::world().size() as u32
    }

    fn rank(&self) -> u32 {
        SimpleCommunicator::world().rank() as u32
    }

    fn exchange(&self, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let _exchanging = self.exchanging.lock().unwrap_or_else(PoisonError::into_inner);
        let world = SimpleCommunicator::world();
        let outgoing: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
        let mut incoming = vec![0u64; parts.len()];
        world.all_to_all_into(&outgoing[..], &mut incoming[..]);
        let mut received: Vec<Vec<u8>> = incoming.iter().map(|&length| vec![0; length as usize]).collect();
        let own = world.rank() as usize;
        received[own].copy_from_slice(parts[own]);
        // Messages rather than MPI_Alltoallv: in OpenMPI 4.1 a part without bytes can make ranks choose different algorithms, whose messages
        // do not match.
        let process = |rank: usize| world.process_at_rank(rank as Rank);
        mpi::request::scope(|scope| {
            let mut receiving = Vec::new();
            for (rank, received) in received.iter_mut().enumerate().filter(|(rank, _)| *rank != own) {
                let pieces = received.chunks_mut(MOST_BYTES);
                receiving.extend(pieces.map(|piece| process(rank).immediate_receive_into(scope, piece)));
            }
            let mut sending = Vec::new();
            for (rank, part) in parts.iter().enumerate().filter(|(rank, _)| *rank != own) {
                sending.extend(part.chunks(MOST_BYTES).map(|piece| process(rank).immediate_send(scope, piece)));
            }
            receiving.into_iter().for_each(Request::wait_without_status);
            sending.into_iter().for_each(Request::wait_without_status);
        });
        received
    }
}
