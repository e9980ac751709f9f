//! The iteration of each solver, as a list for people to read. Each line is a command. It says which kernel runs, how
//! many bytes it moves, how much it computes, and what it reads. What it writes comes after the arrow.

use unmix::{CpuEngine, ElementType, Engine, EngineLimits, PanelLayout, SemiNmf, Solver};

/// The commands before the first iteration and those of an iteration, for 3 features of 32 neurons over two panels of tokens.
fn listing(solver: Solver, limits: &EngineLimits) -> String {
    let layout = PanelLayout { tokens: 2000, neurons: 32, element: ElementType::F16, panel_rows: 1024, stride: 32 };
    let iteration = SemiNmf::new(3).sparsity(0.1).solver(solver).plan_iteration(&layout, limits).expect("a plan");
    let list = |recording: &unmix_kernels::Recording| recording.listing(&iteration.workspace);
    format!("before the first iteration:\n{}\nan iteration:\n{}", list(&iteration.start), list(&iteration.recording))
}

#[test]
fn iterations_on_the_cpu() {
    for solver in Solver::ALL {
        insta::assert_snapshot!(solver.name(), listing(solver, CpuEngine::new().limits()));
    }
}

/// Commands of an iteration on a GPU that takes all tokens at a time.
fn commands_on_a_gpu(solver: Solver, rank: u32) -> usize {
    let layout =
        PanelLayout { tokens: 7500, neurons: 14336, element: ElementType::F16, panel_rows: 7500, stride: 14336 };
    let limits = EngineLimits { dispatch_flops: u64::MAX, ..EngineLimits::of_gpu(1 << 31) };
    let iteration = SemiNmf::new(rank).solver(solver).plan_iteration(&layout, &limits).expect("a plan");
    iteration.recording.commands.len()
}

#[test]
fn an_iteration_is_few_dispatches() {
    // On a large GPU the small kernels take about as long as it takes to start them.
    for (rank, most) in [(100, 12), (400, 14)] {
        assert!(commands_on_a_gpu(Solver::ProjectedLs, rank) <= most, "rank {rank}");
    }
    for rank in [1, 16, 100, 400, 1000] {
        assert!(commands_on_a_gpu(Solver::Hals, rank) <= 24, "rank {rank}");
    }
}

#[test]
fn an_iteration_on_a_gpu_takes_its_sums_in_parts() {
    let limits = EngineLimits::of_gpu(1 << 30);
    insta::assert_snapshot!("projected-ls-on-a-gpu", listing(Solver::ProjectedLs, &limits));
}
