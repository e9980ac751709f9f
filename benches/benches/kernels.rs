//! Each kernel by itself: on the CPU at the paper's sizes, and on the first adapter that answers, at sizes that suit
//! it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use unmix::{AdapterChoice, CpuEngine, ElementType, Engine, WgpuEngine};
use unmix_benches::{Operands, Shape, activations};
use unmix_kernels::*;

fn kernels(c: &mut Criterion) {
    on(c, "cpu", &CpuEngine::new(), Shape::PAPER);
    match WgpuEngine::new(&AdapterChoice::default()) {
        Ok(engine) => {
            let shape = if engine.is_software() { Shape::SMALL } else { Shape::PAPER };
            on(c, "gpu", &engine, shape);
        }
        Err(error) => eprintln!("no GPU benchmarks: {error}"),
    }
}

fn on(c: &mut Criterion, name: &str, engine: &dyn Engine, shape: Shape) {
    let resident = engine.load(&activations(shape, ElementType::F16)).expect("loading activations");
    let o = Operands::new(engine, &resident, shape);
    let mut group = c.benchmark_group(format!("{name}, {} x {}, K = {}", o.panels[0].rows, shape.neurons, shape.rank));
    group.sample_size(10);
    let (x, y) = (o.panels[0], o.coefficients[0]);
    let mut bench = |kernel: &str, record: &dyn Fn(&mut Recording)| {
        let prepared = o.prepare(record);
        group.throughput(Throughput::Elements(prepared.recording().flops().max(1)));
        group.bench_function(kernel, |b| {
            b.iter(|| {
                prepared.run().expect("running");
                o.wait();
            });
        });
    };
    bench("cross_product", &|r| cross_product(r, x, y, o.cross, 1.0, false, Summation::default()));
    bench("coefficient_gram", &|r| {
        coefficient_gram(r, y, o.gram, false, None);
    });
    bench("feature_gram", &|r| feature_gram(r, &o.features, o.feature_gram));
    bench("projection", &|r| projection(r, x, o.features.dense, o.projections, 1.0));
    bench("sparse_projection", &|r| project(r, x, &o.features, o.projections, 1.0));
    bench("hals_coefficients", &|r| {
        let operands = HalsOperands {
            projections: o.projections,
            feature_gram: o.feature_gram,
            squared_norms: o.squared_norms,
            scales: Some(o.scales),
            coefficients: y,
            inner: o.inner,
        };
        hals_coefficients(
            r,
            &operands,
            Sweeps { count: 2, penalty: 0.0, keeps_zeros: false, inner: InnerSum::Started },
        );
    });
    bench("multiplicative_update", &|r| {
        multiplicative_update(r, o.projections, o.feature_gram, y, o.previous, 1e-6, 0.0);
    });
    bench("cholesky", &|r| cholesky(r, o.feature_gram, o.factor, Ridge::Relative(1e-7)));
    bench("triangular_solve", &|r| triangular_solve(r, o.factor, o.features.dense));
    let cut = Cut { relaxation: 0.4, norm_floor: 0.0 };
    bench("least_squares_cut", &|r| least_squares_cut(r, o.gram, &o.features, o.scales, cut));
    bench("winner_take_all", &|r| winner_take_all(r, &o.features, false));
    bench("hals_sweep", &|r| hals_sweep(r, o.cross, o.gram, &o.features));
    bench("squared_norm", &|r| squared_norm(r, x, o.squared_norms, 1.0));
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
