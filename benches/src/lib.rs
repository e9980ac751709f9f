//! What the benchmarks share: synthetic activations, and kernels made ready to run on an engine.

use half::f16;
use unmix::{Activations, ElementType, Engine, HostActivations};
use unmix_kernels::{BufferId, CholeskyFactor, Features, Matrix, Recording, Workspace};
use unmix_runtime::{Prepared, Session};

/// Shape of a benchmark: tokens, neurons, rank, kept neurons of a feature.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Tokens n.
    pub tokens: u32,
    /// Neurons d.
    pub neurons: u32,
    /// Features K.
    pub rank: u32,
    /// Kept neurons m.
    pub kept: u32,
}

impl Shape {
    /// The paper's sizes: MLP activations of Llama-3.1-8B, 1% kept.
    pub const PAPER: Shape = Shape { tokens: 7500, neurons: 14336, rank: 100, kept: 144 };
    /// Small enough for a software renderer.
    pub const SMALL: Shape = Shape { tokens: 1000, neurons: 1536, rank: 100, kept: 16 };
}

/// A plain linear congruential generator. Benchmarks need numbers, not randomness.
pub struct Numbers(u64);

impl Numbers {
    /// Numbers that start at `seed`.
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// The next number in -0.5 to 0.5.
    pub fn next_centred(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }
}

/// Synthetic activations.
///
/// # Panics
/// Never: the sizes fit.
pub fn activations(shape: Shape, element: ElementType) -> HostActivations {
    let mut numbers = Numbers::new(1);
    let values = (0..shape.tokens as usize * shape.neurons as usize).map(|_| numbers.next_centred());
    let (n, d) = (shape.tokens.into(), shape.neurons.into());
    match element {
        ElementType::F32 => HostActivations::from_f32(values.collect(), n, d),
        ElementType::F16 => HostActivations::from_f16(values.map(f16::from_f32).collect(), n, d),
        ElementType::Bf16 => HostActivations::from_bf16(values.map(half::bf16::from_f32).collect(), n, d),
    }
    .expect("sizes fit")
}

/// Operands of all kernels for one shape. The activations are in one panel if the engine's limits allow it.
pub struct Operands {
    /// How the engine cuts the activations.
    pub panels: Vec<Matrix>,
    /// Y for each panel.
    pub coefficients: Vec<Matrix>,
    /// P for the first panel.
    pub projections: Matrix,
    /// Z.
    pub features: Features,
    /// YᵀX.
    pub cross: Matrix,
    /// YᵀY.
    pub gram: Matrix,
    /// ZZᵀ.
    pub feature_gram: Matrix,
    /// The Cholesky factor of YᵀY.
    pub factor: CholeskyFactor,
    /// ‖xᵢ‖² of the first panel.
    pub squared_norms: BufferId,
    /// Factors for the columns of Y, all of them 1.
    pub scales: BufferId,
    /// Partial sums of ⟨Y, P⟩.
    pub inner: BufferId,
    /// A second matrix shaped as the projections.
    pub previous: Matrix,
    session: Box<dyn Session>,
}

impl Operands {
    /// Allocates and fills the operands.
    ///
    /// # Panics
    /// If the engine fails.
    pub fn new(engine: &dyn Engine, resident: &Activations, shape: Shape) -> Self {
        let layout = resident.layout();
        let mut w = Workspace::default();
        let panels: Vec<Matrix> = (0..layout.panels()).map(|panel| layout.panel(panel)).collect();
        let coefficients: Vec<Matrix> =
            panels.iter().map(|panel| w.matrix("coefficients", panel.rows, shape.rank)).collect();
        let rows = panels[0].rows;
        let projections = w.matrix("projections", rows, shape.rank);
        let dense = w.matrix("features", shape.rank, shape.neurons);
        let features = Features::in_workspace(&mut w, dense, shape.kept);
        let cross = w.matrix("cross", shape.rank, shape.neurons);
        let gram = w.matrix("gram", shape.rank, shape.rank);
        let feature_gram = w.matrix("feature gram", shape.rank, shape.rank);
        let factor = CholeskyFactor::in_workspace(&mut w, shape.rank);
        let squared_norms = w.words("squared norms", rows.into());
        let scales = w.words("scales", shape.rank.into());
        let inner = w.words("inner products", unmix_kernels::PARTIAL_WORDS.into());
        let previous = w.matrix("previous", rows, shape.rank);
        let session = engine.open(&w, resident).expect("opening a session");
        let operands = Operands {
            panels,
            coefficients,
            projections,
            features,
            cross,
            gram,
            feature_gram,
            factor,
            squared_norms,
            scales,
            inner,
            previous,
            session,
        };
        operands.fill();
        operands
    }

    fn fill(&self) {
        let mut numbers = Numbers::new(2);
        for y in &self.coefficients {
            self.write(*y, |_, _| numbers.next_centred().max(0.0));
        }
        let mut numbers = Numbers::new(3);
        self.write(self.features.dense, |_, _| numbers.next_centred());
        self.write(self.projections, |_, _| numbers.next_centred());
        self.write(self.cross, |_, _| numbers.next_centred());
        for matrix in [self.gram, self.feature_gram] {
            self.write(matrix, |i, j| if i == j { 2.0 } else { 1.0 / (1.0 + i.abs_diff(j) as f32) });
        }
        self.write(self.factor.first(), |i, j| if i == j { 1.0 } else { 0.01 });
        let norms = vec![1f32; self.panels[0].rows as usize];
        self.session.write(self.squared_norms, 0, bytemuck::cast_slice(&norms)).expect("writing");
        let ones = vec![1f32; self.gram.rows as usize];
        self.session.write(self.scales, 0, bytemuck::cast_slice(&ones)).expect("writing");
        self.prepare(|r| unmix_kernels::winner_take_all(r, &self.features, false)).run().expect("running");
    }

    fn write(&self, matrix: Matrix, mut value: impl FnMut(usize, usize) -> f32) {
        let (stride, columns) = (matrix.stride as usize, matrix.columns as usize);
        let values: Vec<f32> = (0..matrix.rows as usize * stride)
            .map(|i| if i % stride < columns { value(i / stride, i % stride) } else { 0.0 })
            .collect();
        self.session.write(matrix.buffer(), 0, bytemuck::cast_slice(&values)).expect("writing");
    }

    /// Prepares a recording.
    ///
    /// # Panics
    /// If the engine refuses it.
    pub fn prepare(&self, record: impl FnOnce(&mut Recording)) -> Box<dyn Prepared> {
        let mut recording = Recording::new();
        record(&mut recording);
        self.session.prepare(recording).expect("preparing")
    }

    /// Waits until everything that was run is done.
    ///
    /// # Panics
    /// If the engine fails.
    pub fn wait(&self) {
        unmix_runtime::block_on(self.session.read(self.factor.status, 0, 4)).expect("reading");
    }
}
