//! One iteration of each solver, and its one dense product alone, on the CPU at the paper's sizes.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use unmix::{CpuEngine, ElementType, Engine, Init, SemiNmf, Solver};
use unmix_benches::{Numbers, Shape, activations};

fn iteration(c: &mut Criterion) {
    let shape = Shape::PAPER;
    let engine = CpuEngine::new();
    let resident = engine.load(&activations(shape, ElementType::F16)).expect("loading activations");
    let name = format!("iteration, {} x {}, K = {}, f16", shape.tokens, shape.neurons, shape.rank);
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    group.bench_function("dense product alone (faer, f32)", |b| {
        let (n, d, k) = (shape.tokens as usize, shape.neurons as usize, shape.rank as usize);
        let mut numbers = Numbers::new(1);
        let x: Vec<f32> = (0..n * d).map(|_| numbers.next_centred()).collect();
        let y: Vec<f32> = (0..n * k).map(|_| numbers.next_centred()).collect();
        let mut out = vec![0f32; d * k];
        b.iter(|| {
            // The orientation in which faer is fastest: [d, K] = Xᵀ Y.
            let (x, y) = (MatRef::from_column_major_slice(&x, d, n), MatRef::from_row_major_slice(&y, n, k));
            matmul(MatMut::from_column_major_slice_mut(&mut out, d, k), Accum::Replace, x, y, 1.0, Par::rayon(0));
        });
    });
    for solver in Solver::ALL {
        group.bench_function(solver.name(), |b| {
            b.iter_custom(|iterations| {
                let settings = SemiNmf::new(shape.rank)
                    .solver(solver)
                    .init(Init::Random)
                    .tolerance(0.0)
                    .max_iterations(iterations as u32);
                let summary = settings.fit(&engine, &resident).expect("fitting").summary;
                // Neither the start nor what comes after the last iteration is part of an iteration.
                let last = summary.seconds_curve.last().expect("an iteration");
                Duration::from_secs_f64(last - summary.start_seconds)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, iteration);
criterion_main!(benches);
