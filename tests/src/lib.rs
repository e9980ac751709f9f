//! What the cross-crate tests share: the f64 oracle, the engines under test, and a bench on which single kernels run.

mod dense;
pub mod oracle;
mod store;
mod threads;

/// The Rust code of the guides and of the crates' READMEs, compiled with the doc tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../docs/choosing.md")]
    struct Choosing;
    #[doc = include_str!("../../docs/rust.md")]
    struct Rust;
    #[doc = include_str!("../../crates/api/README.md")]
    struct Api;
    #[doc = include_str!("../../crates/data/README.md")]
    struct Data;
}

use unmix::{Activations, AdapterChoice, CpuEngine, ElementType, Engine, EngineKind, Factorization, WgpuEngine};
use unmix_kernels::{BufferId, CholeskyFactor, Kernel, Matrix, Recording, STATUS_WORDS, Variant, Workspace};
use unmix_runtime::{Preference, Session, block_on};

pub use crate::dense::Dense;
use crate::dense::round;
pub use crate::store::{Store, Stored};
pub use crate::threads::ThreadRank;

/// The variable that says against which engines properties are held: `cpu` or `gpu`. With `cpu`, `cargo xtask test` runs the
/// numeric tests again on other arithmetic of the CPU, which changes nothing on GPUs.
const ENGINES: &str = "UNMIX_TEST_ENGINES";

/// Every engine: the CPU, the adapter as it is, and the adapter held to WebGPU's default limits with every run-time check on.
///
/// # Panics
/// If no adapter answers: a GPU test must not be skipped. `cargo xtask test` installs a software one.
pub fn every_engine() -> Vec<Box<dyn Engine>> {
    // The panels are so small that there are several, as there are in practice, whatever the size of the processor's
    // cache.
    with_cpu(CpuEngine::new().panel_bytes(16 << 20), gpu_engines())
}

/// The engines that a property must hold on: each of [`every_engine`], or those of the kind that is [chosen](chosen_kind).
///
/// # Panics
/// If no adapter answers, and as [`chosen_kind`].
pub fn engines() -> Vec<Box<dyn Engine>> {
    let mut engines = with_cpu(CpuEngine::new().panel_bytes(16 << 20), chosen_gpu_engines());
    engines.retain(|engine| chosen_kind().is_none_or(|kind| kind == engine.kind()));
    engines
}

/// The CPU engine, and the GPU engines among [`engines`], with panels of at most `panel_bytes` bytes.
///
/// # Panics
/// As [`engines`].
pub fn engines_with_panels(panel_bytes: u64) -> Vec<Box<dyn Engine>> {
    let gpus = chosen_gpu_engines().into_iter().map(|engine| engine.panel_bytes(panel_bytes));
    with_cpu(CpuEngine::new().panel_bytes(panel_bytes), gpus)
}

fn with_cpu(cpu: CpuEngine, gpus: impl IntoIterator<Item = WgpuEngine>) -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(cpu)];
    engines.extend(gpus.into_iter().map(|engine| Box::new(engine) as Box<dyn Engine>));
    engines
}

/// The kind of engines that `UNMIX_TEST_ENGINES` chooses, if it is set.
///
/// # Panics
/// If the variable is neither `cpu` nor `gpu`.
pub fn chosen_kind() -> Option<EngineKind> {
    let given = std::env::var(ENGINES).ok()?;
    let kind = [EngineKind::Cpu, EngineKind::Gpu].into_iter().find(|kind| kind.name() == given);
    Some(kind.unwrap_or_else(|| panic!("{ENGINES}={given} was given; it can be cpu or gpu")))
}

/// The GPU engines among [`engines`].
fn chosen_gpu_engines() -> Vec<WgpuEngine> {
    if chosen_kind() == Some(EngineKind::Cpu) { Vec::new() } else { gpu_engines() }
}

/// The GPU engines among [`every_engine`].
///
/// # Panics
/// If no adapter answers.
pub fn gpu_engines() -> Vec<WgpuEngine> {
    let open = |choice: AdapterChoice| match WgpuEngine::new(&choice) {
        Ok(engine) => engine,
        Err(error) => panic!("these tests need an adapter; run them with `cargo xtask test`: {error}"),
    };
    vec![
        open(AdapterChoice::default()),
        open(AdapterChoice {
            portable_limits: true,
            checked: true,
            variants: Some(Vec::new()),
            ..AdapterChoice::default()
        }),
    ]
}

