//! All ranks of an MPI program, as a communicator of `unmix`.

use std::sync::{Mutex, PoisonError};

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi::{Count, environment};

/// Most bytes that a rank sends or receives in one call of MPI, which counts in 32 bits.
const MOST_BYTES: u64 = 1 << 28;

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
        let own = outgoing.iter().chain(&incoming).copied().max().unwrap_or(0);
        let mut longest = 0u64;
        world.all_reduce_into(&own, &mut longest, SystemOperation::max());
        let mut received: Vec<Vec<u8>> = incoming.iter().map(|&length| Vec::with_capacity(length as usize)).collect();
        let piece = (MOST_BYTES / parts.len() as u64).max(1);
        for first in (0..longest).step_by(piece as usize) {
            let of_round = |lengths: &[u64]| -> Vec<Count> {
                lengths.iter().map(|length| length.saturating_sub(first).min(piece) as Count).collect()
            };
            let (outgoing, incoming) = (of_round(&outgoing), of_round(&incoming));
            let mut sent = Vec::new();
            for (part, &count) in parts.iter().zip(&outgoing).filter(|(_, count)| **count > 0) {
                sent.extend_from_slice(&part[first as usize..][..count as usize]);
            }
            let mut arrived = vec![0u8; incoming.iter().map(|&count| count as usize).sum()];
            world.all_to_all_varcount_into(
                &Partition::new(&sent[..], &outgoing[..], &places(&outgoing)[..]),
                &mut PartitionMut::new(&mut arrived[..], &incoming[..], &places(&incoming)[..]),
            );
            let mut rest = &arrived[..];
            for (received, &count) in received.iter_mut().zip(&incoming) {
                let (own, after) = rest.split_at(count as usize);
                received.extend_from_slice(own);
                rest = after;
            }
        }
        received
    }
}

/// Where each part begins if they follow one another.
fn places(counts: &[Count]) -> Vec<Count> {
    counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect()
}
