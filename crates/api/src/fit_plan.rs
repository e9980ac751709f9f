//! The memory of a fit, planned before anything is allocated.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unmix_runtime::{ActivationSource, Activations, DeviceMemory, Engine, EngineKind, PanelLayout, StreamOptions};

use crate::allocation::Allocation;
use crate::distribution::Distribution;
use crate::{Batch, Error, Init, Options, SemiNmf};

/// Where a fit has its activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All of them in the engine's memory.
    Resident,
    /// Read in every pass.
    Streamed {
        /// How they are streamed.
        options: StreamOptions,
        /// Whether the samples for the start are copied while the activations are measured. Otherwise the activations are read again
        /// for each step of the start.
        copies_samples: bool,
    },
}

impl Placement {
    /// Has the engine load or stream activations.
    ///
    /// # Errors
    /// As [`Engine::load`] and [`Engine::stream`].
    pub fn place(
        &self,
        engine: &dyn Engine,
        source: Arc<dyn ActivationSource + Send>,
    ) -> Result<Activations, unmix_runtime::Error> {
        match self {
            Placement::Resident => engine.load(&*source),
            Placement::Streamed { options, .. } => engine.stream(source, options),
        }
    }

    /// Whether the samples for the start are copied, for [`SemiNmf::copy_samples`].
    pub fn copies_samples(&self) -> bool {
        matches!(self, Placement::Streamed { copies_samples: true, .. })
    }
}

/// Whether activations are streamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Streaming {
    /// Where they do not fit.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Most memory that a fit may take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Memory of the host. On an engine that computes in it, that is all memory.
    pub host: u64,
    /// Memory of a device that has its own.
    pub device: u64,
}

/// The memory of a fit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FitPlan {
    /// Where the activations are.
    pub placement: Placement,
    /// The panels that are in the engine's memory at once: all of them, or the slots.
    pub activations_bytes: u64,
    /// What is in host memory on its way to a device.
    pub staging_bytes: u64,
    /// All buffers that the engine allocates when the fit begins.
    pub workspace_bytes: u64,
    /// What the host keeps beside the buffers at most: norms of the tokens, kept entries of the features, copies of single panels,
    /// compiled kernels, and what threads compute in.
    pub host_bytes: u64,
    /// The factors that are returned.
    pub result_bytes: u64,
    kind: EngineKind,
    memory: DeviceMemory,
}

impl FitPlan {
    /// Most memory that the fit takes of the host. On an engine that computes in host memory, that is all of it.
    pub fn host_peak_bytes(&self) -> u64 {
        let in_host = self.memory == DeviceMemory::OfHost;
        let (activations, workspace) = if in_host { (self.activations_bytes, self.workspace_bytes) } else { (0, 0) };
        // The workspace of the CPU engine gives its memory back before the result takes its place.
        let factors = match self.kind {
            EngineKind::Cpu => workspace.max(self.result_bytes),
            EngineKind::Gpu => workspace + self.result_bytes,
        };
        activations + self.staging_bytes + self.host_bytes + factors
    }

    /// Most memory that the fit takes of a device with memory of its own.
    pub fn device_peak_bytes(&self) -> u64 {
        match self.memory {
            DeviceMemory::OfHost => 0,
            DeviceMemory::Own(_) => self.activations_bytes + self.workspace_bytes,
        }
    }

    /// What is missing, if anything: what is needed, and what is allowed.
    pub(crate) fn excess(&self, limits: &MemoryLimits) -> Option<Excess> {
        let host = Excess { needed: self.host_peak_bytes(), allowed: limits.host, whose: "the host" };
        let device = Excess { needed: self.device_peak_bytes(), allowed: limits.device, whose: "the device" };
        [device, host].into_iter().find(|excess| excess.needed > excess.allowed)
    }
}

/// More memory than is allowed.
pub(crate) struct Excess {
    needed: u64,
    allowed: u64,
    whose: &'static str,
}