/// Calls `property` on the CPU engine, and on each GPU engine with each variant of `kernel` that the device can run on
/// operands of type `element`.
///
/// # Panics
/// As [`engines`].
pub fn on_every_variant(kernel: &Kernel, element: ElementType, property: impl Fn(&dyn Engine)) {
    property(&CpuEngine::new());
    for engine in chosen_gpu_engines() {
        for variant in engine.variants(kernel, element) {
            prefer(&engine, kernel, element, variant);
            property(&engine);
        }
    }
}

/// Makes the engine run that variant of `kernel` on operands of type `element`.
///
/// # Panics
/// If the device cannot run it.
pub fn prefer(engine: &WgpuEngine, kernel: &Kernel, element: ElementType, variant: &Variant) {
    let preference = Preference { kernel: kernel.name.into(), element: Some(element), variant: variant.name.into() };
    engine.prefer(&preference).expect("an offered variant");
}

/// Tokens made of `rank` sparse features and noise.
pub fn planted(seed: u64, tokens: usize, neurons: usize, rank: usize, element: ElementType) -> Dense {
    let z = oracle::winner_take_all(&Dense::random(seed, rank, neurons, ElementType::F32), neurons.div_ceil(8));
    let mut y = Dense::random_coefficients(seed + 1, tokens, rank);
    y.values.iter_mut().for_each(|v| *v = if *v > 1.0 { *v } else { 0.0 });
    let (clean, noise) = (oracle::product(&y, &z), Dense::random(seed + 2, tokens, neurons, ElementType::F32));
    let x = Dense::from_fn(tokens, neurons, |i, j| clean.at(i, j) + 0.1 * noise.at(i, j));
    // The values that the activations hold after rounding, so that oracle and engines see the same numbers.
    Dense::from_fn(tokens, neurons, |i, j| round(x.at(i, j), element))
}

/// ‖a − b‖ / ‖b‖ (Frobenius norms), or ‖a‖ if b is zero.
pub fn relative_difference(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    let size: f64 = b.iter().map(|b| b * b).sum();
    if size > 0.0 { (difference / size).sqrt() } else { difference.sqrt() }
}

/// Asserts that two matrices agree within the relative `tolerance` (Frobenius norms).
///
/// # Panics
/// If they do not.
#[track_caller]
pub fn assert_close(what: &str, engine: &dyn Engine, got: &[f32], wanted: &[f64], tolerance: f64) {
    let difference = relative_difference(got, wanted);
    assert!(
        difference <= tolerance,
        "{what} on {}: off by {difference:.2e}, allowed {tolerance:.0e}",
        engine.adapter()
    );
}

/// Asserts that two fits are equal in everything but times.
///
/// # Panics
/// If they are not.
#[track_caller]
pub fn assert_same(what: &str, a: &Factorization, b: &Factorization) {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert!(bits(&a.coefficients.values) == bits(&b.coefficients.values), "{what}: coefficients");
    assert!(bits(&a.features.values) == bits(&b.features.values), "{what}: features");
    assert_eq!(a.summary.loss_curve, b.summary.loss_curve, "{what}: losses");
    assert_eq!(a.summary.relative_error.to_bits(), b.summary.relative_error.to_bits(), "{what}: relative error");
    assert_eq!(a.summary.feature_statistics, b.summary.feature_statistics, "{what}: statistics");
}

/// A place to run single kernels: buffers with content, over activations that may or may not matter.
pub struct Bench<'a> {
    engine: &'a dyn Engine,
    /// The activations.
    pub activations: Activations,
    workspace: Workspace,
    contents: Vec<(BufferId, Vec<u8>)>,
}

impl<'a> Bench<'a> {
    /// A bench over `x`, stored as `element`.
    ///
    /// # Panics
    /// If the engine fails.
    pub fn new(engine: &'a dyn Engine, x: &Dense, element: ElementType) -> Self {
        Self::over(engine, engine.load(&x.to_activations(element)).expect("loading activations"))
    }

