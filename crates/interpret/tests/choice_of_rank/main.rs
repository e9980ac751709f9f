//! The choice of the number of features, on activations with a known number of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use unmix::{
    ActivationSource, CpuEngine, DenseMatrix, ElementType, Engine, HostActivations, Placement, SemiNmf, Solver,
    StreamOptions,
};
use unmix_interpret::held_out_error;
use unmix_interpret::sweep::{Sweep, SweepData, SweepPoint, recommend};

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

/// The held-out error and the stability of each rank, for the message of a failure.
fn told(points: &[SweepPoint]) -> String {
    let mut points: Vec<&SweepPoint> = points.iter().collect();
    points.sort_by_key(|point| point.rank);
    let line = |point: &&SweepPoint| {
        let [held_out, stability, back] =
            [point.held_out_error(), point.stability(), point.reproducible()].map(|figure| figure.unwrap_or(f64::NAN));
        format!("K = {}: held out {held_out:.4}, stability {stability:.3}, {back:.1} come back\n", point.rank)
    };
    points.iter().map(line).collect()
}

/// Sweeps over the planted activations, and gives the recommended number of features.
fn recommended(planted: &Planted, ranks: &[u32], seeds: u32) -> (u32, Vec<SweepPoint>) {
    let engine = CpuEngine::new();
    let data = SweepData::new(&engine, Arc::new(planted.source()), None);
    let sweep = Sweep::new(fit(1), planted.neurons as u32).ranks(ranks.iter().copied()).seeds(seeds).folds(3);
    let points = sweep.run(&data).expect("points");
    (recommend(&points).expect("points").rank, points)
}

fn is_close(rank: u32, features: usize) -> bool {
    (f64::from(rank) / features as f64 - 1.0).abs() <= 0.15
}

#[test]
fn the_planted_number_of_features_is_recommended_whatever_the_noise() {
    for (features, noise, seed) in [(12, 0.25, 1), (12, 3.0, 2), (30, 1.0, 3)] {
        let planted = Planted { features, tokens: 1200, neurons: 200, noise, seed };
        let (rank, points) = recommended(&planted, &[5, 10, 20, 40, 80], 3);
        assert!(is_close(rank, features), "{rank} for {features} with noise {noise}\n{}", told(&points));
    }
}

/// Counts the rows that are read.
struct Counted {
    inner: HostActivations,
    rows: AtomicU64,
}

impl ActivationSource for Counted {
    fn tokens(&self) -> u64 {
        self.inner.tokens()
    }

    fn neurons(&self) -> u64 {
        self.inner.neurons()
    }

    fn element(&self) -> ElementType {
        self.inner.element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.rows.fetch_add(rows.end - rows.start, Ordering::Relaxed);
        self.inner.read_rows(rows, out)
    }
}

/// The points of a sweep over streamed activations with so many seeds at once, without their times, and the rows that were read.
fn streamed(planted: &Planted, seeds: u32, at_once: usize) -> (Vec<SweepPoint>, u64) {
    let engine = CpuEngine::new().panel_bytes(100 * 4 * planted.neurons as u64);
    let source = Arc::new(Counted { inner: planted.source(), rows: AtomicU64::new(0) });
    let placement = Placement::Streamed { options: StreamOptions::default(), copies_samples: true };
    let data = SweepData::new(&engine, source.clone(), None).placement(placement).at_once(at_once);
    let fit = fit(1).max_iterations(6).tolerance(0.0);
    let sweep = Sweep::new(fit, planted.neurons as u32).ranks([5, 9]).seeds(seeds).folds(0);
    let mut points = sweep.run(&data).expect("points");
    points.iter_mut().for_each(|point| point.seconds = 0.0);
    (points, source.rows.load(Ordering::Relaxed))
}

#[test]
fn the_seeds_of_a_point_share_one_reading_of_the_activations_and_find_what_they_find_alone() {
    let planted = Planted { features: 8, tokens: 1000, neurons: 60, noise: 0.5, seed: 4 };
    let (alone, apart) = streamed(&planted, 3, 1);
    let (together, shared) = streamed(&planted, 3, usize::MAX);
    let (pairs, halved) = streamed(&planted, 3, 2);
    assert_eq!(together, alone);
    assert_eq!(pairs, alone);
    assert!(2 * shared < apart && shared < halved && halved < apart, "{shared} {halved} {apart} rows");
}

