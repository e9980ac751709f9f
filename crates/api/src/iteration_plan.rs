//! Plans an iteration of a fit without a device, for cost models and for measuring single stages.

use unmix_kernels::{Matrix, Recording, Workspace, squared_norm};
use unmix_runtime::{EngineLimits, PanelLayout};

use crate::buffers::Buffers;
use crate::distribution::Distribution;
use crate::panels::{Panel, panels_of};
use crate::steps::Steps;
use crate::{Error, Options, SemiNmf};

/// The commands of one iteration of a fit, and the buffers that they need.
#[derive(Clone, Debug)]
pub struct Iteration {
    /// Every buffer of the fit.
    pub workspace: Workspace,
    /// The features step and the pass over the activations, which begins with the feature Gram matrix.
    pub recording: Recording,
    /// The commands before the first iteration of a fit that starts from coefficients: the norms of the tokens if they are penalized, the
    /// sums of the coefficients, and features if the solver needs some.
    pub start: Recording,
    /// The coefficients of each panel [rows, K]. The caller must write them before `start` runs.
    pub coefficients: Vec<Matrix>,
}

impl SemiNmf {
    /// Plans an iteration over activations cut as `layout`, on an engine with these limits. The activations' scale and norm,
    /// which a fit measures first, are taken to be 1.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is impossible for activations of this shape.
    pub fn plan_iteration(&self, layout: &PanelLayout, limits: &EngineLimits) -> Result<Iteration, Error> {
        let options = self.asked(layout)?.options;
        let distribution = self.distribution_of(layout);
        let mut workspace = Workspace::default();
        let panels = panels_of(layout, distribution.rows().start, &options, limits);
        let buffers = Buffers::plan(&mut workspace, &panels, &options, limits);
        let steps = steps(&options, &panels, &buffers, &distribution);
        let mut recording = steps.features_step(options.relaxation);
        recording.append(steps.pass(options.sweeps));
        let mut start = Recording::new();
        // Penalties weigh by the norms of the tokens.
        if options.solver.updates().coefficients.is_penalized() {
            for panel in &panels {
                squared_norm(&mut start, panel.activations, buffers.squared_norms(panel), steps.scale);
            }
        }
        start.append(steps.sums(steps.precision()));
        start.append(steps.start());
        let coefficients = buffers.tokens.iter().map(|tokens| tokens.coefficients).collect();
        Ok(Iteration { workspace, recording, start, coefficients })
    }
}

