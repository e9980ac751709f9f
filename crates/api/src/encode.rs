//! Encoding: finds the coefficients of activations for given features.

use std::sync::Arc;

use unmix_kernels::{
    HalsOperands, InnerSum, Recording, Sweeps, feature_gram, hals_coefficients, project, winner_take_all,
};
use unmix_runtime::{Activations, Engine, block_on};

use crate::distribution::Distribution;
use crate::fit::{Beginning, Fit};
use crate::option_checks::{AT_LEAST_ZERO, is_f32_of_at_least_zero};
use crate::panels::Panel;
use crate::residuals::record_squared_residuals;
use crate::sparse_features::norm;
use crate::{DenseMatrix, Error, Init, Options, SemiNmf, Solver};

/// Number of sweeps between two checks of how far the coefficients still move.
const SWEEPS_A_ROUND: u32 = 8;

/// Encodes activations with given features. For each token it finds the coefficients y ≥ 0 that minimise ½‖x − yZ‖² + α‖x‖Σₖ yₖ‖z_k‖. With
/// α = 0 this is nonnegative least squares. The method is the coefficient update of a fit (coordinate descent, HALS; Cichocki and Phan
/// 2009), which is repeated until the coefficients have settled. Tokens do not depend on one another, so they may be encoded in portions of
/// any size.
///
/// ```
/// use unmix::{CpuEngine, DenseMatrix, Encoder, Engine, HostActivations};
///
/// let features = DenseMatrix { rows: 2, columns: 3, values: vec![2.0, 0.0, 0.0, 0.0, -1.0, 0.0] };
/// let engine = CpuEngine::new();
/// let activations = engine.load(&HostActivations::from_f32(vec![4.0, -3.0, 1.0, -2.0, 0.0, 0.0], 2, 3)?)?;
/// let encoding = Encoder::new(features).encode(&engine, &activations)?;
/// assert_eq!(encoding.coefficients.values, [2.0, 3.0, 0.0, 0.0]);
/// assert_eq!(encoding.squared_residuals, [1.0, 4.0]);
/// # Ok::<(), unmix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoder {
    features: DenseMatrix,
    penalty: f64,
    unshrink: bool,
    tolerance: f64,
    max_sweeps: u32,
}

/// The result of encoding activations.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    /// Coefficients Y ≥ 0, [n, K], so that X ≈ YZ with the features Z as they were given.
    pub coefficients: DenseMatrix,
    /// ‖xᵢ − yᵢZ‖² of each token i, computed neuron by neuron. It has n values.
    pub squared_residuals: Vec<f64>,
    /// ‖xᵢ‖² of each token i. It has n values.
    pub squared_norms: Vec<f64>,
    /// The largest number of sweeps that a portion of the tokens took.
    pub sweeps: u32,
    /// The largest change of a token in its last eight sweeps: √(Σₖ Δyₖ²‖z_k‖²) / ‖x‖. It is at most the tolerance, unless the largest
    /// number of sweeps was reached.
    pub largest_change: f64,
}

impl Encoding {
    /// ‖X − YZ‖² / ‖X‖². It is 0 if all activations are zero.
    pub fn relative_error(&self) -> f64 {
        let sum = |values: &[f64]| values.iter().sum::<f64>();
        let energy = sum(&self.squared_norms);
        if energy > 0.0 { sum(&self.squared_residuals) / energy } else { 0.0 }
    }

    /// Appends the encoding of the tokens that follow. It must come from the same encoder.
    ///
    /// # Errors
    /// If it has another number of features.
    pub fn append(&mut self, next: Encoding) -> Result<(), Error> {
        let (expected, found) = (self.coefficients.columns, next.coefficients.columns);
        if found != expected {
            return Err(Error::Option {
                option: "encoding",
                given: format!("coefficients of {found} features"),
                expected: format!("those before are of {expected}; take both from one encoder"),
            });
        }
        self.coefficients.values.extend(next.coefficients.values);
        self.coefficients.rows += next.coefficients.rows;
        self.squared_residuals.extend(next.squared_residuals);
        self.squared_norms.extend(next.squared_norms);
        self.sweeps = self.sweeps.max(next.sweeps);
        self.largest_change = self.largest_change.max(next.largest_change);
        Ok(())
    }
}

impl Encoder {
    /// An encoder with the features Z [K, d]. They may have any norms. The coefficients of a feature of zeros are zero. The defaults are no
    /// penalty, a tolerance of 1e-5, and at most 1,000 sweeps.
    pub fn new(features: DenseMatrix) -> Self {
        Encoder { features, penalty: 0.0, unshrink: false, tolerance: 1e-5, max_sweeps: 1000 }
    }

