//! Where a fit has its activations, and the memory that it takes: what `fit` does and `inspect` foretells.

use unmix::{
    ActivationSource, DeviceMemory, Engine, Error, FitPlan, MemoryLimits, PanelLayout, Placement, SemiNmf, Streaming,
};
use unmix_data::ActivationSet;

use crate::failure::Failure;
use crate::memory;
use crate::memory_args::MemoryArgs;
use crate::output::bytes;

/// Share of the memory that is free which a fit takes at most unless it is told otherwise.
const SHARE: f64 = 0.8;

/// A fit's memory, and that of the process around it.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// The fit.
    pub plan: FitPlan,
    /// Bytes that the process held before.
    held: u64,
}

impl Planned {
    /// Most host memory of the process, in bytes.
    pub fn host_bytes(&self) -> u64 {
        self.held.saturating_add(self.plan.host_peak_bytes())
    }

    /// Most memory of a device with memory of its own, in bytes.
    pub fn device_bytes(&self) -> u64 {
        self.plan.device_peak_bytes()
    }

    /// Whether the activations are streamed.
    pub fn is_streamed(&self) -> bool {
        self.plan.placement != Placement::Resident
    }

    /// The memory in words.
    pub fn words(&self) -> String {
        match self.device_bytes() {
            0 => bytes(self.host_bytes()),
            device => format!("{} of the device and {} of the host", bytes(device), bytes(self.host_bytes())),
        }
    }
}

/// Plans a fit within the memory that it may take.
///
/// # Errors
/// [`Failure::Memory`] if it does not fit.
pub fn plan(
    builder: &SemiNmf,
    engine: &dyn Engine,
    file: &ActivationSet,
    args: &MemoryArgs,
) -> Result<Planned, Failure> {
    let rank = builder.options(1).rank;
    plan_by(engine, file, args, rank, |layout, streaming, limits| {
        builder.plan_within(engine, layout, streaming, limits)
    })
}

/// Plans a fit with `rank` features within the memory that it may take, by its own `plan_within`.
///
/// # Errors
/// [`Failure::Memory`] if it does not fit.
pub fn plan_by(
    engine: &dyn Engine,
    file: &ActivationSet,
    args: &MemoryArgs,
    rank: u32,
    plan_within: impl FnOnce(&PanelLayout, Streaming, &MemoryLimits) -> Result<FitPlan, Error>,
) -> Result<Planned, Failure> {
    let layout = engine.layout(file)?;
    let held = memory::held_bytes().unwrap_or(0);
    let share = |bytes: u64| (bytes as f64 * SHARE) as u64;
    let limits = MemoryLimits {
        host: match args.memory {
            Some(size) => size.saturating_sub(held),
            None => memory::available_bytes().map_or(u64::MAX, share),
        },
        device: match (args.memory, engine.device_memory()) {
            (Some(size), _) => size,
            (None, DeviceMemory::Own(Some(all))) => share(all),
            (None, _) => u64::MAX,
        },
    };
    match plan_within(&layout, args.stream.streaming(), &limits) {
        Ok(plan) => Ok(Planned { plan, held }),
        Err(Error::Memory { needed, allowed, whose, placement, remedy }) => {
            let held = if whose == "the host" { held } else { 0 };
            let (may, allowed) = match args.memory {
                Some(size) => ("--memory allows", size),
                None => ("it may take", allowed.saturating_add(held)),
            };
            Err(Failure::Memory(format!(
                "{}: a fit of rank {} with {placement} activations needs about {} of memory of {whose}, and {may} {}; {remedy} by \
                 --memory SIZE",
                file.names(),
                rank,
                bytes(needed.saturating_add(held)),
                bytes(allowed)
            )))
        }
        Err(error) => Err(Failure::of_computation(error, file)),
    }
}

/// Bytes of all activations of a set.
pub fn activations_bytes(file: &ActivationSet) -> u64 {
    file.tokens().saturating_mul(file.neurons()).saturating_mul(file.element().bytes() as u64)
}