    /// A bench over activations that an engine has loaded already.
    pub fn over(engine: &'a dyn Engine, activations: Activations) -> Self {
        Bench { engine, activations, workspace: Workspace::default(), contents: Vec::new() }
    }

    /// A bench for kernels that read no activations.
    pub fn without_activations(engine: &'a dyn Engine) -> Self {
        Self::new(engine, &Dense::from_fn(1, 1, |_, _| 1.0), ElementType::F32)
    }

    /// The only panel of the activations.
    ///
    /// # Panics
    /// If there are several.
    pub fn panel(&self) -> Matrix {
        assert_eq!(self.activations.layout().panels(), 1);
        self.activations.layout().panel(0)
    }

    /// A matrix with content. Its padding is zero.
    pub fn matrix(&mut self, content: &Dense) -> Matrix {
        let matrix = self.workspace.matrix("matrix", content.rows as u32, content.columns as u32);
        let mut padded = vec![0f32; matrix.elements() as usize];
        for (i, &value) in content.values.iter().enumerate() {
            padded[i / content.columns * matrix.stride as usize + i % content.columns] = value as f32;
        }
        self.contents.push((matrix.buffer(), bytemuck::cast_slice(&padded).to_vec()));
        matrix
    }

    /// A matrix to be written. It is filled with a number that no kernel should leave behind where it writes.
    pub fn output(&mut self, rows: u32, columns: u32) -> Matrix {
        let mut matrix = self.matrix(&Dense::from_fn(rows as usize, columns.next_multiple_of(4) as usize, |_, c| {
            if c < columns as usize { 777.0 } else { 0.0 }
        }));
        matrix.columns = columns;
        matrix
    }

    /// A place for a Cholesky factor, with the status of an earlier factorization that succeeded late.
    pub fn cholesky_factor(&mut self, rank: usize) -> CholeskyFactor {
        let factor = CholeskyFactor::in_workspace(&mut self.workspace, rank as u32);
        let mut status = [1u32; STATUS_WORDS as usize];
        status[5] = 2;
        self.contents.push((factor.status, bytemuck::cast_slice(&status).to_vec()));
        factor
    }

    /// A buffer of 32-bit values.
    pub fn words<T: bytemuck::NoUninit>(&mut self, content: &[T]) -> BufferId {
        let id = self.workspace.words("words", content.len() as u64);
        self.contents.push((id, bytemuck::cast_slice(content).to_vec()));
        id
    }

    /// Runs a recording, and returns the session to read from.
    ///
    /// # Panics
    /// If the engine fails.
    pub fn run(self, record: impl FnOnce(&mut Recording)) -> Ran {
        let session = self.engine.open(&self.workspace, &self.activations).expect("opening a session");
        for (id, bytes) in &self.contents {
            session.write(*id, 0, bytes).expect("writing");
        }
        let mut recording = Recording::new();
        record(&mut recording);
        session.prepare(recording).expect("preparing").run().expect("running");
        Ran(session)
    }
}

/// A session after its recording.
pub struct Ran(Box<dyn Session>);

impl Ran {
    /// The first `count` 32-bit values of a buffer.
    ///
    /// # Panics
    /// If reading fails.
    pub fn words<T: bytemuck::Pod>(&self, id: BufferId, count: usize) -> Vec<T> {
        let bytes = block_on(self.0.read(id, 0, count as u64 * 4)).expect("reading");
        bytemuck::pod_collect_to_vec(&bytes)
    }

    /// A matrix without its padding, after checking that the padding is still zero.
    ///
    /// # Panics
    /// If reading fails or the padding was written.
    pub fn matrix(&self, matrix: Matrix) -> Vec<f32> {
        let padded: Vec<f32> = self.words(matrix.buffer(), matrix.elements() as usize);
        let mut values = Vec::new();
        for row in padded.chunks_exact(matrix.stride as usize) {
            let (used, padding) = row.split_at(matrix.columns as usize);
            assert!(padding.iter().all(|v| *v == 0.0), "the padding of a row was written");
            values.extend_from_slice(used);
        }
        values
    }
}
