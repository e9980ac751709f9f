//! Brings the coefficients of all ranks together.

use crate::Factorization;
use crate::distribution::Distribution;

/// Number of coefficients that are sent at once.
const PIECE: usize = 1 << 24;

impl Factorization {
    /// The factorization of all tokens on rank 0, given that of its own tokens on each rank. `None` on the other ranks. All ranks call it at
    /// once.
    pub fn gathered(mut self, distribution: &Distribution) -> Option<Factorization> {
        let communicator = distribution.communicator();
        let (columns, is_first) = (self.coefficients.columns, communicator.rank() == 0);
        let own = std::mem::take(&mut self.coefficients.values);
        let mut whole = Vec::new();
        if is_first {
            whole.reserve_exact(distribution.tokens() as usize * columns);
            whole.extend_from_slice(&own);
        }
        for rank in 1..communicator.ranks() {
            let rows = distribution.rows_of(rank);
            let count = (rows.end - rows.start) as usize * columns;
            for first in (0..count).step_by(PIECE) {
                let is_sender = communicator.rank() == rank;
                let piece = if is_sender { own[first..count.min(first + PIECE)].to_vec() } else { Vec::new() };
                let sent = communicator.sent_to(0, piece);
                if is_first {
                    whole.extend_from_slice(&sent[rank as usize]);
                }
            }
        }
        self.coefficients.rows = distribution.tokens() as usize;
        self.coefficients.values = whole;
        is_first.then_some(self)
    }
}
