//! Parity with the published iteration, step by step, on every engine.

use safetensors::SafeTensors;
use unmix::{DenseMatrix, ElementType, Engine, HostActivations, SemiNmf, Solver};
use unmix_tests::{assert_close, engines};

struct Golden {
    bytes: Vec<u8>,
    losses: Vec<f64>,
    sparsity: f64,
}

impl Golden {
    fn read(name: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/golden");
        let bytes = std::fs::read(format!("{folder}/{name}.safetensors")).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(format!("{folder}/{name}.json")).unwrap()).unwrap();
        let losses = json["losses"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        Golden { bytes, losses, sparsity: json["sparsity"].as_f64().unwrap() }
    }

    fn f64s(&self, tensor: &str) -> Vec<f64> {
        bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&self.bytes).unwrap().tensor(tensor).unwrap().data())
    }

    fn f32s(&self, tensor: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&self.bytes).unwrap().tensor(tensor).unwrap().data())
    }
}

fn after(golden: &Golden, engine: &dyn Engine, iterations: u32) -> unmix::Factorization {
    let (tokens, neurons) = (160, 96);
    let x = HostActivations::from_f32(golden.f32s("activations"), tokens, neurons).unwrap();
    let start = DenseMatrix { rows: 160, columns: 6, values: golden.f32s("coefficients_init") };
    SemiNmf::new(6)
        .sparsity(golden.sparsity)
        .solver(Solver::Paper)
        .init_coefficients(start)
        .tolerance(0.0)
        .max_iterations(iterations)
        .fit(engine, &engine.load(&x).unwrap())
        .unwrap()
}

#[test]
fn paper_solver_repeats_the_published_iteration() {
    for name in ["paper-p0.05", "paper-p1.0"] {
        let golden = Golden::read(name);
        for engine in engines() {
            for iterations in [1, 2, 5, 20] {
                let fit = after(&golden, engine.as_ref(), iterations);
                let features = golden.f64s(&format!("features.{iterations}"));
                let coefficients = golden.f64s(&format!("coefficients.{iterations}"));
                assert_eq!(fit.summary.iterations, iterations);
                assert_close("features", engine.as_ref(), &fit.features.values, &features, 1e-4);
                assert_close("coefficients", engine.as_ref(), &fit.coefficients.values, &coefficients, 1e-4);
                let got: Vec<bool> = fit.features.values.iter().map(|z| *z != 0.0).collect();
                let wanted: Vec<bool> = features.iter().map(|z| *z != 0.0).collect();
                assert!(got == wanted, "{name}, {iterations} iterations: the same neurons are kept");
            }
        }
    }
}

#[test]
fn paper_solver_follows_the_published_losses() {
    for name in ["paper-p0.05", "paper-p1.0"] {
        let golden = Golden::read(name);
        for engine in engines() {
            let fit = after(&golden, engine.as_ref(), 100);
            for (iteration, (got, wanted)) in fit.summary.loss_curve.iter().zip(&golden.losses).enumerate() {
                let tolerance = if iteration < 20 { 1e-4 } else { 1e-3 };
                let off = (got - wanted).abs() / wanted;
                assert!(
                    off < tolerance,
                    "{name} on {}, iteration {}: off by {off:.1e}",
                    engine.adapter(),
                    iteration + 1
                );
            }
        }
    }
}

#[test]
fn the_internal_scale_does_not_change_the_published_iteration() {
    // ε and the ridge are absolute numbers, so the fit of c·X is not c times the fit of X. The internal scale must not
    // hide this.
    let golden = Golden::read("paper-p0.05");
    let engine = unmix::CpuEngine::new();
    let values = golden.f32s("activations");
    for scale in [0.37f32, 8.0] {
        let x: Vec<f32> = values.iter().map(|v| v * scale).collect();
        let dense = unmix_tests::Dense { rows: 160, columns: 96, values: x.iter().map(|&v| v.into()).collect() };
        let start = golden.f32s("coefficients_init");
        let y = unmix_tests::Dense { rows: 160, columns: 6, values: start.iter().map(|&v| v.into()).collect() };
        let (z, y) = unmix_tests::oracle::paper_iteration(&dense, &y, 5);
        let fit = SemiNmf::new(6)
            .sparsity(0.05)
            .solver(Solver::Paper)
            .init_coefficients(DenseMatrix { rows: 160, columns: 6, values: start })
            .tolerance(0.0)
            .max_iterations(1)
            .fit(&engine, &engine.load(&dense.to_activations(ElementType::F32)).unwrap())
            .unwrap();
        assert_close("features", &engine, &fit.features.values, &z.values, 1e-5);
        assert_close("coefficients", &engine, &fit.coefficients.values, &y.values, 1e-5);
    }
}