/// Bytes of host memory through which resident activations go to a device, as measured. Drivers keep them.
const UPLOAD_BYTES: u64 = 52 << 20;
/// Bytes that compiled kernels and their compiler take on a GPU, as measured.
const GPU_KERNEL_BYTES: u64 = 56 << 20;
/// Bytes that threads of the CPU engine compute in, and results are written from, as measured.
const CPU_SCRATCH_BYTES: u64 = 2 << 20;
/// Bytes that the host keeps of each token, at most: its norm, and for a while two numbers in f64 to find outliers among them.
const TOKEN_BYTES: u64 = 20;
/// Bytes that the host keeps of each kept entry of a feature, at most: what it is now, its sums, and what will be saved.
const ENTRY_BYTES: u64 = 28;
/// Copies of the sums over the tokens while they are reduced, beside those of each segment: what is sent, received and added.
const SUMS_ON_THE_WAY: u64 = 3;
/// Bytes that a start by SVD takes of each value of its basis, at most: in f32 before and after, and thrice in f64.
const BASIS_BYTES: u64 = 32;

impl SemiNmf {
    /// Plans the memory of a fit of activations cut as `layout`. The fit allocates just these buffers.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is impossible for activations of this shape.
    pub fn plan(&self, engine: &dyn Engine, layout: &PanelLayout, placement: Placement) -> Result<FitPlan, Error> {
        let options = self.asked(layout)?.options;
        // A fit that goes on from a checkpoint has had its start, so it needs no samples.
        Ok(plan_fits(engine, &self.distribution_of(layout), layout, placement, &[options], self.begins()))
    }

    /// Plans a fit within some memory: resident if that fits, else streamed, and if not even the samples for the start fit, streamed
    /// without copies of them.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is impossible for activations of this shape, and [`Error::Memory`] if the fit does not fit.
    pub fn plan_within(
        &self,
        engine: &dyn Engine,
        layout: &PanelLayout,
        streaming: Streaming,
        limits: &MemoryLimits,
    ) -> Result<FitPlan, Error> {
        within(streaming, limits, |placement| self.plan(engine, layout, placement))
    }
}

impl Batch {
    /// Plans the memory of a batch of fits of activations cut as `layout`. All of its fits are in memory at once, and so are their results.
    ///
    /// # Errors
    /// As [`Batch::fit`], for options that are impossible.
    pub fn plan(&self, engine: &dyn Engine, layout: &PanelLayout, placement: Placement) -> Result<FitPlan, Error> {
        let options: Vec<Options> = self.asked(layout)?.into_iter().map(|asked| asked.options).collect();
        Ok(plan_fits(engine, &Distribution::alone(layout), layout, placement, &options, true))
    }

    /// As [`SemiNmf::plan_within`], for all fits at once. If they do not fit, make two batches of them.
    ///
    /// # Errors
    /// As [`SemiNmf::plan_within`].
    pub fn plan_within(
        &self,
        engine: &dyn Engine,
        layout: &PanelLayout,
        streaming: Streaming,
        limits: &MemoryLimits,
    ) -> Result<FitPlan, Error> {
        within(streaming, limits, |placement| self.plan(engine, layout, placement))
    }

    /// As [`plan_within`](Self::plan_within), for as many of the fits, from the first on, as fit. Returns the plan, and their number, which
    /// is at least one. Activations that fit beside the first fit are resident, because it costs more to read them again than to make
    /// several batches.
    ///
    /// # Errors
    /// As [`SemiNmf::plan_within`], for the first fit.
    pub fn plan_part_within(
        &self,
        engine: &dyn Engine,
        layout: &PanelLayout,
        streaming: Streaming,
        limits: &MemoryLimits,
    ) -> Result<(FitPlan, usize), Error> {
        let options: Vec<Options> = self.asked(layout)?.into_iter().map(|asked| asked.options).collect();
        let distribution = Distribution::alone(layout);
        as_many_within(
            streaming,
            limits,
            |_| options.len(),
            |fits, placement| plan_fits(engine, &distribution, layout, placement, &options[..fits], true),
        )
    }
}