    /// Weight α of the penalty on the sum of the coefficients, at least 0. Default 0. For coefficients like those of a fit, take its
    /// `penalty` and its `unshrink`.
    pub fn penalty(mut self, alpha: f64) -> Self {
        self.penalty = alpha;
        self
    }

    /// Whether the coefficients above zero are found again without the penalty, as [`SemiNmf::unshrink`] does for a fit. Default false.
    pub fn unshrink(mut self, unshrink: bool) -> Self {
        self.unshrink = unshrink;
        self
    }

    /// A token has settled when eight sweeps move its reconstruction by less than this share of its norm. Default 1e-5.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The largest number of sweeps, at least 1. It is rounded up to a multiple of 8. Default 1,000. As many more may find coefficients again
    /// without the penalty.
    pub fn max_sweeps(mut self, sweeps: u32) -> Self {
        self.max_sweeps = sweeps;
        self
    }

    /// Encodes activations [n, d], and waits for the result.
    ///
    /// # Errors
    /// [`Error::Option`] if the number of neurons differs between the features and the activations, if a value of the features is not
    /// finite, or if an option is impossible. [`Error::NonFinite`] if the activations hold NaN or infinity. [`Error::Unsound`] if a
    /// residual is not finite. [`Error::Runtime`] if the engine fails.
    pub fn encode(&self, engine: &dyn Engine, activations: &Activations) -> Result<Encoding, Error> {
        block_on(self.encode_async(engine, activations))
    }

    /// As [`encode`](Self::encode), without blocking the thread.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub async fn encode_async(&self, engine: &dyn Engine, activations: &Activations) -> Result<Encoding, Error> {
        self.check(activations.layout().neurons)?;
        let beginning = Beginning { options: self.options(), gathered: Vec::new() };
        let distribution = Arc::new(Distribution::alone(activations.layout()));
        let fit = Fit::begin(engine, activations, distribution, vec![beginning], false).await?.remove(0);
        let norms: Vec<f64> = (0..self.features.rows).map(|k| norm(self.features.row(k))).collect();
        self.write_unit_features(&fit, &norms)?;
        let (mut sweeps, mut largest_change) = (0, 0f64);
        let mut values = Vec::with_capacity(fit.tokens as usize * norms.len());
        let mut residuals = Vec::with_capacity(fit.tokens as usize);
        for panel in &fit.panels {
            let settled = self.settle(&fit, panel).await?;
            sweeps = sweeps.max(settled.sweeps);
            largest_change = largest_change.max(settled.change);
            values.extend(settled.coefficients);
            let mut recording = Recording::new();
            record_squared_residuals(&mut recording, &fit, panel);
            fit.io.run_once(recording)?;
            residuals.extend(fit.io.read::<f32>(fit.buffers.token_words, panel.rows().into()).await?);
        }
        // So far the coefficients belong to features of unit norm and to scaled activations. Here they are converted to those that were
        // given.
        let scale = f64::from(fit.measured.scale);
        for row in values.chunks_exact_mut(norms.len()) {
            for (y, &norm) in row.iter_mut().zip(&norms) {
                *y = if norm > 0.0 { (f64::from(*y) / scale / norm) as f32 } else { 0.0 };
            }
        }
        check_finite(&values, &residuals, &norms)?;
        let unscale = |squares: &[f32]| squares.iter().map(|&s| f64::from(s) / scale / scale).collect();
        Ok(Encoding {
            coefficients: DenseMatrix { rows: fit.tokens as usize, columns: norms.len(), values },
            squared_residuals: unscale(&residuals),
            squared_norms: unscale(&fit.measured.token_energy),
            sweeps,
            largest_change,
        })
    }

    fn check(&self, neurons: u32) -> Result<(), Error> {
        let refuse = |option: &'static str, given: String, expected: &str| {
            Err(Error::Option { option, given, expected: expected.to_owned() })
        };
        let DenseMatrix { rows, columns, values } = &self.features;
        if *rows == 0 || *columns != neurons as usize || values.len() != rows * columns {
            let expected = format!("at least one feature over the activations' {neurons} neurons is needed");
            return refuse("features", format!("{rows} × {columns}"), &expected);
        }
        if let Some(at) = values.iter().position(|z| !z.is_finite()) {
            let place = format!("{} in feature {}, neuron {}", values[at], at / columns, at % columns);
            return refuse("features", place, "finite values are needed");
        }
        for (option, value) in [("penalty", self.penalty), ("tolerance", self.tolerance)] {
            if !is_f32_of_at_least_zero(value) {
                return refuse(option, value.to_string(), AT_LEAST_ZERO);
            }
        }
        if self.max_sweeps == 0 {
            return refuse("max_sweeps", "0".to_owned(), "at least 1 is needed");
        }
        Ok(())
    }

    /// Options of a fit whose buffers are those that encoding needs.
    fn options(&self) -> Options {
        let kept = (0..self.features.rows).map(|k| self.features.row(k).iter().filter(|z| **z != 0.0).count()).max();
        let sparsity = kept.unwrap_or(0).max(1) as f64 / self.features.columns as f64;
        SemiNmf::new(self.features.rows as u32)
            .sparsity(sparsity)
            .solver(Solver::ProjectedLs)
            .init(Init::Given)
            .keep_best(false)
            .options(self.features.columns as u32)
    }

    /// Writes the features divided by their norms. Unit norm keeps the Gram matrix and the coefficients in range, whatever the scale of the
    /// given features.
    fn write_unit_features(&self, fit: &Fit<'_>, norms: &[f64]) -> Result<(), Error> {
        let mut unit = self.features.values.clone();
        for (row, &norm) in unit.chunks_exact_mut(self.features.columns).zip(norms) {
            row.iter_mut().for_each(|z| *z = if norm > 0.0 { (f64::from(*z) / norm) as f32 } else { 0.0 });
        }
        let features = &fit.buffers.features;
        fit.io.write_rows(features.dense, 0, &unit)?;
        let mut recording = Recording::new();
        // This writes the sparse form of the features. It cuts nothing, because no feature has more nonzeros than are kept.
        winner_take_all(&mut recording, features, false);
        feature_gram(&mut recording, features, fit.buffers.feature_gram);
        fit.io.run_once(recording)
    }

    async fn settle(&self, fit: &Fit<'_>, panel: &Panel) -> Result<Settled, Error> {
        let b = &fit.buffers;
        let projections = b.projections(panel);
        let mut recording = Recording::new();
        project(&mut recording, panel.activations, &b.features, projections, fit.measured.scale);
        fit.io.run_once(recording)?;
        let y = b.coefficients(panel);
        let operands = HalsOperands {
            projections,
            feature_gram: b.feature_gram,
            squared_norms: b.squared_norms(panel),
            scales: None,
            coefficients: y,
            inner: b.sums.inner,
        };
        let energy: Vec<f32> = panel.of_tokens(&fit.measured.token_energy).collect();
        let mut settled =
            Settled { coefficients: vec![0.0; energy.len() * y.columns as usize], sweeps: 0, change: 0.0 };
        let again = (self.unshrink && self.penalty > 0.0).then_some((0.0, true));
        for (penalty, keeps_zeros) in [(self.penalty as f32, false)].into_iter().chain(again) {
            let mut round = Recording::new();
            let sweeps = Sweeps { count: SWEEPS_A_ROUND, penalty, keeps_zeros, inner: InnerSum::Skipped };
            hals_coefficients(&mut round, &operands, sweeps);
            let round = fit.io.prepare(round)?;
            let most = settled.sweeps.saturating_add(self.max_sweeps);
            loop {
                round.run()?;
                settled.sweeps += SWEEPS_A_ROUND;
                let next = fit.io.read_matrix(y).await?.values;
                settled.change = largest_change(&settled.coefficients, &next, &energy);
                settled.coefficients = next;
                if settled.change <= self.tolerance || settled.sweeps >= most {
                    break;
                }
            }
        }
        Ok(settled)
    }
}