/// The steps of activations whose scale and norm are 1.
fn steps<'a>(
    options: &'a Options,
    panels: &'a [Panel],
    buffers: &'a Buffers,
    distribution: &'a Distribution,
) -> Steps<'a> {
    Steps { options, panels, buffers, scale: 1.0, squared_norm: 1.0, distribution }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use unmix_kernels::{ElementType, Resource, Traffic};
    use unmix_runtime::{CpuEngine, Engine};

    use super::*;
    use crate::sample::Sample;
    use crate::{Options, Solver};

    const TOKENS: u64 = 1999;
    const NEURONS: u32 = 700;
    const RANK: u32 = 21;

    /// Five panels of 400 tokens, the last one shorter.
    fn layout(element: ElementType) -> PanelLayout {
        let layout = PanelLayout { tokens: TOKENS, neurons: NEURONS, element, panel_rows: 400, stride: 704 };
        assert_eq!(layout.panels(), 5);
        layout
    }

    /// How the wgpu engine likes its work cut.
    fn limits() -> EngineLimits {
        EngineLimits { product_splits: 32, summation_rows: 256, ..CpuEngine::new().limits().clone() }
    }

    /// Calls `check` with the pass of every solver, keeping the best iterate and not, projecting sparsely and densely.
    fn for_every_pass(check: impl Fn(&str, &PanelLayout, &Options, &Workspace, &Recording)) {
        for (solver, keep_best) in Solver::ALL.into_iter().zip([true, false]).chain(Solver::ALL.map(|s| (s, true))) {
            for (element, sparsity) in [(ElementType::F16, 0.1), (ElementType::F32, 1.0)] {
                let (layout, limits) = (layout(element), limits());
                let options =
                    SemiNmf::new(RANK).solver(solver).sparsity(sparsity).keep_best(keep_best).options(NEURONS);
                let mut workspace = Workspace::default();
                let panels = panels_of(&layout, 0, &options, &limits);
                let buffers = Buffers::plan(&mut workspace, &panels, &options, &limits);
                let distribution = Distribution::alone(&layout);
                let steps = steps(&options, &panels, &buffers, &distribution);
                let name = format!("{}, {element}, {sparsity}, keep best: {keep_best}", solver.name());
                check(&name, &layout, &options, &workspace, &steps.pass(options.sweeps));
            }
        }
    }

    fn activations_read(traffic: &[Traffic]) -> u64 {
        traffic.iter().map(Traffic::activations_from_memory).sum()
    }

    #[test]
    fn the_pass_reads_the_activations_once_where_a_panel_fits_the_cache() {
        for_every_pass(|name, layout, _, workspace, pass| {
            let size = TOKENS * u64::from(NEURONS) * layout.element.bytes() as u64;
            let panel = layout.panel(0).bytes();
            // Room for a panel and what is used between its two reads, but not for two panels.
            let cache = panel + panel / 2;
            assert_eq!(activations_read(&pass.traffic(workspace, cache)), size, "{name}");
            assert_eq!(activations_read(&pass.steady_traffic(workspace, cache)), size, "{name}: again and again");
        });
    }

    #[test]
    fn the_pass_reads_the_activations_twice_where_no_panel_fits_the_cache() {
        for_every_pass(|name, layout, _, workspace, pass| {
            let size = TOKENS * u64::from(NEURONS) * layout.element.bytes() as u64;
            // The last panel is a row shorter than the others.
            let smallest = layout.panel(4).bytes();
            for cache in [0, smallest / 2, smallest - 1] {
                assert_eq!(activations_read(&pass.traffic(workspace, cache)), 2 * size, "{name}, cache of {cache}");
            }
        });
    }

    #[test]
    fn all_comes_from_a_cache_that_holds_all() {
        for_every_pass(|name, layout, _, workspace, pass| {
            let size = TOKENS * u64::from(NEURONS) * layout.element.bytes() as u64;
            let cache = 2 * size + workspace.bytes();
            assert_eq!(activations_read(&pass.traffic(workspace, cache)), size, "{name}");
            let steady = pass.steady_traffic(workspace, cache);
            assert_eq!(steady.iter().map(|t| t.from_memory() + t.to_memory()).sum::<u64>(), 0, "{name}");
        });
    }

    #[test]
    fn every_panel_is_finished_before_the_next_one_is_touched() {
        for_every_pass(|name, layout, _, _, pass| {
            let panels: Vec<u32> = pass
                .dispatches()
                .flat_map(|dispatch| &dispatch.bindings)
                .filter_map(|binding| match binding {
                    Resource::Panel(panel) => Some(*panel),
                    Resource::Buffer(_) => None,
                })
                .collect();
            let twice: Vec<u32> = (0..layout.panels()).flat_map(|panel| [panel, panel]).collect();
            assert_eq!(panels, twice, "{name}");
        });
    }

    #[test]
    fn projections_are_never_stored_for_more_than_a_panel() {
        for_every_pass(|name, layout, options, workspace, _| {
            let panel = u64::from(layout.panel_rows) * u64::from(options.rank.next_multiple_of(4)) * 4;
            let found: Vec<u64> =
                workspace.buffers.iter().filter(|spec| spec.name == "projections").map(|spec| spec.bytes).collect();
            assert_eq!(found, [panel], "{name}");
            // Nor does anything else grow with the tokens but what is kept of each: coefficients and norms.
            let others = workspace.buffers.iter().filter(|spec| !spec.name.contains(" of panel "));
            let longest = others.filter(|spec| spec.name.contains("coefficients")).map(|spec| spec.bytes).max();
            assert!(longest.is_none_or(|bytes| bytes == panel), "{name}");
        });
    }

    #[test]
    fn an_iteration_is_its_three_steps() {
        let layout = layout(ElementType::Bf16);
        let builder = SemiNmf::new(RANK).solver(Solver::ProjectedLs).sparsity(0.05);
        let Iteration { workspace, recording, coefficients, .. } = builder.plan_iteration(&layout, &limits()).unwrap();
        let rows: Vec<u32> = coefficients.iter().map(|y| y.rows).collect();
        assert_eq!(rows, [400, 400, 400, 400, 399]);
        let kernels: Vec<&str> = recording.dispatches().map(|dispatch| dispatch.kernel.name).collect();
        let expected = ["cholesky", "triangular_solve", "least_squares_cut", "sparse_projection_with_gram"];
        assert_eq!(kernels[..4], expected);
        assert_eq!(kernels.iter().filter(|kernel| **kernel == "loss").count(), 1);
        let buffers = workspace.buffers.len() as u32;
        let bound = recording.dispatches().flat_map(|dispatch| &dispatch.bindings);
        assert!(bound.into_iter().all(|resource| !matches!(resource, Resource::Buffer(id) if id.0 >= buffers)));
        let error = SemiNmf::new(NEURONS + 1).plan_iteration(&layout, &limits()).unwrap_err();
        assert!(matches!(error, Error::Option { option: "rank", .. }), "{error}");
    }

    #[test]
    fn each_panel_of_a_sample_weighs_its_penalties_by_the_norms_of_its_own_tokens() {
        let layout = layout(ElementType::F16);
        let options = SemiNmf::new(RANK).solver(Solver::Hals).options(NEURONS);
        let panels = panels_of(&layout, 0, &options, &limits());
        let buffers = Buffers::plan(&mut Workspace::default(), &panels, &options, &limits());
        let sample = Sample::of(&panels, 5);
        let distribution = Distribution::alone(&layout);
        let steps = steps(&options, &panels, &buffers, &distribution);
        let recording = steps.sample_pass(&sample.panels);
        let weighed: Vec<Resource> = recording
            .dispatches()
            .filter(|dispatch| dispatch.kernel.name == "hals_coefficients")
            .map(|dispatch| dispatch.bindings[2])
            .collect();
        // The norms of all panels are written before the pass, so no two panels share a buffer.
        let norms: Vec<Resource> = sample.panels.iter().map(|panel| buffers.squared_norms(panel).into()).collect();
        assert_eq!(weighed, norms);
        assert!(norms.len() > 1 && norms.iter().collect::<HashSet<_>>().len() == norms.len());
    }

    #[test]
    fn no_dispatch_of_an_iteration_keeps_a_device_busy_for_long() {
        for dispatch_flops in [50_000_000_000, 250_000_000_000] {
            let limits = EngineLimits { dispatch_flops, ..EngineLimits::of_gpu(1 << 31) };
            for (solver, rank) in
                Solver::ALL.into_iter().flat_map(|solver| [100, 400, 4_096].map(|rank| (solver, rank)))
            {
                let layout = PanelLayout::new(20_000, 14_336, ElementType::F16, true, limits.panel_bytes);
                let options = SemiNmf::new(rank).solver(solver).options(layout.neurons);
                let panels = panels_of(&layout, 0, &options, &limits);
                let buffers = Buffers::plan(&mut Workspace::default(), &panels, &options, &limits);
                let distribution = Distribution::alone(&layout);
                let steps = steps(&options, &panels, &buffers, &distribution);
                let features_step = steps.features_step(options.relaxation);
                for recording in [features_step, steps.pass(2 * options.sweeps), steps.coefficients_pass(8, true)] {
                    for dispatch in recording.dispatches() {
                        let (name, flops) = (dispatch.kernel.name, dispatch.cost.flops);
                        assert!(
                            flops <= dispatch_flops,
                            "{name} has {flops:e} FLOP with {rank} features, {}",
                            solver.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_commands_of_hals_do_not_grow_with_the_features() {
        let layout = layout(ElementType::F16);
        let commands = |rank| {
            let builder = SemiNmf::new(rank).solver(Solver::Hals);
            builder.plan_iteration(&layout, &limits()).unwrap().recording.commands.len()
        };
        let few = commands(128);
        assert!([200, 400, 700].iter().all(|&rank| commands(rank) <= few));
    }
}
