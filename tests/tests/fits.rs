//! Whole fits: invariants, agreement of the engines, reproducibility, and what the options promise.

use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use unmix::{
    ActivationSource, Batch, CpuEngine, DenseMatrix, ElementType, Engine, EngineKind, Error, Factorization, Init,
    SemiNmf, Solver, Stage, StopReason, StreamOptions,
};
use unmix_tests::{Dense, assert_same, engines, every_engine, gpu_engines, oracle, planted};

fn fit(engine: &dyn Engine, x: &Dense, element: ElementType, settings: &SemiNmf) -> Factorization {
    settings.fit(engine, &engine.load(&x.to_activations(element)).unwrap()).unwrap()
}

fn dense(m: &DenseMatrix) -> Dense {
    Dense { rows: m.rows, columns: m.columns, values: m.values.iter().map(|&v| v.into()).collect() }
}

/// Checks what holds for every fit.
fn check_invariants(x: &Dense, fit: &Factorization) {
    let summary = &fit.summary;
    assert!(fit.coefficients.values.iter().all(|y| y.is_finite() && *y >= 0.0), "coefficients are at least 0");
    assert!(fit.features.values.iter().all(|z| z.is_finite()));
    let kept = summary.kept_per_feature as usize;
    for k in 0..fit.features.rows {
        assert!(fit.features.row(k).iter().filter(|z| **z != 0.0).count() <= kept, "at most m neurons a feature");
    }
    let energy = oracle::inner(x, x);
    if energy > 0.0 {
        let wanted = oracle::loss(x, &dense(&fit.coefficients), &dense(&fit.features)) / energy;
        let off = (summary.relative_error - wanted).abs();
        // The Gram identity adds up ⟨y_k, y_l⟩⟨z_k, z_l⟩. If features cancel one another, f32 rounds these terms
        // relative to their own size, which is larger than what is left of them.
        let shares: f64 = summary.feature_statistics.iter().map(|s| s.energy_share.sqrt()).sum();
        assert!(
            off < 5e-7 * (1.0 + shares * shares),
            "relative error {} where the residual says {wanted}",
            summary.relative_error
        );
    }
    assert_eq!(summary.loss_curve.len(), summary.iterations as usize);
    assert_eq!(summary.seconds_curve.len(), summary.loss_curve.len());
    let moments = [&[0.0, summary.start_seconds][..], &summary.seconds_curve, &[summary.seconds]].concat();
    assert!(moments.is_sorted() && summary.start_seconds > 0.0, "{moments:?}");
    assert!(summary.loss_curve.iter().all(|loss| loss.is_finite() && *loss >= 0.0));
    assert_eq!(summary.feature_statistics.len(), fit.features.rows);
}

#[test]
fn every_solver_and_start_keeps_the_invariants_on_every_engine() {
    let x = planted(1, 203, 61, 7, ElementType::F16);
    for engine in engines() {
        for solver in Solver::ALL {
            for init in [Init::Kmeans, Init::Random, Init::Svd] {
                let settings =
                    SemiNmf::new(9).sparsity(0.2).solver(solver).init(init).max_iterations(12).tolerance(0.0);
                let fit = fit(engine.as_ref(), &x, ElementType::F16, &settings);
                check_invariants(&x, &fit);
                assert_eq!(fit.summary.kept_per_feature, 13, "m = ceil(0.2 * 61)");
                let worst = if solver == Solver::Paper { 0.9 } else { 0.5 };
                assert!(fit.summary.relative_error < worst, "{solver:?} {init:?}: {}", fit.summary.relative_error);
            }
        }
    }
}

