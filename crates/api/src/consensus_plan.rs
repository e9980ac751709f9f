//! The memory of a consensus: as many runs at once as fit.

use unmix_runtime::{Engine, PanelLayout};

use crate::agreement::HALVES;
use crate::consensus_groups::RESIDENT_AT_ONCE;
use crate::consensus_runs::run_options;
use crate::distribution::Distribution;
use crate::fit_plan::{as_many_within, plan_fits};
use crate::{Consensus, Error, FitPlan, MemoryLimits, Options, Placement, Streaming};

impl Consensus {
    /// Plans a consensus of activations cut as `layout` within some memory. Returns the plan, and the number of runs that are then in memory
    /// at once, for [`at_once`](Consensus::at_once). Activations that fit beside one run are resident, because it costs more to read them
    /// again than to compute the runs in smaller groups.
    ///
    /// # Errors
    /// As [`Consensus::fit`] for options that are impossible, and [`Error::Memory`] if not even one run fits.
    pub fn plan_within(
        &self,
        engine: &dyn Engine,
        layout: &PanelLayout,
        streaming: Streaming,
        limits: &MemoryLimits,
    ) -> Result<(FitPlan, u32), Error> {
        let options = self.checked(layout)?;
        let distribution = Distribution::alone(layout);
        let (runs, _) = self.size();
        let (rank, neurons) = (u64::from(options.rank), u64::from(layout.neurons));
        // A nonzero has 8 bytes. Those of the runs are kept three times: in the runs, and in the pool by feature and by neuron. Runs that go on have
        // them once more. Checkpoints have them before and after that. A feature has some counterparts of 16 bytes in each run. What each half of the runs agrees on is kept as well.
        let nonzeros = 8 * u64::from(options.kept(layout.neurons));
        let pool = u64::from(runs) * rank * (6 * nonzeros + 3 * 16 * u64::from(runs)) + HALVES as u64 * rank * nonzeros;
        // A thread that forms clusters has a mean of 8 bytes a neuron, and a list of its nonzeros with 16 bytes each.
        let means = rayon::current_num_threads() as u64 * neurons * (8 + 16);
        let run: Options = run_options(&options, options.seed, 1);
        let plan = |runs: usize, placement| {
            let mut plan = plan_fits(engine, &distribution, layout, placement, &vec![run.clone(); runs], true);
            plan.result_bytes /= runs as u64;
            plan.host_bytes += pool + means;
            plan
        };
        let most = |placement| match placement {
            Placement::Resident => runs.min(RESIDENT_AT_ONCE) as usize,
            Placement::Streamed { .. } => runs as usize,
        };
        let (plan, at_once) = as_many_within(streaming, limits, most, plan)?;
        Ok((plan, at_once as u32))
    }
}
