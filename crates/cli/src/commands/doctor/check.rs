//! The check of one engine: fits, every result of which is compared with the reference.

use half::f16;
use serde_json::{Value, json};
use unmix::{
    Activations, DenseMatrix, ElementType, Engine, Factorization, FitSummary, HostActivations, SemiNmf, Solver,
    WgpuEngine,
};
use unmix_kernels::{CROSS_PRODUCT, KERNELS, Precision};
use unmix_runtime::Preference;

use super::problem::{Size, problem};
use super::reference::{self, Fit, Matrix};
use crate::failure::Failure;

/// Largest deviation that passes, relative to the largest value of the reference. Single precision deviates by about
/// 1e-6.
pub const TOLERANCE: f64 = 1e-4;
/// The same where an engine may round the operands of the cross product: from 1,000 tokens on, the CPU engine to bf16 if the processor
/// has instructions for it, and cooperative matrices of a GPU to 11 bits.
const ROUNDED_TOLERANCE: f64 = 5e-3;

/// On this size every solver is checked.
const SMALL: Size = Size { tokens: 300, neurons: 130, rank: 7, sparsity: 0.1 };
/// This size has more than one tile in each dimension, parts of sums, a start by k-means, and a second block of the factorization.
const LARGE: Size = Size { tokens: 2_100, neurons: 1_301, rank: 37, sparsity: 0.02 };
const SMALL_ITERATIONS: u32 = 5;
const LARGE_ITERATIONS: u32 = 2;

/// What is checked: an engine, and what is special about one on a GPU.
pub enum Examined {
    Cpu(Box<dyn Engine>),
    Gpu(WgpuEngine),
}

impl Examined {
    fn engine(&self) -> &dyn Engine {
        match self {
            Examined::Cpu(engine) => engine.as_ref(),
            Examined::Gpu(engine) => engine,
        }
    }
}

/// What the checks of an engine find.
#[derive(Clone, Debug)]
pub struct Findings {
    pub checks: Vec<Check>,
    /// The variant of the cross product that a GPU runs on large activations of each type where nobody asks for another one and products
    /// may be rounded.
    pub cross_products: Vec<(ElementType, &'static str)>,
}

/// The result of one fit.
#[derive(Clone, Debug)]
pub struct Check {
    /// Solver and variant, in words.
    pub name: String,
    /// Largest deviation of a feature's value, of a coefficient and of a loss.
    features: f64,
    coefficients: f64,
    losses: f64,
    /// Largest deviation that passes.
    pub allowed: f64,
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
        self.deviation() <= self.allowed
    }

    /// The check as JSON, for programs.
    pub fn json(&self) -> Value {
        json!({
            "solver": self.name,
            "passed": self.passed(),
            "allowed_deviation": self.allowed,
            "features_deviation": self.features,
            "coefficients_deviation": self.coefficients,
            "losses_deviation": self.losses,
            "seconds": self.seconds,
        })
    }
}

/// What engines are compared with. It is computed once for all of them.
pub struct References {
    small: Problem,
    large: Problem,
    /// The fit of the larger problem with a start by k-means, by the CPU engine.
    kmeans: Fit,
}

/// A problem, and its exact fits.
struct Problem {
    size: Size,
    x: Matrix,
    start: Matrix,
    iterations: u32,
    fits: Vec<(Solver, Fit)>,
}

impl Problem {
    fn new(size: Size, solvers: &[Solver], iterations: u32) -> Self {
        let (x, start) = problem(size);
        let kept = (size.sparsity * size.neurons as f64).ceil() as usize;
        let penalty = SemiNmf::new(size.rank as u32).options(size.neurons as u32).penalty;
        let fits =
            solvers.iter().map(|&solver| (solver, reference::fit(&x, &start, kept, solver, penalty, iterations)));
        Problem { size, iterations, fits: fits.collect(), x, start }
    }

    fn load(&self, engine: &dyn Engine) -> Result<Activations, Failure> {
        let values = self.x.values.iter().map(|&v| f16::from_f64(v)).collect();
        let source = HostActivations::from_f16(values, self.size.tokens as u64, self.size.neurons as u64)?;
        Ok(engine.load(&source).map_err(unmix::Error::from)?)
    }

    /// Whether the cross product of least squares may be rounded.
    fn may_round(&self, examined: &Examined) -> bool {
        match examined {
            Examined::Cpu(_) => true,
            Examined::Gpu(engine) => {
                let extent = [self.size.neurons as u32, self.size.rank as u32, 1];
                let chosen = engine.variant(&CROSS_PRODUCT, ElementType::F16, Precision::Bf16, extent);
                chosen.is_some_and(|variant| variant.rounds)
            }
        }
    }

    fn settings(&self, solver: Solver) -> SemiNmf {
        SemiNmf::new(self.size.rank as u32)
            .sparsity(self.size.sparsity)
            .solver(solver)
            .max_iterations(self.iterations)
            .tolerance(0.0)
            .revive(false)
            .keep_best(false)
    }

    fn given(&self) -> DenseMatrix {
        let values = self.start.values.iter().map(|&v| v as f32).collect();
        DenseMatrix { rows: self.size.tokens, columns: self.size.rank, values }
    }

