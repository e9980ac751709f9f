//! The choice of the number of features, on activations with a known number of them.

use std::sync::Arc;

use rand::RngExt;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use unmix::{CpuEngine, Engine, HostActivations, SemiNmf, Solver};
use unmix_interpret::held_out_error;
use unmix_interpret::sweep::{Sweep, SweepData, SweepPoint, default_ranks, recommend};

/// Activations with a known number of sparse features and noise.
struct Planted {
    features: usize,
    tokens: usize,
    neurons: usize,
    /// Energy of the noise, as a share of the energy without it.
    noise: f32,
    seed: u64,
}

/// Share of the neurons that a planted feature has.
const SPARSITY: f64 = 0.05;

impl Planted {
    fn values(&self) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let normal = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random_range(0.0f32..1.0)).sum::<f32>() - 6.0;
        let kept = (SPARSITY * self.neurons as f64).ceil() as usize;
        let features: Vec<Vec<(usize, f32)>> = (0..self.features)
            .map(|_| {
                let neurons = sample(&mut rng, self.neurons, kept).into_vec();
                let weights: Vec<f32> = neurons.iter().map(|_| normal(&mut rng)).collect();
                let norm = weights.iter().map(|w| w * w).sum::<f32>().sqrt();
                neurons.into_iter().zip(weights.into_iter().map(|w| w / norm)).collect()
            })
            .collect();
        let active = (2.0 + self.features as f64 / 15.0).min(6.0) / self.features as f64;
        let mut values = vec![0f32; self.tokens * self.neurons];
        for row in values.chunks_exact_mut(self.neurons) {
            for feature in &features {
                if rng.random_bool(active) {
                    // Exponentially distributed.
                    let y = -rng.random_range(f32::MIN_POSITIVE..1.0).ln();
                    feature.iter().for_each(|&(neuron, z)| row[neuron] += y * z);
                }
            }
        }
        let energy: f32 = values.iter().map(|x| x * x).sum();
        let deviation = (self.noise * energy / values.len() as f32).sqrt();
        values.iter_mut().for_each(|x| *x += deviation * normal(&mut rng));
        values
    }

    fn source(&self) -> HostActivations {
        HostActivations::from_f32(self.values(), self.tokens as u64, self.neurons as u64).expect("activations")
    }
}

fn fit(rank: u32) -> SemiNmf {
    SemiNmf::new(rank).solver(Solver::Hals).penalty(0.05).sparsity(SPARSITY).max_iterations(40)
}

fn line(point: &SweepPoint) -> String {
    format!(
        "K {:>4}  error {:.4}  held out {:.4}  stability {:.3}  reproducible {:.1}  duplicates {:.1}  active {:.1}  {:.1} s",
        point.rank,
        point.relative_error(),
        point.held_out_error().unwrap_or(f64::NAN),
        point.stability().unwrap_or(f64::NAN),
        point.reproducible().unwrap_or(f64::NAN),
        point.duplicate_features,
        point.active_features,
        point.seconds,
    )
}

#[test]
#[ignore = "research"]
fn record() {
    let wanted: Vec<usize> =
        std::env::var("FEATURES").unwrap_or("20,60,150".into()).split(',').map(|n| n.parse().unwrap()).collect();
    let seed: u64 = std::env::var("SEED").unwrap_or("1".into()).parse().unwrap();
    let engine = CpuEngine::new();
    let mut good = (0, 0);
    for &features in &wanted {
        for noise in [0.25, 1.0, 3.0] {
            let neurons = (4 * features).max(256);
            let planted = Planted { features, tokens: (30 * features).max(2000), neurons, noise, seed };
            let data = SweepData::new(&engine, Arc::new(planted.source()), None);
            let sweep =
                Sweep::new(fit(1), neurons as u32).ranks(default_ranks(planted.tokens as u64, neurons as u64)).seeds(4);
            let mut points = sweep.run(&data).expect("points");
            let found = recommend(&points).expect("points");
            points.sort_by_key(|point| point.rank);
            let is_good = (f64::from(found.rank) / features as f64 - 1.0).abs() <= 0.15;
            good = (good.0 + usize::from(is_good), good.1 + 1);
            println!(
                "{features} features, noise {noise}, {} × {neurons}: {} {is_good}: {}",
                planted.tokens, found.rank, found.reason
            );
            points.iter().for_each(|point| println!("    {}", line(point)));
        }
    }
    println!("{} of {}", good.0, good.1);
}

#[test]
fn the_held_out_error_falls_to_the_number_of_features_and_rises_after_it() {
    let planted = Planted { features: 12, tokens: 900, neurons: 160, noise: 1.0, seed: 3 };
    let test = Planted { seed: 3, ..planted };
    let engine = CpuEngine::new();
    let values = test.values();
    let half = values.len() / 2;
    let source = |values: &[f32]| HostActivations::from_f32(values.to_vec(), 450, 160).expect("activations");
    let (training, held_out) = (source(&values[..half]), source(&values[half..]));
    let training = engine.load(&training).expect("loaded");
    let error = |rank: u32| {
        let fits = (0..3).map(|seed| fit(rank).seed(seed).fit(&engine, &training).expect("fitted"));
        fits.map(|fit| held_out_error(&engine, &held_out, &fit.features, 0).expect("encoded")).sum::<f64>() / 3.0
    };
    let errors = [4, 8, 12, 24, 48].map(error);
    assert!(errors[0] > errors[1] && errors[1] > errors[2], "{errors:?}");
    assert!(errors[2] < errors[3] && errors[3] < errors[4], "{errors:?}");
}