/// Plans fits that share a session, and whose results are in memory at once. `begin` says that they begin, rather than go on from a
/// checkpoint.
pub(crate) fn plan_fits(
    engine: &dyn Engine,
    distribution: &Distribution,
    layout: &PanelLayout,
    placement: Placement,
    options: &[Options],
    begin: bool,
) -> FitPlan {
    let copies_samples = placement.copies_samples() && begin;
    let Allocation { workspace, .. } = Allocation::plan(distribution, layout, options, engine.limits(), copies_samples);
    let (tokens, neurons) = (layout.tokens, u64::from(layout.neurons));
    let all = tokens.saturating_mul(layout.row_bytes());
    let panel = u64::from(layout.panel_rows) * layout.row_bytes();
    let (activations_bytes, staging_bytes) = match placement {
        Placement::Resident => (all, all.min(UPLOAD_BYTES)),
        Placement::Streamed { options, .. } => {
            let slots = panel * u64::from(options.slots.min(layout.panels()));
            (slots, slots)
        }
    };
    let scratch = match engine.kind() {
        EngineKind::Cpu => CPU_SCRATCH_BYTES,
        EngineKind::Gpu => GPU_KERNEL_BYTES,
    };
    let own_segments = distribution.segments_of(distribution.communicator().rank()).len() as u64;
    // Fits start and end one after the other.
    let of_fit = |options: &Options| {
        let (rank, kept) = (u64::from(options.rank), u64::from(options.kept(layout.neurons)));
        let coefficients_of_panel = u64::from(layout.panel_rows) * rank * 4;
        let basis_bytes = if options.init == Init::Svd { rank * neurons * BASIS_BYTES } else { 0 };
        let sums = rank * (neurons + rank) * 4;
        let reduced = if distribution.is_whole() { 0 } else { sums * (own_segments + SUMS_ON_THE_WAY) };
        let of_tokens = distribution.tokens() * TOKEN_BYTES;
        (of_tokens + rank * kept * ENTRY_BYTES + coefficients_of_panel + reduced).max(basis_bytes)
    };
    // Rank 0 gathers the coefficients of all ranks.
    let saved = if distribution.communicator().rank() == 0 { distribution.tokens() } else { tokens };
    let result = |options: &Options| saved.saturating_add(neurons).saturating_mul(u64::from(options.rank) * 4);
    FitPlan {
        placement,
        activations_bytes,
        staging_bytes: if engine.kind() == EngineKind::Gpu { staging_bytes } else { 0 },
        workspace_bytes: workspace.bytes(),
        host_bytes: scratch + options.iter().map(of_fit).max().unwrap_or(0),
        result_bytes: options.iter().map(result).fold(0, u64::saturating_add),
        kind: engine.kind(),
        memory: engine.device_memory(),
    }
}

/// The first plan that is within the limits: resident, else streamed, else streamed without copies of samples.
pub(crate) fn within(
    streaming: Streaming,
    limits: &MemoryLimits,
    plan: impl Fn(Placement) -> Result<FitPlan, Error>,
) -> Result<FitPlan, Error> {
    let options = StreamOptions::default();
    let fewest = StreamOptions { slots: 2 };
    let placements = [
        Placement::Resident,
        Placement::Streamed { options, copies_samples: true },
        Placement::Streamed { options: fewest, copies_samples: true },
        Placement::Streamed { options: fewest, copies_samples: false },
    ];
    let tried = match streaming {
        Streaming::Auto => &placements[..],
        Streaming::Always => &placements[1..],
        Streaming::Never => &placements[..1],
    };
    let mut last = None;
    for &placement in tried {
        let plan = plan(placement)?;
        match plan.excess(limits) {
            None => return Ok(plan),
            Some(excess) => last = Some((excess, plan)),
        }
    }
    let Some((Excess { needed, allowed, whose }, plan)) = last else { unreachable!("a placement was tried") };
    let remedy = match placement_words(&plan) {
        "resident" => "let it stream the activations, use fewer tokens or a smaller rank, or allow it more memory",
        _ => "use fewer tokens or a smaller rank, or allow it more memory",
    };
    Err(Error::Memory { needed, allowed, whose, placement: placement_words(&plan), remedy })
}

/// Plans one fit as [`within`] does, and then as many, where that one has its activations, as are within the limits.
pub(crate) fn as_many_within(
    streaming: Streaming,
    limits: &MemoryLimits,
    most: impl Fn(Placement) -> usize,
    plan: impl Fn(usize, Placement) -> FitPlan,
) -> Result<(FitPlan, usize), Error> {
    let alone = within(streaming, limits, |placement| Ok(plan(1, placement)))?;
    let fits = |&count: &usize| plan(count, alone.placement).excess(limits).is_none();
    let at_once = (2..=most(alone.placement)).rev().find(fits).unwrap_or(1);
    Ok((plan(at_once, alone.placement), at_once))
}

