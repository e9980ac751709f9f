//! The check of one engine: small fits, every result of which is compared with the reference.

use serde_json::{Value, json};
use unmix::{DenseMatrix, Engine, FitSummary, HostActivations, SemiNmf, Solver};

use super::reference::{self, Matrix};
use crate::failure::Failure;

/// Largest deviation that passes, relative to the largest value of the reference. Single precision deviates by about
/// 1e-6.
pub const TOLERANCE: f64 = 1e-4;

const TOKENS: usize = 300;
const NEURONS: usize = 130;
const RANK: usize = 7;
const SPARSITY: f64 = 0.1;
const ITERATIONS: u32 = 5;

/// The result of one fit.
#[derive(Clone, Debug)]
pub struct Check {
    /// Solver, in words.
    pub name: &'static str,
    /// Largest deviation of a feature's value, of a coefficient and of a loss.
    features: f64,
    coefficients: f64,
    losses: f64,
    /// Time of the fit, including the creation of pipelines.
    pub seconds: f64,
}

impl Check {
    /// The largest deviation.
    pub fn deviation(&self) -> f64 {
        largest([self.features, self.coefficients, self.losses])
    }

    /// Whether the engine may be trusted.
    pub fn passed(&self) -> bool {
        self.deviation() <= TOLERANCE
    }

    /// The check as JSON, for programs.
    pub fn json(&self) -> Value {
        json!({
            "solver": self.name,
            "passed": self.passed(),
            "features_deviation": self.features,
            "coefficients_deviation": self.coefficients,
            "losses_deviation": self.losses,
            "seconds": self.seconds,
        })
    }
}

/// Fits the small problem with three solvers.
pub fn check(engine: &dyn Engine) -> Result<Vec<Check>, Failure> {
    let (x, start) = problem();
    let source =
        HostActivations::from_f32(x.values.iter().map(|&v| v as f32).collect(), TOKENS as u64, NEURONS as u64)?;
    let activations = engine.load(&source)?;
    let given = DenseMatrix { rows: TOKENS, columns: RANK, values: start.values.iter().map(|&v| v as f32).collect() };
    [("solver hals", Solver::Hals), ("solver projected-ls", Solver::ProjectedLs), ("solver paper", Solver::Paper)]
        .into_iter()
        .map(|(name, solver)| {
            let fit = SemiNmf::new(RANK as u32)
                .sparsity(SPARSITY)
                .solver(solver)
                .init_coefficients(given.clone())
                .max_iterations(ITERATIONS)
                .tolerance(0.0)
                .revive(false)
                .keep_best(false)
                .fit(engine, &activations)?;
            let FitSummary { kept_per_feature, options, .. } = &fit.summary;
            let expected = reference::fit(&x, &start, *kept_per_feature as usize, solver, options.penalty, ITERATIONS);
            // Losses are compared as shares of ‖X‖², because a loss is a small difference of large sums.
            let energy: f64 = x.values.iter().map(|v| v * v).sum();
            let losses =
                fit.summary.loss_curve.iter().zip(&expected.losses).map(|(found, loss)| (found - loss).abs() / energy);
            Ok(Check {
                name,
                features: deviation(&fit.features.values, &expected.features.values),
                coefficients: deviation(&fit.coefficients.values, &expected.coefficients.values),
                losses: largest(losses),
                seconds: fit.summary.seconds,
            })
        })
        .collect()
}

/// The largest difference, relative to the largest expected value.
fn deviation(found: &[f32], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let most = largest(expected.iter().map(|e| e.abs()));
    largest(found.iter().zip(expected).map(|(&f, e)| (f64::from(f) - e).abs())) / most
}

/// The largest of numbers of at least 0. NaN if one of them is NaN, which `f64::max` would overlook.
fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |most: f64, value| if value > most || value.is_nan() { value } else { most })
}

/// Activations made of sparse features and some noise, and coefficients near the true ones. The features stand out so
/// much that single precision never decides which neurons are kept.
fn problem() -> (Matrix, Matrix) {
    let mut random = Random(1);
    let kept = (SPARSITY * NEURONS as f64).ceil() as usize;
    let mut z = Matrix::zeros(RANK, NEURONS);
    for k in 0..RANK {
        for i in 0..kept {
            let sign = if random.next() < 0.5 { -1.0 } else { 1.0 };
            z[(k, (k * kept + 3 * i * (k + 1) + i) % NEURONS)] += sign * (1.0 + random.next());
        }
    }
    let mut y = Matrix::zeros(TOKENS, RANK);
    y.values.iter_mut().for_each(|v| *v = (random.next() - 0.5).max(0.0) * 2.0);
    let mut x = y.times(&z);
    x.values.iter_mut().for_each(|v| *v = f64::from((*v + 0.02 * (random.next() - 0.5)) as f32));
    let mut start = y;
    start.values.iter_mut().for_each(|v| *v = f64::from((*v + 0.2 * random.next()) as f32));
    (x, start)
}

/// Random numbers in [0, 1) that are the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_numbers_do_not_pass() {
        assert!(deviation(&[1.0, 2.0], &[1.0, 2.0]) == 0.0);
        assert!(deviation(&[1.0, 2.01], &[1.0, 2.0]) > TOLERANCE);
        let check = |features| Check { name: "", features, coefficients: 0.0, losses: 0.0, seconds: 0.0 };
        assert!(!check(deviation(&[f32::NAN], &[1.0])).passed());
        assert!(!check(deviation(&[], &[1.0])).passed());
        assert!(check(1e-6).passed());
    }

    #[test]
    fn the_cpu_engine_passes() {
        for check in check(&unmix::CpuEngine::new()).expect("checked") {
            assert!(check.passed(), "{check:?}");
        }
    }
}
