//! Where a fit has its activations, and the memory that it takes: what a fit does and `inspect` foretells.

use serde::{Deserialize, Serialize};
use unmix::{
    Batch, DeviceMemory, Engine, EngineKind, Error, FitPlan, MemoryLimits, PanelLayout, Placement, SemiNmf, Streaming,
};

use crate::{FitFailure, FitInput, memory};

/// Share of the memory that is free which a fit takes at most unless it is told otherwise.
const SHARE: f64 = 0.8;

/// The memory that a fit may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryAllowance {
    /// Most memory of the process and of a device, in bytes. Without it, a share of what is free.
    pub memory: Option<u64>,
    /// Whether the activations are read again in every pass.
    pub streaming: Streaming,
}

impl MemoryAllowance {
    /// What this one says, and what `other` says where this one leaves it open.
    #[must_use]
    pub fn or(self, other: MemoryAllowance) -> MemoryAllowance {
        MemoryAllowance {
            memory: self.memory.or(other.memory),
            streaming: if self.streaming == Streaming::Auto { other.streaming } else { self.streaming },
        }
    }
}

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
}

/// Plans a fit within the memory that it may take.
///
/// # Errors
/// [`FitFailure::Memory`] if it does not fit.
pub fn plan(
    builder: &SemiNmf,
    engine: &dyn Engine,
    input: &FitInput,
    allowance: &MemoryAllowance,
) -> Result<Planned, FitFailure> {
    let rank = builder.options(1).rank;
    plan_by(engine, input, allowance, rank, |layout, streaming, limits| {
        builder.plan_within(engine, layout, streaming, limits)
    })
}

/// Plans as many of these fits as fit at once, from the first on. Returns the plan, and their number, which is at least one. All must have
/// the rank of the first.
///
/// # Errors
/// [`FitFailure::Memory`] if the first one does not fit.
pub fn plan_batch(
    fits: Vec<SemiNmf>,
    engine: &dyn Engine,
    input: &FitInput,
    allowance: &MemoryAllowance,
) -> Result<(Planned, usize), FitFailure> {
    let rank = fits.first().map_or(0, |fit| fit.options(1).rank);
    let batch = Batch::new(fits);
    let mut at_once = 1;
    let planned = plan_by(engine, input, allowance, rank, |layout, streaming, limits| {
        let (plan, fits) = batch.plan_part_within(engine, layout, streaming, limits)?;
        at_once = fits;
        Ok(plan)
    })?;
    Ok((planned, at_once))
}

/// Plans a fit with `rank` features within the memory that it may take, by its own `plan_within`.
///
/// # Errors
/// [`FitFailure::Memory`] if it does not fit.
pub fn plan_by(
    engine: &dyn Engine,
    input: &FitInput,
    allowance: &MemoryAllowance,
    rank: u32,
    plan_within: impl FnOnce(&PanelLayout, Streaming, &MemoryLimits) -> Result<FitPlan, Error>,
) -> Result<Planned, FitFailure> {
    let layout = engine.layout(input).map_err(Error::from)?;
    plan_layout(engine, &layout, input, allowance, rank, plan_within)
}

/// As [`plan_by`], for activations that are cut like this.
pub(crate) fn plan_layout(
    engine: &dyn Engine,
    layout: &PanelLayout,
    input: &FitInput,
    allowance: &MemoryAllowance,
    rank: u32,
    plan_within: impl FnOnce(&PanelLayout, Streaming, &MemoryLimits) -> Result<FitPlan, Error>,
) -> Result<Planned, FitFailure> {
    let already = already_in_place(engine, input);
    let held = memory::held_bytes().unwrap_or(0).saturating_sub(already);
    let share = |bytes: u64| (bytes as f64 * SHARE) as u64;
    let limits = MemoryLimits {
        host: match allowance.memory {
            Some(size) => size.saturating_sub(held),
            None => memory::available_bytes().map_or(u64::MAX, |free| share(free).saturating_add(already)),
        },
        device: match (allowance.memory, engine.device_memory()) {
            (Some(size), _) => size,
            (None, DeviceMemory::Own(Some(all))) => share(all),
            (None, _) => u64::MAX,
        },
    };
    match plan_within(layout, allowance.streaming, &limits) {
        Ok(plan) => Ok(Planned { plan, held }),
        Err(Error::Memory { needed, allowed, whose, placement, remedy }) => {
            let held = if whose == "the host" { held } else { 0 };
            Err(FitFailure::Memory {
                names: input.names(),
                rank,
                placement,
                whose,
                needed: needed.saturating_add(held),
                allowed: allowance.memory.unwrap_or(allowed.saturating_add(held)),
                is_set: allowance.memory.is_some(),
                remedy,
            })
        }
        Err(error) => Err(FitFailure::of_computation(error, input)),
    }
}

/// Bytes of the activations that are in memory already, where the engine computes with them. A plan counts them as memory of the fit.
fn already_in_place(engine: &dyn Engine, input: &FitInput) -> u64 {
    match (engine.kind(), input) {
        (EngineKind::Cpu, FitInput::Memory(_)) if !input.is_copied() => input.bytes(),
        _ => 0,
    }
}