#[test]
fn engines_agree_on_a_whole_fit() {
    let x = planted(2, 300, 100, 8, ElementType::F16);
    let start = Dense::random_coefficients(3, 300, 8);
    let start = DenseMatrix { rows: 300, columns: 8, values: start.to_f32() };
    for solver in Solver::ALL {
        let settings = SemiNmf::new(8)
            .sparsity(0.1)
            .solver(solver)
            .init_coefficients(start.clone())
            .max_iterations(15)
            .tolerance(0.0);
        let errors: Vec<f64> = every_engine()
            .iter()
            .map(|e| fit(e.as_ref(), &x, ElementType::F16, &settings).summary.relative_error)
            .collect();
        for error in &errors {
            assert!((error - errors[0]).abs() <= 1e-3 * errors[0], "{solver:?}: {errors:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let x = planted(4, 150, 40, 5, ElementType::Bf16);
    for engine in engines() {
        for init in [Init::Kmeans, Init::Random, Init::Svd] {
            let settings = SemiNmf::new(5).sparsity(0.2).init(init).seed(7).max_iterations(8);
            let (a, b) = (
                fit(engine.as_ref(), &x, ElementType::Bf16, &settings),
                fit(engine.as_ref(), &x, ElementType::Bf16, &settings),
            );
            assert_eq!(a.features, b.features, "{init:?} on {}", engine.adapter());
            assert_eq!(a.coefficients, b.coefficients);
            assert_eq!(a.summary.loss_curve, b.summary.loss_curve);
        }
    }
}

#[test]
fn another_seed_gives_another_start() {
    let x = planted(4, 150, 40, 5, ElementType::F32);
    let engine = CpuEngine::new();
    let curve = |seed| {
        fit(&engine, &x, ElementType::F32, &SemiNmf::new(5).sparsity(0.2).seed(seed).max_iterations(3))
            .summary
            .loss_curve
    };
    assert_ne!(curve(1), curve(2));
}

#[test]
fn hals_objective_never_rises_and_its_features_have_unit_norm() {
    for engine in engines() {
        for (seed, alpha) in [(5, 0.02), (6, 0.0), (7, 0.1)] {
            let x = planted(seed, 260, 70, 9, ElementType::F32);
            let settings = SemiNmf::new(12)
                .sparsity(0.1)
                .solver(Solver::Hals)
                .penalty(alpha)
                .init(Init::Random)
                .max_iterations(25)
                .tolerance(0.0)
                .keep_best(false);
            let fit = fit(engine.as_ref(), &x, ElementType::F32, &settings);
            assert_eq!(fit.summary.objective_curve.len(), 25);
            for pair in fit.summary.objective_curve.windows(2) {
                // Rounding of an f32 sum is allowed, but a real rise is not.
                assert!(pair[1] <= pair[0] * (1.0 + 2e-6), "alpha {alpha}: {} to {}", pair[0], pair[1]);
            }
            for k in 0..fit.features.rows {
                let norm: f64 = fit.features.row(k).iter().map(|z| f64::from(*z).powi(2)).sum::<f64>().sqrt();
                // Activations of about 1 are not scaled.
                assert!((norm - 1.0).abs() < 1e-3, "unit norm: {norm}");
            }
        }
    }
}

/// Tokens whose directions lie on a small sphere around one direction that all of them have in common.
fn cap(seed: u64, tokens: usize, neurons: usize) -> Dense {
    let noise = Dense::random(seed, tokens, neurons, ElementType::F32);
    let around = Dense::random(seed + 1, tokens, 3, ElementType::F32);
    let (sine, cosine) = 25f64.to_radians().sin_cos();
    let length = |i: usize| (0..3).map(|axis| around.at(i, axis).powi(2)).sum::<f64>().sqrt();
    let direction = |i: usize, axis: usize| match axis {
        0 => cosine,
        1..=3 => sine * around.at(i, axis - 1) / length(i),
        _ => 0.0,
    };
    let x = Dense::from_fn(tokens, neurons, |i, j| {
        (1.0 + (i % 7) as f64 / 7.0) * (direction(i, j / 4) / 2.0 + 0.003 * noise.at(i, j))
    });
    Dense::from_fn(tokens, neurons, |i, j| f64::from(x.at(i, j) as f32))
}

#[test]
fn few_features_of_hals_are_near_copies_where_all_tokens_are_alike() {
    let x = cap(11, 400, 40);
    for engine in engines() {
        let near_copies = |seed| {
            let fit = fit(engine.as_ref(), &x, ElementType::F32, &SemiNmf::new(14).sparsity(1.0).seed(seed));
            assert!(fit.summary.relative_error < 0.01, "{}", fit.summary.relative_error);
            let z = dense(&fit.features);
            let gram = oracle::product(&z, &z.transposed());
            let cosine = |a, b| gram.at(a, b) / (gram.at(a, a) * gram.at(b, b)).sqrt();
            (0..z.rows).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|&(a, b)| cosine(a, b) > 0.9).count()
        };
        // Without the push there are 11 to 16 in each fit.
        let found: Vec<usize> = [0, 1, 2].map(near_copies).into();
        assert!(found.iter().sum::<usize>() <= 18, "{found:?} on {}", engine.adapter());
    }
}

#[test]
fn a_fit_over_several_panels_keeps_the_invariants_and_the_engines_agree() {
    let x = planted(8, 5000, 1100, 4, ElementType::F32);
    let start = DenseMatrix { rows: 5000, columns: 4, values: Dense::random_coefficients(9, 5000, 4).to_f32() };
    let settings = SemiNmf::new(4).sparsity(0.1).init_coefficients(start).max_iterations(4).tolerance(0.0);
    let mut errors = Vec::new();
    for engine in every_engine() {
        let resident = engine.load(&x.to_activations(ElementType::F32)).unwrap();
        if engine.kind() == EngineKind::Cpu || engine.adapter().contains("llvmpipe") {
            assert!(resident.layout().panels() > 1, "{}: {:?}", engine.adapter(), resident.layout());
        }
        let fit = settings.fit(engine.as_ref(), &resident).unwrap();
        check_invariants(&x, &fit);
        errors.push(fit.summary.relative_error);
    }
    assert!(errors.iter().all(|e| (e - errors[0]).abs() < 1e-5), "{errors:?}");
}

#[test]
fn a_gpu_sums_tall_activations_to_the_last_token() {
    // More tokens than some compilers let a loop have iterations, and than there may be workgroups.
    let x = Dense::random(80, 200_000, 8, ElementType::F32);
    let settings = SemiNmf::new(4).sparsity(0.5).init(Init::Random).max_iterations(1);
    let engine = &gpu_engines()[0];
    check_invariants(&x, &fit(engine, &x, ElementType::F32, &settings));
}

#[test]
fn panels_that_a_gpu_visits_in_parts_give_the_same_fit() {
    let x = planted(81, 613, 130, 6, ElementType::F16);
    for engine in gpu_engines() {
        let parts = engine.clone().dispatch_flops(1);
        for solver in Solver::ALL {
            let settings = SemiNmf::new(6).sparsity(0.2).solver(solver).max_iterations(5).tolerance(0.0);
            let [whole, cut] = [&engine, &parts].map(|engine| fit(engine, &x, ElementType::F16, &settings));
            check_invariants(&x, &cut);
            let (one, other) = (whole.summary.relative_error, cut.summary.relative_error);
            assert!((one - other).abs() < 1e-4, "{one} and {other} with {}", solver.name());
            // Streamed activations are visited in the same parts.
            let source: Arc<dyn ActivationSource + Send> = Arc::new(x.to_activations(ElementType::F16));
            let streamed = parts.stream(source, &StreamOptions { slots: 2 }).unwrap();
            let streamed = settings.clone().copy_samples(true).fit(&parts, &streamed).unwrap();
            assert_same(solver.name(), &cut, &streamed);
        }
        // Of fits in a batch, some may visit a panel as a whole and others in parts.
        let limited = engine.dispatch_flops(20_000_000);
        let fits = [2, 40].map(|rank| SemiNmf::new(rank).sparsity(0.2).max_iterations(4).tolerance(0.0));
        let activations = limited.load(&x.to_activations(ElementType::F16)).unwrap();
        let together = Batch::new(fits.to_vec()).fit(&limited, &activations).unwrap();
        for (settings, together) in fits.iter().zip(&together) {
            assert_same("a fit of a batch", &settings.fit(&limited, &activations).unwrap(), together);
        }
    }
}

#[test]
fn the_best_iterate_is_kept() {
    let x = planted(9, 200, 50, 6, ElementType::F32);
    for engine in engines() {
        // The published iteration rises after its minimum.
        let settings = SemiNmf::new(6)
            .sparsity(0.1)
            .solver(Solver::Paper)
            .init(Init::Random)
            .max_iterations(60)
            .tolerance(1e-12)
            .patience(60);
        let fit = fit(engine.as_ref(), &x, ElementType::F32, &settings);
        let least = fit.summary.loss_curve.iter().copied().fold(f64::INFINITY, f64::min) / fit.summary.squared_norm;
        assert!((fit.summary.relative_error - least).abs() < 1e-5, "{} for {least}", fit.summary.relative_error);
        check_invariants(&x, &fit);
    }
}

#[test]
fn coefficients_of_the_best_features_are_found_again() {
    let mut found_again = 0;
    for seed in 30..36 {
        let x = planted(seed, 400, 60, 8, ElementType::F32);
        for engine in engines() {
            let settings = SemiNmf::new(10).solver(Solver::ProjectedLs).sparsity(0.1).max_iterations(25).tolerance(0.0);
            let fit = fit(engine.as_ref(), &x, ElementType::F32, &settings);
            let summary = &fit.summary;
            let least = summary.loss_curve[summary.best_iteration as usize - 1] / summary.squared_norm;
            let found = summary.relative_error;
            assert!(found <= least + 1e-6, "{found} for {least} of iteration {}", summary.best_iteration);
            found_again += u32::from(summary.best_iteration < summary.iterations);
            check_invariants(&x, &fit);
        }
    }
    assert!(found_again > 0, "no best iterate before the last one");
}

#[test]
fn tolerance_stops_a_fit_that_has_converged() {
    let x = planted(10, 300, 40, 5, ElementType::F32);
    for engine in engines() {
        let fit = fit(
            engine.as_ref(),
            &x,
            ElementType::F32,
            &SemiNmf::new(5).sparsity(0.2).max_iterations(500).tolerance(1e-3),
        );
        assert_eq!(fit.summary.stop_reason, StopReason::Converged);
        assert!(fit.summary.iterations < 100, "{}", fit.summary.iterations);
    }
}

#[test]
fn a_callback_that_breaks_stops_the_fit_and_keeps_the_result() {
    let x = planted(11, 200, 40, 5, ElementType::F32);
    for engine in engines() {
        for stop_at in [0, 1, 4] {
            let resident = engine.load(&x.to_activations(ElementType::F32)).unwrap();
            let mut seen = Vec::new();
            let fit = SemiNmf::new(5)
                .sparsity(0.2)
                .tolerance(0.0)
                .fit_with(engine.as_ref(), &resident, |p| {
                    let iterates = p.stage == Stage::Iterate;
                    if iterates {
                        seen.push(p.iteration);
                    }
                    if iterates && p.iteration == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
            assert_eq!(fit.summary.stop_reason, StopReason::Interrupted);
            assert_eq!(seen, (0..=stop_at).collect::<Vec<_>>());
            assert!(fit.summary.iterations >= stop_at.max(1) && fit.summary.iterations <= stop_at + 3);
            check_invariants(&x, &fit);
        }
    }
}

#[test]
fn dead_features_are_revived() {
    let x = planted(12, 240, 60, 8, ElementType::F32);
    for engine in engines() {
        for solver in [Solver::ProjectedLs, Solver::Hals] {
            // A start in which three features have no coefficients at all.
            let mut y = Dense::random_coefficients(13, 240, 8);
            (0..240).for_each(|i| y.values[i * 8..i * 8 + 3].fill(0.0));
            let start = DenseMatrix { rows: 240, columns: 8, values: y.to_f32() };
            let settings = SemiNmf::new(8)
                .sparsity(0.15)
                .solver(solver)
                .init_coefficients(start)
                .max_iterations(25)
                .tolerance(0.0);
            let with = fit(engine.as_ref(), &x, ElementType::F32, &settings);
            let without = fit(engine.as_ref(), &x, ElementType::F32, &settings.clone().revive(false));
            let revived: Vec<u32> = with.summary.revived.iter().map(|r| r.1).collect();
            assert!([0, 1, 2].iter().all(|k| revived.contains(k)), "{solver:?}: {:?}", with.summary.revived);
            assert_eq!(with.summary.dead_features, Vec::<u32>::new(), "{solver:?} on {}", engine.adapter());
            assert!(without.summary.revived.is_empty());
            assert!(
                without.summary.dead_features.contains(&0) || solver == Solver::Hals,
                "{:?}",
                without.summary.dead_features
            );
            assert!(with.summary.relative_error < without.summary.relative_error, "{solver:?}");
            check_invariants(&x, &with);
        }
    }
}

#[test]
fn a_warm_up_on_a_sample_is_ahead_of_a_first_pass_over_all_tokens() {
    let x = planted(19, 1500, 60, 12, ElementType::F32);
    for engine in engines() {
        let settings = SemiNmf::new(12).solver(Solver::ProjectedLs).sparsity(0.15).max_iterations(3).tolerance(0.0);
        let with = fit(engine.as_ref(), &x, ElementType::F32, &settings);
        let without = fit(engine.as_ref(), &x, ElementType::F32, &settings.clone().warm_up(0));
        let (ahead, behind) = (with.summary.loss_curve[0], without.summary.loss_curve[0]);
        assert!(ahead < 0.8 * behind, "on {}: {ahead} for {behind}", engine.adapter());
        check_invariants(&x, &with);
    }
}

/// Tokens that are sums of a few out of many sparse directions, and noise. They form no clusters.
fn sums_of_directions(seed: u64, tokens: usize, neurons: usize, directions: usize) -> Dense {
    const ACTIVE: usize = 12;
    let kept = neurons / 100;
    let z = oracle::winner_take_all(&Dense::random(seed, directions, neurons, ElementType::F32), kept);
    let (choice, weights) = (
        Dense::random(seed + 1, tokens, directions, ElementType::F32),
        Dense::random_coefficients(seed + 2, tokens, directions),
    );
    let noise = Dense::random(seed + 3, tokens, neurons, ElementType::F32);
    let y = oracle::winner_take_all(&choice, ACTIVE);
    let y = Dense::from_fn(tokens, directions, |i, j| if y.at(i, j) == 0.0 { 0.0 } else { 0.2 + weights.at(i, j) });
    let clean = oracle::product(&y, &z);
    Dense::from_fn(tokens, neurons, |i, j| f64::from((clean.at(i, j) + 0.1 * noise.at(i, j)) as f32))
}

#[test]
fn features_of_tokens_that_form_no_clusters_are_better_than_the_published_iterations() {
    let settings = SemiNmf::new(20).solver(Solver::ProjectedLs).sparsity(0.01).tolerance(0.0);
    let engine = CpuEngine::new();
    let published = settings.clone().solver(Solver::Paper).init(Init::Random).max_iterations(100);
    let [ours, published] = [settings.max_iterations(15), published].map(|settings| {
        let errors = [100, 200, 300, 400, 500, 600].map(|seed| {
            let x = sums_of_directions(seed, 1500, 800, 80);
            fit(&engine, &x, ElementType::F32, &settings).summary.relative_error
        });
        errors.iter().sum::<f64>() / 6.0
    });
    assert!(ours < published, "{ours} for {published}");
}

#[test]
fn debias_lowers_the_error_and_keeps_supports_and_coefficients() {
    let x = planted(14, 250, 60, 6, ElementType::F32);
    let engine = CpuEngine::new();
    let settings = SemiNmf::new(6).sparsity(0.1).max_iterations(10).tolerance(0.0);
    let plain = fit(&engine, &x, ElementType::F32, &settings);
    let debiased = fit(&engine, &x, ElementType::F32, &settings.clone().debias(true));
    assert!(debiased.summary.relative_error <= plain.summary.relative_error);
    assert_eq!(plain.coefficients, debiased.coefficients);
    let support = |f: &Factorization| f.features.values.iter().map(|z| *z != 0.0).collect::<Vec<_>>();
    assert_eq!(support(&plain), support(&debiased));
    check_invariants(&x, &debiased);
}

#[test]
fn undoing_the_shrinkage_lowers_the_error_and_keeps_features_and_zeros() {
    let x = planted(16, 260, 70, 9, ElementType::F32);
    let settings = SemiNmf::new(12).sparsity(0.1).penalty(0.1).warm_up(0).max_iterations(8).tolerance(0.0);
    for engine in engines() {
        let shrunk = fit(engine.as_ref(), &x, ElementType::F32, &settings);
        let fit = fit(engine.as_ref(), &x, ElementType::F32, &settings.clone().unshrink(true));
        assert_eq!(fit.features, shrunk.features, "{}", engine.adapter());
        assert_eq!(fit.summary.objective_curve, shrunk.summary.objective_curve, "{}", engine.adapter());
        assert!(fit.summary.relative_error < shrunk.summary.relative_error - 0.01, "{}", engine.adapter());
        let z = Dense { rows: 12, columns: 70, values: fit.features.values.iter().map(|&z| z.into()).collect() };
        let y = Dense { rows: 260, columns: 12, values: fit.coefficients.values.iter().map(|&y| y.into()).collect() };
        let (p, q) = (oracle::product(&x, &z.transposed()), oracle::product(&z, &z.transposed()));
        let yq = oracle::product(&y, &q);
        let mut active = 0;
        for i in 0..260 {
            let norm = (0..70).map(|j| x.at(i, j).powi(2)).sum::<f64>().sqrt();
            for k in 0..12 {
                let (before, after) = (shrunk.coefficients.row(i)[k], fit.coefficients.row(i)[k]);
                assert!(after >= 0.0 && (before > 0.0 || after == 0.0), "{before} to {after}");
                // A coefficient above zero has its least-squares value, so its derivative vanishes.
                let slope = (p.at(i, k) - yq.at(i, k)) / norm;
                assert!(after == 0.0 || slope.abs() < 1e-4, "{}: {slope} at {i}, {k}", engine.adapter());
                active += usize::from(after > 0.0);
            }
        }
        assert!(active > 260 && active < 260 * 12, "{active}");
        let optimality = fit.summary.optimality.unwrap();
        assert!(optimality.coefficients < 1e-3, "{optimality:?}");
    }
}

#[test]
fn explained_share_is_what_removing_the_feature_costs() {
    let x = planted(15, 180, 50, 5, ElementType::F32);
    let fit = fit(&CpuEngine::new(), &x, ElementType::F32, &SemiNmf::new(5).sparsity(0.2).max_iterations(10));
    let (y, z) = (dense(&fit.coefficients), dense(&fit.features));
    let energy = oracle::inner(&x, &x);
    for k in 0..5 {
        let mut without = z.clone();
        without.values[k * 50..(k + 1) * 50].fill(0.0);
        let cost = (oracle::loss(&x, &y, &without) - oracle::loss(&x, &y, &z)) / energy;
        let told = fit.summary.feature_statistics[k].explained_share;
        assert!((cost - told).abs() < 1e-5, "{told} for {cost}");
    }
}

#[test]
fn the_loss_resolves_a_relative_change_of_one_in_a_million() {
    // Two matrices of activations whose losses differ by about 1e-6. The difference must be visible in spite of f32.
    let x = planted(16, 2000, 96, 6, ElementType::F32);
    for engine in engines() {
        let settings = SemiNmf::new(6).sparsity(0.2).max_iterations(5).tolerance(0.0).keep_best(false);
        let fit = fit(engine.as_ref(), &x, ElementType::F32, &settings);
        let exact = oracle::loss(&x, &dense(&fit.coefficients), &dense(&fit.features));
        let told = *fit.summary.loss_curve.last().unwrap();
        let off = (told - exact).abs() / fit.summary.squared_norm;
        assert!(off < 3e-7, "{}: off by {off:.1e} of the energy", engine.adapter());
    }
}

#[test]
fn impossible_options_are_refused_before_any_work() {
    let x = Dense::random(17, 20, 10, ElementType::F32);
    let engine = CpuEngine::new();
    let resident = engine.load(&x.to_activations(ElementType::F32)).unwrap();
    let refused = |settings: SemiNmf, option: &str| match settings.fit(&engine, &resident) {
        Err(Error::Option { option: named, .. }) => assert_eq!(named, option),
        other => panic!("{option}: {:?}", other.map(|f| f.summary)),
    };
    refused(SemiNmf::new(0), "rank");
    refused(SemiNmf::new(11), "rank");
    refused(SemiNmf::new(2).sparsity(0.0), "sparsity");
    refused(SemiNmf::new(2).sparsity(1.5), "sparsity");
    refused(SemiNmf::new(2).sparsity(f64::NAN), "sparsity");
    refused(SemiNmf::new(2).penalty(-1.0), "penalty");
    refused(SemiNmf::new(2).tolerance(f64::INFINITY), "tolerance");
    refused(SemiNmf::new(2).max_iterations(0), "max_iterations");
    refused(SemiNmf::new(2).patience(0), "patience");
    for share in [-0.1, 1.0, f64::NAN] {
        refused(SemiNmf::new(2).solver(Solver::ProjectedLs).relaxation(share), "relaxation");
    }
    refused(SemiNmf::new(2).init(Init::Given), "init");
    let given = |rows, columns, value| DenseMatrix { rows, columns, values: vec![value; rows * columns] };
    refused(SemiNmf::new(2).init_coefficients(given(19, 2, 1.0)), "init_coefficients");
    refused(SemiNmf::new(2).init_coefficients(given(20, 2, -1.0)), "init_coefficients");
    refused(SemiNmf::new(2).init_coefficients(given(20, 2, f32::NAN)), "init_coefficients");
}

#[test]
fn activations_with_nan_are_refused_on_every_engine() {
    for engine in engines() {
        for element in ElementType::ALL {
            let mut x = Dense::random(18, 90, 30, element);
            x.values[1234] = f64::NAN;
            let resident = engine.load(&x.to_activations(element)).unwrap();
            assert!(matches!(SemiNmf::new(3).fit(engine.as_ref(), &resident), Err(Error::NonFinite)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_keeps_the_invariants(
        (tokens, neurons) in (1usize..120, 1usize..90),
        rank_share in 0.0f64..1.0,
        sparsity in 0.001f64..=1.0,
        seed in 0u64..1000,
        solver in prop::sample::select(Solver::ALL.to_vec()),
        init in prop::sample::select(vec![Init::Kmeans, Init::Random, Init::Svd]),
        element in prop::sample::select(ElementType::ALL.to_vec()),
    ) {
        let rank = 1 + (rank_share * (tokens.min(neurons) - 1) as f64) as u32;
        let x = planted(seed, tokens, neurons, 3, element);
        let settings = SemiNmf::new(rank).sparsity(sparsity).solver(solver).init(init).seed(seed).max_iterations(6);
        check_invariants(&x, &fit(&CpuEngine::new(), &x, element, &settings));
    }
}
