//! The connection between the processes that share the tokens of a fit.

use std::fmt::Debug;

use bytemuck::Pod;

/// Connects the processes that compute one fit together, of which each has some of the tokens. They are numbered from 0, and their numbers
/// are called ranks.
///
/// All ranks call the same methods in the same order. A rank that can no longer be reached leaves the others nothing to go on with, so an
/// implementation ends the process then and does not return.
pub trait Communicator: Send + Sync + Debug {
    /// Number of processes, at least 1.
    fn ranks(&self) -> u32;

    /// Number of this process, from 0.
    fn rank(&self) -> u32;

    /// Sends `parts[r]` to rank r, and returns what each rank has sent to this one. There is one part for each rank, this one included. Their
    /// lengths may differ, and may be zero. It waits until every rank has called it.
    fn exchange(&self, parts: &[&[u8]]) -> Vec<Vec<u8>>;
}

/// The only process of a fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Communicator for Alone {
    fn ranks(&self) -> u32 {
        1
    }

    fn rank(&self) -> u32 {
        0
    }

    fn exchange(&self, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        parts.iter().map(|part| part.to_vec()).collect()
    }
}

impl dyn Communicator + '_ {
    /// The values of each rank, at every rank.
    pub(crate) fn of_each_rank<T: Pod>(&self, own: &[T]) -> Vec<Vec<T>> {
        let parts = vec![bytemuck::cast_slice(own); self.ranks() as usize];
        self.exchange(&parts).iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect()
    }

    /// The values of all ranks one after the other, at every rank.
    pub(crate) fn joined<T: Pod>(&self, own: Vec<T>) -> Vec<T> {
        if self.ranks() == 1 { own } else { self.of_each_rank(&own).concat() }
    }

    /// The values of rank `from`, at every rank. What the other ranks pass is not looked at.
    pub(crate) fn of_rank<T: Pod>(&self, from: u32, own: Vec<T>) -> Vec<T> {
        if self.ranks() == 1 {
            return own;
        }
        let sent = if self.rank() == from { bytemuck::cast_slice(&own) } else { &[] };
        let parts = vec![sent; self.ranks() as usize];
        bytemuck::pod_collect_to_vec(&self.exchange(&parts)[from as usize])
    }

    /// What each rank sends to rank `to`. The other ranks get nothing.
    pub(crate) fn sent_to<T: Pod>(&self, to: u32, own: Vec<T>) -> Vec<Vec<T>> {
        if self.ranks() == 1 {
            return vec![own];
        }
        let part = |rank: u32| if rank == to { bytemuck::cast_slice(&own) } else { &[] };
        let parts: Vec<&[u8]> = (0..self.ranks()).map(part).collect();
        self.exchange(&parts).iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect()
    }

    /// Whether a rank says yes.
    pub(crate) fn any(&self, own: bool) -> bool {
        self.joined(vec![u8::from(own)]).contains(&1)
    }
}
