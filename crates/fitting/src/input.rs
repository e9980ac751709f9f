//! The activations of a fit, in files or in memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use unmix::{ActivationSource, Distribution, ElementType};
use unmix_data::{
    ActivationSet, Error, InputRecord, MemoryActivations, OrdinaryReads, TokenColumns, fingerprint_of_ranks,
};

use crate::FitFailure;

/// Most bytes of activations that are copied so that their rows begin on cache lines.
const MOST_COPIED: u64 = 256 << 20;

/// The activations of a fit. Cheap to clone.
#[derive(Clone, Debug)]
pub enum FitInput {
    /// In files.
    Files(ActivationSet),
    /// In memory, which the caller keeps.
    Memory(MemoryActivations),
}

impl FitInput {
    /// What they are, for messages: the names of the files, or X.
    pub fn names(&self) -> String {
        match self {
            FitInput::Files(set) => set.names(),
            FitInput::Memory(_) => "X".to_owned(),
        }
    }

    /// The columns of the tokens.
    pub fn token_columns(&self) -> &TokenColumns {
        match self {
            FitInput::Files(set) => set.token_columns(),
            FitInput::Memory(memory) => memory.token_columns(),
        }
    }

    /// A record of them, whose fingerprint is known.
    pub fn record(&self, fingerprint: String) -> InputRecord {
        match self {
            FitInput::Files(set) => InputRecord::new(set, fingerprint),
            FitInput::Memory(memory) => InputRecord::of_memory(memory, fingerprint),
        }
    }

    /// Checks that they still are what they were when they had `fingerprint`.
    ///
    /// # Errors
    /// If they were changed, or cannot be read any more.
    pub fn check_unchanged(&self, fingerprint: &str) -> Result<(), Error> {
        match self {
            FitInput::Files(set) => set.check_unchanged(fingerprint),
            FitInput::Memory(memory) => memory.check_unchanged(fingerprint),
        }
    }

    /// The same, of which each process of a fit checks its own share. All call it at once.
    ///
    /// # Errors
    /// As [`check_unchanged`](Self::check_unchanged).
    pub fn check_unchanged_over(&self, distribution: &Distribution, fingerprint: &str) -> Result<(), Error> {
        match self {
            FitInput::Files(set) => {
                if fingerprint_of_ranks(&OrdinaryReads(set.clone()), distribution)? != fingerprint {
                    return Err(Error::Changed(set.files()[0].path().to_owned()));
                }
                set.check_whole()
            }
            FitInput::Memory(memory) => memory.check_unchanged(fingerprint),
        }
    }

    /// Checks that no file has lost bytes. This is cheap enough to ask often.
    ///
    /// # Errors
    /// If one has.
    pub fn check_whole(&self) -> Result<(), Error> {
        match self {
            FitInput::Files(set) => set.check_whole(),
            FitInput::Memory(_) => Ok(()),
        }
    }

    /// Bytes of all activations.
    pub fn bytes(&self) -> u64 {
        self.tokens().saturating_mul(self.neurons()).saturating_mul(self.element().bytes() as u64)
    }

    /// The source from which an engine reads. `in_place` says that the engine computes with the bytes where they are. Otherwise the pages of
    /// a mapped file would be memory that nothing needs. What is in memory already stays there, unless a small copy is faster.
    pub(crate) fn source(&self, in_place: bool) -> Result<Arc<dyn ActivationSource + Send>, Error> {
        Ok(match self {
            FitInput::Files(set) if !in_place => Arc::new(OrdinaryReads(set.clone())),
            FitInput::Memory(memory) if in_place && self.is_copied() => Arc::new(memory.aligned()?),
            FitInput::Files(_) | FitInput::Memory(_) => Arc::new(self.clone()),
        })
    }

    /// Whether an engine that computes in place gets a copy.
    pub(crate) fn is_copied(&self) -> bool {
        match self {
            FitInput::Files(_) => false,
            FitInput::Memory(memory) => self.bytes() <= MOST_COPIED && memory.is_misaligned(),
        }
    }

    fn source_of_all(&self) -> &dyn ActivationSource {
        match self {
            FitInput::Files(set) => set,
            FitInput::Memory(memory) => memory,
        }
    }
}

impl ActivationSource for FitInput {
    fn tokens(&self) -> u64 {
        self.source_of_all().tokens()
    }

    fn neurons(&self) -> u64 {
        self.source_of_all().neurons()
    }

    fn element(&self) -> ElementType {
        self.source_of_all().element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.source_of_all().read_rows(rows, out)
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        self.source_of_all().shared_rows(rows)
    }
}

/// Refuses a rank that the activations cannot have.
///
/// # Errors
/// [`FitFailure::Rank`].
pub fn check_rank(rank: u32, input: &FitInput) -> Result<(), FitFailure> {
    let (tokens, neurons) = (input.tokens(), input.neurons());
    if rank == 0 || u64::from(rank) > tokens.min(neurons) {
        return Err(FitFailure::Rank { rank, names: input.names(), tokens, neurons });
    }
    Ok(())
}
