//! All ranks of an MPI program, as a communicator of `unmix`.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    exchanged: Mutex<Exchanged>,
}

/// What this rank has exchanged with the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchanged {
    /// Number of exchanges.
    count: u64,
    /// Bytes that this rank has sent to others.
    bytes: u64,
    /// Time in exchanges. That includes waiting for ranks that still compute.
    time: Duration,
}

impl fmt::Display for Exchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exchanged { count, bytes, time } = self;
        write!(
            f,
            "{count} exchanges between ranks took {:.3} s, and sent {bytes} bytes from this one",
            time.as_secs_f64()
        )
    }
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

    /// What this rank has exchanged so far.
    pub fn exchanged(&self) -> Exchanged {
        *self.locked()
    }

    fn locked(&self) -> MutexGuard<'_, Exchanged> {
        self.exchanged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl unmix::Communicator for World {
    fn ranks(&self) -> u32 {
        SimpleCommunicator::world().size() as u32
    }

    fn rank(&self) -> u32 {
        SimpleCommunicator::world().rank() as u32
    }

    fn exchange(&self, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut exchanged = self.locked();
        let started = Instant::now();
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
        exchanged.count += 1;
        exchanged.bytes += outgoing.iter().sum::<u64>() - outgoing[own];
        exchanged.time += started.elapsed();
        received
    }
}
