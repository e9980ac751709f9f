//! The error of features on tokens and neurons that their coefficients have not seen.

mod folds;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use unmix::{ActivationSource, DenseMatrix, Encoder, Engine};
use unmix_data::{PanelBuffer, Panels, RowRange};

use crate::fit_error::FitError;
use crate::rows::{nonzeros, squared_norm};

pub use folds::{Folds, folds};

/// Bytes of activations that are encoded at a time.
const PORTION_BYTES: u64 = 128 << 20;
/// When a token has settled, as a share of its norm. The error needs no more digits.
const TOLERANCE: f64 = 1e-3;
/// Most sweeps over the coefficients of a token.
const MOST_SWEEPS: u32 = 200;
/// Least share of a feature's squared norm among the neurons that are seen. With less, they say too little about its
/// coefficient, and the feature is left out of that half.
const LEAST_SEEN: f64 = 0.1;

/// The error of features Z \[K, d\] on held-out tokens X \[n, d\]: bi-cross-validation (Owen and Perry 2009).
///
/// The neurons are cut into two random halves. The coefficients of each token are found by nonnegative least squares on
/// one half, and predict the other half. Then the halves change places. The result is the squared error of both
/// predictions as a share of ‖X‖², from 0 to 1. It is 0 if all activations are zero.
///
/// All predictions are multiplied by one number, which makes the error least. Coefficients from half of the neurons carry
/// the noise of these neurons. Without that number, the predictions of many features would be worse than none.
///
/// The features must come from other tokens. Then the error falls as long as more features find something that tokens
/// have in common, and it rises as soon as they follow the noise: noise in one half of the neurons says nothing about
/// the other half. The error of a fit falls with every feature.
///
/// `seed` decides about the halves. Compare numbers of features with the same seed. `held_out` is read in portions, so it
/// must be cheap to clone.
///
/// ```
/// use unmix::{CpuEngine, Engine, HostActivations, SemiNmf};
/// use unmix_interpret::held_out_error;
///
/// // Every token is a multiple of one of two patterns over eight neurons.
/// let token = |i: usize| (0..8).map(move |j| if j % 2 == i % 2 { (i % 5) as f32 + 1.0 } else { 0.0 });
/// let rows = |range: std::ops::Range<usize>| {
///     let count = range.len() as u64;
///     HostActivations::from_f32(range.flat_map(token).collect(), count, 8)
/// };
/// let engine = CpuEngine::new();
/// let training = engine.load(&rows(0..40)?)?;
/// let held_out = rows(40..60)?;
/// let error = |rank| {
///     let fit = SemiNmf::new(rank).sparsity(0.5).fit(&engine, &training)?;
///     held_out_error(&engine, &held_out, &fit.features, 0)
/// };
/// assert!(error(2)? < 1e-4 && error(1)? > 0.2);
/// # Ok::<(), unmix_interpret::FitError>(())
/// ```
///
/// # Errors
/// If the features are not over the activations' neurons or are not finite, if there is only one neuron, if the
/// activations are not finite or cannot be read, or if the engine fails.
pub fn held_out_error<S: ActivationSource + Clone>(
    engine: &dyn Engine,
    held_out: &S,
    features: &DenseMatrix,
    seed: u64,
) -> Result<f64, FitError> {
    let neurons = held_out.neurons() as usize;
    if neurons < 2 {
        return Err(unmix::Error::Option {
            option: "held_out",
            given: format!("activations of {neurons} neurons"),
            expected: "at least 2 are needed, since one half of them predicts the other".to_owned(),
        }
        .into());
    }
    if features.columns != neurons {
        return Err(unmix::Error::Option {
            option: "features",
            given: format!("{} × {}", features.rows, features.columns),
            expected: format!("at least one feature over the activations' {neurons} neurons is needed"),
        }
        .into());
    }
    let is_first = first_half(neurons, seed);
    let (mut predictions, mut energy) = (Predictions::default(), 0.0);
    let row_bytes = held_out.neurons() * held_out.element().bytes() as u64;
    let rows = (PORTION_BYTES / row_bytes).max(1);
    for first in (0..held_out.tokens()).step_by(rows as usize) {
        let portion = RowRange::new(held_out.clone(), first..first + rows);
        let activations = engine.load(&portion).map_err(unmix::Error::from)?;
        for seen_first in [true, false] {
            let is_seen: Vec<bool> = is_first.iter().map(|&first| first == seen_first).collect();
            let [seen, predicted] = parts(features, &is_seen);
            let encoder = Encoder::new(seen).tolerance(TOLERANCE).max_sweeps(MOST_SWEEPS);
            let encoding = encoder.encode(engine, &activations)?;
            predictions.add(&portion, &encoding.coefficients, &predicted)?;
            // Each neuron is predicted once, so the energy counts once.
            energy += if seen_first { encoding.squared_norms.iter().sum() } else { 0.0 };
        }
    }
    Ok(if energy > 0.0 { 1.0 - predictions.explained() / energy } else { 0.0 })
}