/// Returns an error for coefficients that f32 cannot hold. Features with tiny norms need huge coefficients.
fn check_finite(coefficients: &[f32], residuals: &[f32], norms: &[f64]) -> Result<(), Error> {
    if let Some(at) = coefficients.iter().position(|y| !y.is_finite()) {
        let feature = at % norms.len();
        return Err(Error::Option {
            option: "features",
            given: format!("norm {:e} of feature {feature}", norms[feature]),
            expected: "its coefficients are beyond the range of f32; multiply the features by a constant".to_owned(),
        });
    }
    match residuals.iter().position(|residual| !residual.is_finite()) {
        Some(token) => Err(Error::Unsound { problem: format!("the squared residual of token {token} is not finite") }),
        None => Ok(()),
    }
}

/// The coefficients of a panel after its last sweep.
struct Settled {
    coefficients: Vec<f32>,
    sweeps: u32,
    change: f64,
}

/// The largest √(Σₖ Δyₖ²) / ‖x‖ over the tokens.
fn largest_change(before: &[f32], after: &[f32], energy: &[f32]) -> f64 {
    let rank = after.len() / energy.len();
    before
        .chunks_exact(rank)
        .zip(after.chunks_exact(rank))
        .zip(energy)
        .filter(|(_, energy)| **energy > 0.0)
        .map(|((before, after), &energy)| {
            let moved: f64 = before.iter().zip(after).map(|(a, b)| f64::from(b - a).powi(2)).sum();
            (moved / f64::from(energy)).sqrt()
        })
        .fold(0.0, f64::max)
}