/// The record of the choice of rank: `UNMIX_PLANTED=20,60,150 UNMIX_PLANTED_SEED=1 cargo test --release --workspace --test
/// choice_of_rank -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes; it prints the record of the choice of rank"]
fn record_of_the_choice_of_rank() {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let seed: u64 = variable("UNMIX_PLANTED_SEED", "1").parse().expect("a number");
    let mut close = (0, 0);
    for features in variable("UNMIX_PLANTED", "20,60,150").split(',').map(|n| n.parse::<usize>().expect("a number")) {
        for noise in [0.25, 1.0, 3.0] {
            let neurons = (4 * features).max(256);
            let planted = Planted { features, tokens: (25 * features).max(2000), neurons, noise, seed };
            let ranks = [25, 50, 100, 200, 400].map(|rank| rank.min(neurons as u32 / 2));
            let (rank, points) = recommended(&planted, &ranks, 4);
            close = (close.0 + u32::from(is_close(rank, features)), close.1 + 1);
            println!(
                "{features} features, noise {noise}, {} tokens × {neurons} neurons: {rank}\n{}",
                planted.tokens,
                told(&points)
            );
        }
    }
    println!("{} of {} within 15%", close.0, close.1);
    assert!(9 * close.0 >= 8 * close.1, "{} of {}", close.0, close.1);
}

#[test]
fn the_held_out_error_falls_to_the_number_of_features_and_rises_after_it() {
    let planted = Planted { features: 12, tokens: 900, neurons: 160, noise: 1.0, seed: 3 };
    let engine = CpuEngine::new();
    let values = planted.values();
    let (training, held_out) = values.split_at(values.len() / 2);
    let source = |values: &[f32]| HostActivations::from_f32(values.to_vec(), 450, 160).expect("activations");
    let (training, held_out) = (engine.load(&source(training)).expect("loaded"), source(held_out));
    let error = |rank: u32| {
        let fits = (0..3).map(|seed| fit(rank).seed(seed).fit(&engine, &training).expect("fitted"));
        fits.map(|fit| held_out_error(&engine, &held_out, &fit.features, 0).expect("encoded")).sum::<f64>() / 3.0
    };
    let errors = [4, 8, 12, 24, 48].map(error);
    assert!(errors[0] > errors[1] && errors[1] > errors[2], "{errors:?}");
    assert!(errors[2] < errors[3] && errors[3] < errors[4] && errors[4] < 1.0, "{errors:?}");
}

#[test]
fn the_held_out_error_is_from_0_to_1_and_says_what_it_cannot_do() {
    let planted = Planted { features: 3, tokens: 40, neurons: 20, noise: 0.5, seed: 4 };
    let (engine, source) = (CpuEngine::new(), planted.source());
    let error = |features: &DenseMatrix| held_out_error(&engine, &source, features, 0);
    let features = |columns: usize, values: Vec<f32>| DenseMatrix { rows: values.len() / columns, columns, values };
    assert_eq!(error(&features(20, vec![0.0; 40])).expect("features of zeros explain nothing"), 1.0);
    let zeros = HostActivations::from_f32(vec![0.0; 60], 3, 20).expect("activations");
    assert_eq!(held_out_error(&engine, &zeros, &features(20, vec![1.0; 20]), 0).expect("nothing to explain"), 0.0);
    assert!(error(&features(10, vec![1.0; 20])).expect_err("refused").to_string().contains("20 neurons"));
    assert!(error(&features(20, vec![f32::NAN; 20])).expect_err("refused").to_string().contains("finite"));
    let narrow = HostActivations::from_f32(vec![1.0; 5], 5, 1).expect("activations");
    let refused = held_out_error(&engine, &narrow, &features(1, vec![1.0]), 0).expect_err("refused");
    assert!(refused.to_string().contains("at least 2 are needed"), "{refused}");
}