/// Which neurons are in the first of two random halves.
fn first_half(neurons: usize, seed: u64) -> Vec<bool> {
    let mut is_first: Vec<bool> = (0..neurons).map(|neuron| neuron < neurons / 2).collect();
    is_first.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    is_first
}

/// The features' values in the neurons that are seen, and those in the others. A feature that has too little of itself
/// in the neurons that are seen is zero in both.
fn parts(features: &DenseMatrix, is_seen: &[bool]) -> [DenseMatrix; 2] {
    let [mut seen, mut predicted] = [features.clone(), features.clone()];
    let columns = features.columns;
    for (seen, predicted) in seen.values.chunks_exact_mut(columns).zip(predicted.values.chunks_exact_mut(columns)) {
        let whole = squared_norm(seen);
        for ((seen, predicted), &is_seen) in seen.iter_mut().zip(predicted.iter_mut()).zip(is_seen) {
            *(if is_seen { predicted } else { seen }) = 0.0;
        }
        if squared_norm(seen) < LEAST_SEEN * whole {
            seen.fill(0.0);
            predicted.fill(0.0);
        }
    }
    [seen, predicted]
}

/// Sums over predictions YZ of activations X in the neurons that are not seen.
#[derive(Default)]
struct Predictions {
    /// ⟨X, YZ⟩.
    inner: f64,
    /// ‖YZ‖².
    squared_norm: f64,
}

impl Predictions {
    /// Adds the predictions of the tokens of `source`. The features are zero in the neurons that are seen.
    fn add(&mut self, source: &dyn ActivationSource, y: &DenseMatrix, features: &DenseMatrix) -> Result<(), FitError> {
        let panels = Panels::new(source);
        let sparse: Vec<Vec<(usize, f64)>> = (0..features.rows).map(|k| nonzeros(features.row(k)).collect()).collect();
        let sums = (0..panels.count())
            .into_par_iter()
            .map_init(PanelBuffer::default, |buffer, panel| {
                let range = panels.range(panel);
                let mut predicted = vec![0f64; features.columns];
                let (mut inner, mut squared_norm) = (0.0, 0.0);
                for (token, x) in range.clone().zip(panels.values(range, buffer)?.chunks_exact(features.columns)) {
                    predicted.fill(0.0);
                    for (&y, feature) in y.row(token).iter().zip(&sparse).filter(|(y, _)| **y > 0.0) {
                        feature.iter().for_each(|&(neuron, z)| predicted[neuron] += f64::from(y) * z);
                    }
                    inner += predicted.iter().zip(x.iter()).map(|(p, &x)| p * f64::from(x)).sum::<f64>();
                    squared_norm += predicted.iter().map(|p| p * p).sum::<f64>();
                }
                Ok((inner, squared_norm))
            })
            .collect::<Result<Vec<_>, unmix_data::Error>>()?;
        // Sums of panels are added in the order of panels, whatever the number of threads.
        for (inner, squared_norm) in sums {
            self.inner += inner;
            self.squared_norm += squared_norm;
        }
        Ok(())
    }

    /// ‖X‖² − ‖X − cYZ‖² for the number c ≥ 0 that makes it largest.
    fn explained(&self) -> f64 {
        if self.squared_norm > 0.0 { self.inner.max(0.0).powi(2) / self.squared_norm } else { 0.0 }
    }
}
