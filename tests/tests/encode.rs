//! Encoding: coefficients of tokens for features that stay as they are, on every engine.

use unmix::{CpuEngine, DenseMatrix, ElementType, Encoder, Engine, Error, SemiNmf};
use unmix_data::RowRange;
use unmix_tests::{Dense, engines, gpu_engines, oracle, planted, relative_difference};

/// Nonnegative least squares of each token by coordinate descent in f64, until nothing moves.
fn encode(x: &Dense, z: &Dense, alpha: f64) -> Dense {
    let (p, q) = (oracle::product(x, &z.transposed()), oracle::product(z, &z.transposed()));
    let mut y = Dense::from_fn(x.rows, z.rows, |_, _| 0.0);
    for i in 0..x.rows {
        let norm = (0..x.columns).map(|j| x.at(i, j).powi(2)).sum::<f64>().sqrt();
        for _ in 0..20_000 {
            for k in (0..z.rows).filter(|&k| q.at(k, k) > 0.0) {
                let fitted: f64 = (0..z.rows).map(|l| y.at(i, l) * q.at(l, k)).sum();
                let gradient = p.at(i, k) - alpha * norm * q.at(k, k).sqrt() - fitted;
                let at = i * z.rows + k;
                y.values[at] = (y.values[at] + gradient / q.at(k, k)).max(0.0);
            }
        }
    }
    y
}

fn features(z: &Dense) -> DenseMatrix {
    DenseMatrix { rows: z.rows, columns: z.columns, values: z.to_f32() }
}

#[test]
fn coefficients_and_residuals_are_those_of_nonnegative_least_squares() {
    for (alpha, sparse) in [(0.0, false), (0.0, true), (0.05, true)] {
        let x = Dense::random(3, 67, 41, ElementType::F16);
        let mut z = Dense::random(4, 7, 41, ElementType::F32);
        if sparse {
            z = oracle::winner_take_all(&z, 5);
        }
        // The scale of the features must not matter: the third feature is large, and the fifth is zero.
        (0..41).for_each(|j| z.values[2 * 41 + j] *= 300.0);
        (0..41).for_each(|j| z.values[4 * 41 + j] = 0.0);
        let wanted = encode(&x, &z, alpha);
        let fitted = oracle::product(&wanted, &z);
        for engine in engines() {
            let activations = engine.load(&x.to_activations(ElementType::F16)).expect("loaded");
            let encoder = Encoder::new(features(&z)).penalty(alpha).tolerance(1e-7);
            let encoding = encoder.encode(engine.as_ref(), &activations).expect("encoded");
            let scale = |k: usize| (0..41).map(|j| z.at(k, j).powi(2)).sum::<f64>().sqrt();
            for (at, (&got, &wanted)) in encoding.coefficients.values.iter().zip(&wanted.values).enumerate() {
                let difference = (f64::from(got) - wanted).abs() * scale(at % 7);
                assert!(difference < 1e-4, "{engine:?}, {alpha}: {got} for {wanted} at {at}");
            }
            for i in 0..67 {
                let residual: f64 = (0..41).map(|j| (x.at(i, j) - fitted.at(i, j)).powi(2)).sum();
                let norm: f64 = (0..41).map(|j| x.at(i, j).powi(2)).sum();
                assert!((encoding.squared_residuals[i] - residual).abs() < 1e-5 * norm, "token {i}");
                assert!((encoding.squared_norms[i] - norm).abs() < 1e-5 * norm, "token {i}");
            }
            let error = oracle::loss(&x, &wanted, &z) / oracle::inner(&x, &x);
            assert!((encoding.relative_error() - error).abs() < 1e-5);
        }
    }
}

#[test]
fn the_tokens_of_a_fit_are_encoded_as_well_as_the_fit_did() {
    let x = Dense::random(9, 150, 33, ElementType::F32);
    for engine in engines() {
        let activations = engine.load(&x.to_activations(ElementType::F32)).expect("loaded");
        let fit = SemiNmf::new(6).sparsity(0.3).fit(engine.as_ref(), &activations).expect("fitted");
        let encoding = Encoder::new(fit.features).encode(engine.as_ref(), &activations).expect("encoded");
        let gain = fit.summary.relative_error - encoding.relative_error();
        assert!((-1e-6..0.05).contains(&gain), "{engine:?}: {gain}");
        assert!(encoding.largest_change <= 1e-5 && encoding.sweeps < 1000);
    }
}

#[test]
fn the_penalty_chooses_the_features_of_a_token_and_least_squares_their_coefficients() {
    let (x, z) = (Dense::random(11, 90, 33, ElementType::F32), Dense::random(12, 8, 33, ElementType::F32));
    let q = oracle::product(&z, &z.transposed());
    for engine in engines() {
        let activations = engine.load(&x.to_activations(ElementType::F32)).expect("loaded");
        let encoder = Encoder::new(features(&z)).penalty(0.08).unshrink(true).tolerance(1e-7);
        let chosen = encoder.clone().unshrink(false).encode(engine.as_ref(), &activations).expect("encoded");
        let found = encoder.encode(engine.as_ref(), &activations).expect("encoded");
        assert!(found.relative_error() < chosen.relative_error(), "{engine:?}");
        let y = Dense { rows: 90, columns: 8, values: found.coefficients.values.iter().map(|&y| y.into()).collect() };
        let (p, yq) = (oracle::product(&x, &z.transposed()), oracle::product(&y, &q));
        for (at, (&chosen, &found)) in chosen.coefficients.values.iter().zip(&found.coefficients.values).enumerate() {
            assert!(found >= 0.0 && (chosen > 0.0 || found == 0.0), "{engine:?}: {chosen} to {found} at {at}");
            let slope = p.values[at] - yq.values[at];
            assert!(found == 0.0 || slope.abs() < 1e-3, "{engine:?}: {found} with slope {slope} at {at}");
        }
    }
}

