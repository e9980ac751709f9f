//! From directions to the tokens that they promote and suppress.

use std::cmp::Ordering;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use serde::Serialize;
use unmix::DenseMatrix;

use super::{LensError, Readout};

/// A token and how much a direction favours it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TokenIdLogit {
    /// Its id, which is its row of the unembedding.
    pub token_id: u32,
    /// Its logit, minus the mean over all tokens.
    pub logit: f32,
}

/// The tokens that one direction favours and disfavours most. Both lists are empty for a direction that is zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LensReading {
    /// Tokens with the largest logits, largest first. Of equals, the smaller id comes first.
    pub promoted: Vec<TokenIdLogit>,
    /// Tokens with the smallest logits, smallest first. Of equals, the smaller id comes first.
    pub suppressed: Vec<TokenIdLogit>,
    /// Mean of the logits over all tokens. It has been subtracted from each logit: adding a number to all logits
    /// changes no probability, so only differences between them mean something.
    pub mean_logit: f64,
}

/// Numbers of the unembedding, and of logits, that each thread holds in memory at a time.
const BLOCK: usize = 1 << 20;
/// Blocks after which the findings so far are put together.
const WAVE: usize = 32;

impl Readout {
    /// The `most` tokens that each direction r [K, d_model] promotes and suppresses most. Logits are the unembedding
    /// times the final norm of r, with the model's bias, scale and cap. Nothing else is in the residual stream, so the
    /// scale of r does not matter, apart from ε.
    ///
    /// Products are in f32. The same directions give the same bits on any number of threads.
    ///
    /// # Errors
    /// If the directions have another width than the weights, or are not finite. If the weights hold numbers that are
    /// not finite, or lead to logits that are not.
    pub fn read(&self, directions: &DenseMatrix, most: usize) -> Result<Vec<LensReading>, LensError> {
        let (width, rank) = (self.width(), directions.rows);
        if directions.columns != width {
            return Err(LensError::Width { what: "directions", found: directions.columns, expected: width });
        }
        if let Some(at) = directions.values.iter().position(|value| !value.is_finite()) {
            return Err(LensError::NotFinite(at / width));
        }
        if rank == 0 {
            return Ok(Vec::new());
        }
        let mut normed = vec![0f32; directions.values.len()];
        for (direction, normed) in directions.values.chunks_exact(width).zip(normed.chunks_exact_mut(width)) {
            self.norm.apply(direction, normed);
        }

        let mut found: Vec<Found> = (0..rank).map(|_| Found::new(most)).collect();
        let height = (BLOCK / width.max(rank)).clamp(16, 4096);
        let blocks: Vec<usize> = (0..self.tokens().div_ceil(height)).collect();
        for wave in blocks.chunks(WAVE) {
            // Each block begins with what the others have to beat, so that little is kept and merged.
            let parts = wave.par_iter().map(|block| {
                let first = block * height;
                self.read_block(first..(first + height).min(self.tokens()), &normed, &found)
            });
            let parts: Vec<Vec<Found>> = parts.collect::<Result<_, LensError>>()?;
            // The parts are merged in order, so that sums are the same on any number of threads.
            for part in parts {
                found.iter_mut().zip(part).for_each(|(found, part)| found.merge(&part));
            }
        }
        let tokens = self.tokens() as f64;
        let dead = |row: usize| directions.row(row).iter().all(|&value| value == 0.0);
        found
            .into_iter()
            .enumerate()
            .map(|(row, found)| if dead(row) { Ok(LensReading::default()) } else { found.finish(row, tokens) })
            .collect()
    }