fn placement_words(plan: &FitPlan) -> &'static str {
    match plan.placement {
        Placement::Resident => "resident",
        Placement::Streamed { .. } => "streamed",
    }
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{ElementType, Workspace};
    use unmix_runtime::{CpuEngine, EngineLimits, Error as RuntimeError, Session};

    use super::*;
    use crate::Solver;

    /// A GPU that can only be planned for.
    #[derive(Debug)]
    struct PlannedGpu {
        limits: EngineLimits,
        memory: u64,
    }

    impl PlannedGpu {
        fn layout_of(&self, tokens: u64, neurons: u32) -> PanelLayout {
            PanelLayout::new(tokens, neurons, ElementType::F16, true, self.limits.panel_bytes)
        }
    }

    impl Engine for PlannedGpu {
        fn kind(&self) -> EngineKind {
            EngineKind::Gpu
        }

        fn adapter(&self) -> &'static str {
            "a planned GPU"
        }

        fn limits(&self) -> &EngineLimits {
            &self.limits
        }

        fn device_memory(&self) -> DeviceMemory {
            DeviceMemory::Own(Some(self.memory))
        }

        fn layout(&self, source: &dyn ActivationSource) -> Result<PanelLayout, RuntimeError> {
            Ok(self.layout_of(source.tokens(), source.neurons() as u32))
        }

        fn load(&self, _: &dyn ActivationSource) -> Result<Activations, RuntimeError> {
            Err(RuntimeError::Read("nothing can be loaded".to_owned()))
        }

        fn open(&self, _: &Workspace, _: &Activations) -> Result<Box<dyn Session>, RuntimeError> {
            Err(RuntimeError::Read("nothing can be opened".to_owned()))
        }
    }

    #[test]
    fn every_buffer_of_a_large_fit_fits_a_binding() {
        // What NVIDIA's driver allows, what others allow, and what every WebGPU device allows.
        for binding in [u64::from(u32::MAX), (1 << 31) - 1, 128 << 20] {
            let limits = EngineLimits::of_gpu(binding);
            for (solver, rank) in
                Solver::ALL.into_iter().flat_map(|solver| [100, 400, 2_897].map(|rank| (solver, rank)))
            {
                check_bindings(&limits, solver, rank, 1_000_000, 4_096);
            }
        }
        let limits = EngineLimits::of_gpu((1 << 31) - 1);
        for (rank, tokens) in [(4_096, 7_937), (4_096, 1_000_000), (8_192, 1_000_000), (100, 100_000_000)] {
            check_bindings(&limits, Solver::Hals, rank, tokens, 14_336);
            check_bindings(&limits, Solver::ProjectedLs, rank, tokens, 14_336);
        }
        check_bindings(&limits, Solver::Hals, 8_192, 100_000_000, 14_336);
    }

    fn check_bindings(limits: &EngineLimits, solver: Solver, rank: u32, tokens: u64, neurons: u32) {
        let layout = PanelLayout::new(tokens, neurons, ElementType::F16, true, limits.panel_bytes);
        let options = SemiNmf::new(rank).solver(solver).options(neurons);
        let distribution = Distribution::alone(&layout);
        let Allocation { workspace, fits } = Allocation::plan(&distribution, &layout, &[options], limits, true);
        let what = format!("{} with {rank} features of {tokens} × {neurons}", solver.name());
        for spec in &workspace.buffers {
            assert!(spec.bytes <= limits.max_binding_bytes, "{what}: `{}` has {} bytes", spec.name, spec.bytes);
        }
        let rows: u64 = fits[0].panels.iter().map(|panel| u64::from(panel.rows())).sum();
        assert_eq!(rows, tokens, "{what}");
    }

    #[test]
    fn a_million_tokens_and_4096_features_are_planned_for_a_gpu_of_24_gb() {
        let gpu = PlannedGpu { limits: EngineLimits::of_gpu((1 << 31) - 1), memory: 24_000_000_000 };
        let limits = MemoryLimits { host: 64_000_000_000, device: gpu.memory };
        for solver in [Solver::Hals, Solver::ProjectedLs] {
            let (builder, layout) = (SemiNmf::new(4_096).solver(solver), gpu.layout_of(1_000_000, 14_336));
            let plan = builder.plan_within(&gpu, &layout, Streaming::Auto, &limits).unwrap();
            assert_ne!(plan.placement, Placement::Resident);
            // The coefficients alone have 16.4 GB.
            assert!(
                (16_000_000_000..20_000_000_000).contains(&plan.device_peak_bytes()),
                "{}",
                plan.device_peak_bytes()
            );
        }
        // 3.3 TB of coefficients are refused, with the number.
        let layout = gpu.layout_of(100_000_000, 14_336);
        let error = SemiNmf::new(8_192).plan_within(&gpu, &layout, Streaming::Auto, &limits).unwrap_err();
        assert!(matches!(error, Error::Memory { needed, .. } if needed > 3_000_000_000_000), "{error}");
    }

    /// 400 panels of 1,000 tokens.
    fn layout() -> PanelLayout {
        PanelLayout { tokens: 400_000, neurons: 1_000, element: ElementType::F16, panel_rows: 1_000, stride: 1_000 }
    }

    fn limits(host: u64) -> MemoryLimits {
        MemoryLimits { host, device: 0 }
    }

    #[test]
    fn the_plan_counts_the_buffers_that_a_fit_allocates() {
        let engine = CpuEngine::new();
        for solver in Solver::ALL {
            let builder = SemiNmf::new(21).solver(solver);
            let plan = builder.plan(&engine, &layout(), Placement::Resident).unwrap();
            let iteration = builder.plan_iteration(&layout(), engine.limits()).unwrap();
            assert_eq!(plan.workspace_bytes, iteration.workspace.bytes());
            assert_eq!(plan.result_bytes, (400_000 + 1_000) * 21 * 4);
            assert_eq!(plan.activations_bytes, 800_000_000);
            assert!(plan.host_peak_bytes() > plan.activations_bytes && plan.device_peak_bytes() == 0);
        }
        assert!(SemiNmf::new(1_001).plan(&engine, &layout(), Placement::Resident).is_err());
    }

    #[test]
    fn what_does_not_fit_is_streamed_and_what_does_not_fit_streamed_is_refused() {
        let (engine, layout, builder) = (CpuEngine::new(), layout(), SemiNmf::new(50));
        let plan = |streaming, memory| builder.plan_within(&engine, &layout, streaming, &limits(memory));
        let resident = plan(Streaming::Auto, u64::MAX).unwrap();
        assert_eq!(resident.placement, Placement::Resident);
        let whole = resident.host_peak_bytes();
        assert_eq!(plan(Streaming::Auto, whole).unwrap(), resident);

        let streamed = plan(Streaming::Auto, whole - 1).unwrap();
        assert_eq!(plan(Streaming::Always, u64::MAX).unwrap(), streamed);
        assert!(streamed.placement.copies_samples() && streamed.activations_bytes == 3 * 2_000_000);
        let error = plan(Streaming::Never, whole - 1).unwrap_err();
        assert!(matches!(error, Error::Memory { needed, placement: "resident", .. } if needed == whole), "{error}");

        // The samples are the first that is done without.
        let least = plan(Streaming::Auto, streamed.host_peak_bytes() - 2_000_001).unwrap();
        assert_eq!(least.activations_bytes, 2 * 2_000_000);
        assert!(!least.placement.copies_samples());
        let error = plan(Streaming::Auto, least.host_peak_bytes() - 1).unwrap_err();
        assert!(matches!(error, Error::Memory { needed, .. } if needed == least.host_peak_bytes()), "{error}");
    }

    #[test]
    fn as_many_fits_of_a_batch_are_planned_as_fit_where_the_first_has_its_activations() {
        let (engine, layout) = (CpuEngine::new(), layout());
        let batch = Batch::new((0..4).map(|seed| SemiNmf::new(50).seed(seed)).collect());
        let plan = |memory| batch.plan_part_within(&engine, &layout, Streaming::Auto, &limits(memory));
        let (whole, fits) = plan(u64::MAX).unwrap();
        assert_eq!((whole, fits), (batch.plan(&engine, &layout, Placement::Resident).unwrap(), 4));
        assert_eq!(plan(whole.host_peak_bytes() - 1).unwrap().1, 3);
        // The activations stay resident, and the fits become fewer.
        let one = SemiNmf::new(50).plan(&engine, &layout, Placement::Resident).unwrap();
        assert_eq!(plan(one.host_peak_bytes()).unwrap(), (one, 1));
        let (streamed, fits) = plan(one.host_peak_bytes() - 1).unwrap();
        assert!(streamed.placement != Placement::Resident && fits > 1, "{fits}");
        assert!(streamed.host_peak_bytes() < one.host_peak_bytes());
        assert!(matches!(plan(1 << 20), Err(Error::Memory { .. })));
    }
}