#[test]
fn the_tokens_of_an_unshrunk_fit_are_encoded_to_its_coefficients() {
    let x = planted(13, 300, 40, 6, ElementType::F32);
    for engine in engines() {
        let activations = engine.load(&x.to_activations(ElementType::F32)).expect("loaded");
        let fit = SemiNmf::new(6).sparsity(0.3).unshrink(true).fit(engine.as_ref(), &activations).expect("fitted");
        let encoder = Encoder::new(fit.features).penalty(fit.summary.options.penalty).unshrink(true);
        let encoding = encoder.encode(engine.as_ref(), &activations).expect("encoded");
        let pairs = fit.coefficients.values.iter().zip(&encoding.coefficients.values);
        let same = pairs.filter(|(a, b)| (**a - **b).abs() <= 0.01 * a.max(1.0)).count();
        assert!(same as f64 > 0.98 * fit.coefficients.values.len() as f64, "{engine:?}: {same}");
    }
}

#[test]
fn tokens_encoded_in_portions_are_those_encoded_at_once() {
    let (x, z) = (Dense::random(5, 53, 29, ElementType::F16), Dense::random(6, 4, 29, ElementType::F32));
    for engine in engines() {
        let all = x.to_activations(ElementType::F16);
        let encode = |rows: std::ops::Range<u64>| {
            let portion = engine.load(&RowRange::new(all.clone(), rows)).expect("loaded");
            Encoder::new(features(&z)).encode(engine.as_ref(), &portion).expect("encoded")
        };
        let whole = encode(0..53);
        let mut parts = encode(0..20);
        parts.append(encode(20..21)).expect("of one encoder");
        parts.append(encode(21..53)).expect("of one encoder");
        assert_eq!((parts.coefficients.rows, parts.squared_norms.len()), (53, 53));
        let pairs = parts.coefficients.values.iter().zip(&whole.coefficients.values);
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b)), "{engine:?}");
        assert!((parts.relative_error() - whole.relative_error()).abs() < 1e-6, "{engine:?}");
    }
}

#[test]
fn any_scale_of_the_activations_and_any_single_token_can_be_encoded() {
    for engine in engines() {
        for scale in [1e-20f32, 1.0, 1e20] {
            let values = vec![3.0 * scale, -4.0 * scale, 0.0];
            let one = unmix::HostActivations::from_f32(values, 1, 3).expect("activations");
            let activations = engine.load(&one).expect("loaded");
            let z = DenseMatrix { rows: 2, columns: 3, values: vec![1.0, 0.0, 0.0, 0.0, -2.0, 0.0] };
            let encoding = Encoder::new(z).encode(engine.as_ref(), &activations).expect("encoded");
            let y = &encoding.coefficients.values;
            assert!(
                (y[0] / scale - 3.0).abs() < 1e-5 && (y[1] / scale - 2.0).abs() < 1e-5,
                "{engine:?} {scale}: {y:?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    let engine = CpuEngine::new();
    let x = Dense::random(1, 5, 3, ElementType::F32);
    let activations = engine.load(&x.to_activations(ElementType::F32)).expect("loaded");
    let encode = |rows: usize, columns: usize, value: f32, alpha: f64| {
        let z = DenseMatrix { rows, columns, values: vec![value; rows * columns] };
        Encoder::new(z).penalty(alpha).encode(&engine, &activations)
    };
    for (result, words) in [
        (encode(2, 4, 1.0, 0.0), "over the activations' 3 neurons"),
        (encode(0, 3, 1.0, 0.0), "at least one feature"),
        (encode(2, 3, f32::NAN, 0.0), "NaN in feature 0, neuron 0"),
        (encode(2, 3, 1.0, -1.0), "from 0 to 3.4e38"),
        (encode(2, 3, 1.0, 1e39), "from 0 to 3.4e38"),
    ] {
        let error = result.expect_err("refused");
        assert!(matches!(error, Error::Option { .. }) && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn many_features_have_the_same_coefficients_on_every_engine() {
    let (n, d, k) = (40, 2_100, 2_048);
    let z = oracle::winner_take_all(&Dense::random(20, k, d, ElementType::F32), 21);
    let x = Dense::random(21, n, d, ElementType::F16).to_activations(ElementType::F16);
    // Eight sweeps, which are the same numbers everywhere but for rounding.
    let encoder = Encoder::new(features(&z)).penalty(0.01).max_sweeps(8);
    let cpu = CpuEngine::new();
    let wanted = encoder.encode(&cpu, &cpu.load(&x).expect("loaded")).expect("encoded");
    let engine = &gpu_engines()[0];
    let found = encoder.encode(engine, &engine.load(&x).expect("loaded")).expect("encoded");
    let exact: Vec<f64> = wanted.coefficients.values.iter().map(|&y| y.into()).collect();
    assert!(wanted.coefficients.values.iter().filter(|y| **y > 0.0).count() > n * k / 20);
    assert!(relative_difference(&found.coefficients.values, &exact) < 1e-4);
    assert!((found.relative_error() - wanted.relative_error()).abs() < 1e-6);
}