    /// The strongest of a block of tokens, for each direction.
    fn read_block(
        &self,
        tokens: std::ops::Range<usize>,
        normed: &[f32],
        so_far: &[Found],
    ) -> Result<Vec<Found>, LensError> {
        let (width, rank, height, first) = (self.width(), so_far.len(), tokens.len(), tokens.start);
        let mut block = vec![0f32; height * width];
        self.head.unembedding.read_rows(tokens, &mut block)?;
        let mut logits = vec![0f32; height * rank];
        matmul(
            MatMut::from_column_major_slice_mut(&mut logits, height, rank),
            Accum::Replace,
            MatRef::from_row_major_slice(&block, height, width),
            MatRef::from_column_major_slice(normed, width, rank),
            1.0,
            Par::Seq,
        );
        Ok(logits
            .chunks_exact(height)
            .zip(so_far)
            .map(|(logits, so_far)| {
                let mut found = so_far.with_thresholds();
                for (token, &product) in (first..).zip(logits) {
                    let logit = self.head.logit(token, product);
                    found.sum += f64::from(logit);
                    // Adding 0 makes −0 and 0 equal, as they are to everything but `total_cmp`.
                    found.offer(TokenIdLogit { token_id: token as u32, logit: logit + 0.0 });
                }
                found
            })
            .collect())
    }
}

/// What has been found so far for one direction.
#[derive(Clone, Debug)]
struct Found {
    promoted: Strongest,
    suppressed: Strongest,
    sum: f64,
}

impl Found {
    fn new(most: usize) -> Found {
        let strongest = |sign| Strongest { most, sign, kept: Vec::new(), threshold: None };
        Found { promoted: strongest(1.0), suppressed: strongest(-1.0), sum: 0.0 }
    }

    fn with_thresholds(&self) -> Found {
        Found { promoted: self.promoted.with_threshold(), suppressed: self.suppressed.with_threshold(), sum: 0.0 }
    }

    fn offer(&mut self, token: TokenIdLogit) {
        self.promoted.offer(token);
        self.suppressed.offer(token);
    }

    fn merge(&mut self, other: &Found) {
        other.promoted.kept.iter().for_each(|&token| self.promoted.offer(token));
        other.suppressed.kept.iter().for_each(|&token| self.suppressed.offer(token));
        self.sum += other.sum;
    }

    /// The reading of direction `row`. Weights may be so large that a logit is beyond f32, which is an error.
    fn finish(self, row: usize, tokens: f64) -> Result<LensReading, LensError> {
        let mean_logit = self.sum / tokens;
        if !mean_logit.is_finite() {
            return Err(LensError::NotFinite(row));
        }
        let centred = |strongest: Strongest| {
            let kept = strongest.kept.into_iter();
            kept.map(|t| TokenIdLogit { logit: (f64::from(t.logit) - mean_logit) as f32, ..t }).collect()
        };
        Ok(LensReading { promoted: centred(self.promoted), suppressed: centred(self.suppressed), mean_logit })
    }
}

/// The tokens with the largest logit times `sign`, in order.
#[derive(Clone, Debug)]
struct Strongest {
    most: usize,
    sign: f32,
    kept: Vec<TokenIdLogit>,
    /// A token is of use only if it comes before this one, which is kept elsewhere.
    threshold: Option<TokenIdLogit>,
}

impl Strongest {
    /// An empty list that accepts only what this one would accept.
    fn with_threshold(&self) -> Strongest {
        let threshold = (self.kept.len() == self.most).then(|| self.kept.last().copied()).flatten();
        Strongest { kept: Vec::new(), threshold, ..*self }
    }

    fn offer(&mut self, token: TokenIdLogit) {
        let last = if self.kept.len() == self.most { self.kept.last() } else { None };
        if self.most == 0 || last.or(self.threshold.as_ref()).is_some_and(|last| self.order(last, &token).is_lt()) {
            return;
        }
        let place = self.kept.partition_point(|other| self.order(other, &token).is_lt());
        self.kept.insert(place, token);
        self.kept.truncate(self.most);
    }

    /// Stronger tokens come first. Of equals, the smaller id comes first.
    fn order(&self, a: &TokenIdLogit, b: &TokenIdLogit) -> Ordering {
        let strength = |token: &TokenIdLogit| self.sign * token.logit;
        strength(b).total_cmp(&strength(a)).then(a.token_id.cmp(&b.token_id))
    }
}