    fn compare(&self, name: String, found: &Factorization, expected: &Fit) -> Check {
        let FitSummary { loss_curve, seconds, .. } = &found.summary;
        // Losses are compared as shares of ‖X‖², because a loss is a small difference of large sums.
        let energy: f64 = self.x.values.iter().map(|v| v * v).sum();
        let losses = loss_curve.iter().zip(&expected.losses).map(|(found, loss)| (found - loss).abs() / energy);
        Check {
            name,
            features: deviation(&found.features.values, &expected.features.values),
            coefficients: deviation(&found.coefficients.values, &expected.coefficients.values),
            losses: largest(losses),
            allowed: TOLERANCE,
            seconds: *seconds,
        }
    }
}

impl References {
    /// Computes them.
    pub fn new() -> Result<Self, Failure> {
        let small = Problem::new(SMALL, &[Solver::Hals, Solver::ProjectedLs, Solver::Paper], SMALL_ITERATIONS);
        let large = Problem::new(LARGE, &[Solver::ProjectedLs], LARGE_ITERATIONS);
        let cpu = unmix::CpuEngine::new();
        let fit = large.settings(Solver::Hals).fit(&cpu, &large.load(&cpu)?)?;
        let matrix = |m: &DenseMatrix| Matrix {
            rows: m.rows,
            columns: m.columns,
            values: m.values.iter().map(|&v| v.into()).collect(),
        };
        let kmeans = Fit {
            features: matrix(&fit.features),
            coefficients: matrix(&fit.coefficients),
            losses: fit.summary.loss_curve,
        };
        Ok(References { small, large, kmeans })
    }

    /// Fits the problems: the small one with three solvers, and the larger one with each variant of the kernels that the engine may choose.
    pub fn check(&self, examined: &Examined) -> Result<Findings, Failure> {
        let engine = examined.engine();
        let cross_products = cross_products(examined);
        let mut checks = Vec::new();
        let activations = self.small.load(engine)?;
        for (solver, expected) in &self.small.fits {
            let settings = self.small.settings(*solver).init_coefficients(self.small.given());
            let name = format!("solver {}", solver.name());
            checks.push(self.small.compare(name, &settings.fit(engine, &activations)?, expected));
        }
        let activations = self.large.load(engine)?;
        for variant in [None].into_iter().chain(variants(examined).into_iter().map(Some)) {
            let mut name = String::new();
            if let (Some(preference), Examined::Gpu(gpu)) = (&variant, examined) {
                gpu.prefer(preference).map_err(unmix::Error::from)?;
                name = format!(", {} {}", preference.kernel, preference.variant);
            }
            for (solver, expected) in &self.large.fits {
                let settings = self.large.settings(*solver).init_coefficients(self.large.given());
                let fit = settings.fit(engine, &activations)?;
                let check = self.large.compare(format!("larger, {}{name}", solver.name()), &fit, expected);
                let allowed = if self.large.may_round(examined) { ROUNDED_TOLERANCE } else { TOLERANCE };
                checks.push(Check { allowed, ..check });
            }
            let fit = self.large.settings(Solver::Hals).fit(engine, &activations)?;
            checks.push(self.large.compare(format!("larger, k-means{name}"), &fit, &self.kmeans));
        }
        Ok(Findings { checks, cross_products })
    }
}

/// What the engine chooses by itself, if it has a choice.
fn cross_products(examined: &Examined) -> Vec<(ElementType, &'static str)> {
    const LARGE: [u32; 3] = [1 << 14, 1 << 9, 1];
    let Examined::Gpu(engine) = examined else { return Vec::new() };
    let chosen = |element| Some((element, engine.variant(&CROSS_PRODUCT, element, Precision::Bf16, LARGE)?.name));
    ElementType::ALL.into_iter().filter_map(chosen).collect()
}

/// The variants that the device can run, of the kernels that have several.
fn variants(examined: &Examined) -> Vec<Preference> {
    let Examined::Gpu(engine) = examined else { return Vec::new() };
    let mut preferences = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| kernel.variants.len() > 1) {
        let offered = engine.variants(kernel, ElementType::F16);
        for variant in offered {
            let (kernel, variant) = (kernel.name.to_owned(), variant.name.to_owned());
            preferences.push(Preference { kernel, element: None, variant });
        }
    }
    preferences
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_numbers_do_not_pass() {
        assert!(deviation(&[1.0, 2.0], &[1.0, 2.0]) == 0.0);
        assert!(deviation(&[1.0, 2.01], &[1.0, 2.0]) > TOLERANCE);
        let check = |features| Check {
            name: String::new(),
            features,
            coefficients: 0.0,
            losses: 0.0,
            allowed: TOLERANCE,
            seconds: 0.0,
        };
        assert!(!check(deviation(&[f32::NAN], &[1.0])).passed());
        assert!(!check(deviation(&[], &[1.0])).passed());
        assert!(check(1e-6).passed());
    }

    #[test]
    fn the_cpu_engine_passes() {
        let references = References::new().expect("references");
        for check in references.check(&Examined::Cpu(Box::new(unmix::CpuEngine::new()))).expect("checked").checks {
            assert!(check.passed(), "{check:?}");
        }
    }
}
