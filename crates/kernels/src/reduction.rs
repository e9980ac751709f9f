//! Sums over the tokens of all processes, as a command of a recording.

use crate::BufferId;

/// Buffers that hold the sums over one segment of the tokens. The command adds them to the sums over the other segments. After the last
/// segment of this process, the buffers hold the sums over all segments of all processes.
///
/// An engine knows nothing of other processes, so it refuses this command. Whoever has a connection to them runs what is recorded before
/// and after it, and takes the sums in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduction {
    /// Number of the segment, from 0.
    pub segment: u32,
    /// Number of segments of all processes.
    pub segments: u32,
    /// Whether this is the last segment of this process.
    pub last: bool,
    /// The sums.
    pub sums: Vec<ReducedSum>,
}

/// A buffer with sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReducedSum {
    /// The buffer.
    pub buffer: BufferId,
    /// How many of its first 32-bit words are reduced, a multiple of 4.
    pub words: u64,
    /// What the words are.
    pub kind: SumKind,
}

/// What the words of a buffer with sums are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumKind {
    /// Numbers in f32.
    Numbers,
    /// Pairs (hi, lo) of numbers in f32 that stand for hi + lo.
    Pairs,
}

impl Reduction {
    /// Bytes of the sums.
    pub fn bytes(&self) -> u64 {
        self.sums.iter().map(|sum| sum.words * 4).sum()
    }
}
