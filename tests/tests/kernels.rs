//! Every kernel against the f64 oracle, on every engine, at sizes that are multiples of nothing.
#![allow(clippy::needless_range_loop, reason = "formulas are written with indices")]

use unmix::{ElementType, Engine, EngineKind, PanelLayout};
use unmix_kernels::*;
use unmix_tests::oracle;
use unmix_tests::{Bench, Dense, Ran, assert_close, engines, on_every_variant, relative_difference};

/// Tokens, neurons, rank, kept.
const SIZES: [(usize, usize, usize, usize); 6] =
    [(1, 1, 1, 1), (3, 37, 2, 1), (63, 130, 5, 3), (65, 64, 17, 9), (201, 259, 70, 3), (130, 97, 100, 11)];

fn on_every_engine(property: impl Fn(&dyn Engine)) {
    for engine in engines() {
        property(engine.as_ref());
    }
}

fn at_every_size(property: impl Fn(&dyn Engine, ElementType, (usize, usize, usize, usize))) {
    on_every_engine(|engine| {
        for element in ElementType::ALL {
            for size in SIZES {
                property(engine, element, size);
            }
        }
    });
}

/// The same for each variant of a kernel.
fn of_every_variant(kernel: &Kernel, property: impl Fn(&dyn Engine, ElementType, (usize, usize, usize, usize))) {
    for element in ElementType::ALL {
        on_every_variant(kernel, element, |engine| SIZES.iter().for_each(|size| property(engine, element, *size)));
    }
}

/// Each variant of a kernel that reads no elements.
fn on_each_variant(kernel: &Kernel, property: impl Fn(&dyn Engine)) {
    on_every_variant(kernel, ElementType::F32, property);
}

/// A sparse feature matrix and its kept entries.
fn sparse(seed: u64, rank: usize, neurons: usize, kept: usize) -> (Dense, Vec<u32>, Vec<f32>) {
    let z = oracle::winner_take_all(&Dense::random(seed, rank, neurons, ElementType::F32), kept);
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    for k in 0..rank {
        for j in (0..neurons).filter(|&j| z.at(k, j) != 0.0) {
            indices.push(j as u32);
            values.push(z.at(k, j) as f32);
        }
    }
    (z, indices, values)
}

fn features(bench: &mut Bench<'_>, z: &Dense, kept: usize, indices: &[u32], values: &[f32]) -> Features {
    Features { dense: bench.matrix(z), indices: bench.words(indices), values: bench.words(values), kept: kept as u32 }
}

#[test]
fn cross_product_matches_the_oracle() {
    of_every_variant(&CROSS_PRODUCT, |engine, element, (n, d, k, _)| {
        let (x, y) = (Dense::random(1, n, d, element), Dense::random_coefficients(2, n, k));
        let wanted = oracle::product(&y.transposed(), &x);
        for parts in [1, 3] {
            let mut bench = Bench::new(engine, &x, element);
            let (panel, y) = (bench.panel(), bench.matrix(&y));
            let out = bench.output(k as u32, d as u32);
            let partials = bench.words(&vec![0f32; parts as usize * out.elements() as usize]);
            let split = Some(Split { parts, partials });
            let ran =
                bench.run(|r| cross_product(r, panel, y, out, 0.5, false, Summation { split, ..Summation::default() }));
            let wanted: Vec<f64> = wanted.values.iter().map(|v| 0.5 * v).collect();
            assert_close("cross product", engine, &ran.matrix(out), &wanted, 1e-6);
        }
    });
}

#[test]
fn a_cross_product_of_rounded_operands_has_their_precision() {
    of_every_variant(&CROSS_PRODUCT, |engine, element, (n, d, k, _)| {
        let (x, y) = (Dense::random(1, n, d, element), Dense::random_coefficients(2, n, k));
        let wanted = oracle::product(&y.transposed(), &x);
        let mut bench = Bench::new(engine, &x, element);
        let (panel, y) = (bench.panel(), bench.matrix(&y));
        let out = bench.output(k as u32, d as u32);
        let summation = Summation { precision: Precision::Bf16, split: None };
        let ran = bench.run(|r| cross_product(r, panel, y, out, 1.0, false, summation));
        // Each operand is wrong by at most half a unit of its 8 bits.
        assert_close("cross product of rounded operands", engine, &ran.matrix(out), &wanted.values, 2f64.powi(-8));
    });
}

#[test]
fn cross_product_accumulates_over_panels() {
    on_every_variant(&CROSS_PRODUCT, ElementType::F16, |engine| {
        let (x, y) = (Dense::random(1, 70, 50, ElementType::F16), Dense::random_coefficients(2, 70, 9));
        for parts in [1, 2] {
            let mut bench = Bench::new(engine, &x, ElementType::F16);
            let (panel, coefficients, out) = (bench.panel(), bench.matrix(&y), bench.output(9, 50));
            let partials = bench.words(&vec![0f32; 2 * out.elements() as usize]);
            let split = Some(Split { parts, partials });
            let ran = bench.run(|r| {
                cross_product(r, panel, coefficients, out, 1.0, false, Summation { split, ..Summation::default() });
                cross_product(r, panel, coefficients, out, 2.0, true, Summation { split, ..Summation::default() });
            });
            let wanted: Vec<f64> = oracle::product(&y.transposed(), &x).values.iter().map(|v| 3.0 * v).collect();
            assert_close("accumulated cross product", engine, &ran.matrix(out), &wanted, 1e-6);
        }
    });
}

#[test]
fn long_products_keep_their_digits() {
    // Numbers of one sign over many tokens or neurons, so that the rounding errors of one long sum would add up.
    for element in ElementType::ALL {
        let positive = |seed, rows, columns, element| {
            let mut dense = Dense::random(seed, rows, columns, element);
            dense.values.iter_mut().for_each(|v| *v = v.abs());
            dense
        };
        let (n, d, k) = (5_003, 21, 7);
        let (x, y) = (positive(17, n, d, element), positive(18, n, k, ElementType::F32));
        let wanted = oracle::product(&y.transposed(), &x);
        on_every_variant(&CROSS_PRODUCT, element, |engine| {
            let mut bench = Bench::new(engine, &x, element);
            let (panel, y, out) = (bench.panel(), bench.matrix(&y), bench.output(k as u32, d as u32));
            let ran = bench.run(|r| cross_product(r, panel, y, out, 1.0, false, Summation::default()));
            assert_close("long cross product", engine, &ran.matrix(out), &wanted.values, 2e-6);
        });
        let (x, z) = (positive(19, d, n, element), positive(20, k, n, ElementType::F32));
        let wanted = oracle::product(&x, &z.transposed());
        on_every_variant(&PROJECTION, element, |engine| {
            let mut bench = Bench::new(engine, &x, element);
            let (panel, z, out) = (bench.panel(), bench.matrix(&z), bench.output(d as u32, k as u32));
            let ran = bench.run(|r| projection(r, panel, z, out, 1.0));
            assert_close("long projection", engine, &ran.matrix(out), &wanted.values, 2e-6);
        });
    }
}

#[test]
fn coefficient_gram_matches_the_oracle() {
    on_every_variant(&CROSS_PRODUCT, ElementType::F32, |engine| {
        // The last ones have tiles on both sides of the diagonal, and sums in two steps.
        let more = [(300, 150), (530, 260)];
        for (n, k) in SIZES.iter().map(|&(n, _, k, _)| (n, k)).chain(more) {
            let y = Dense::random_coefficients(3, n, k);
            let mut bench = Bench::without_activations(engine);
            let (coefficients, out) = (bench.matrix(&y), bench.output(k as u32, k as u32));
            let ran = bench.run(|r| {
                for accumulate in [false, true] {
                    let in_parts = coefficient_gram(r, coefficients, out, accumulate, None);
                    assert!(in_parts.is_none(), "the sum is not split");
                }
            });
            let half = oracle::product(&y.transposed(), &y);
            let wanted = Dense::from_fn(k, k, |i, j| 2.0 * half.at(i, j));
            assert_close("coefficient Gram", engine, &ran.matrix(out), &wanted.values, 1e-6);
        }
    });
}

#[test]
fn projection_matches_the_oracle() {
    of_every_variant(&PROJECTION, |engine, element, (n, d, k, _)| {
        let (x, z) = (Dense::random(4, n, d, element), Dense::random(5, k, d, ElementType::F32));
        let mut bench = Bench::new(engine, &x, element);
        let (panel, features) = (bench.panel(), bench.matrix(&z));
        let out = bench.output(n as u32, k as u32);
        let ran = bench.run(|r| projection(r, panel, features, out, 2.0));
        let wanted: Vec<f64> = oracle::product(&x, &z.transposed()).values.iter().map(|v| 2.0 * v).collect();
        assert_close("projection", engine, &ran.matrix(out), &wanted, 1e-6);
    });
}

#[test]
fn sparse_and_gather_projection_match_the_oracle() {
    let kernels: [(&Kernel, SparseProjection); 2] =
        [(&SPARSE_PROJECTION, sparse_projection), (&GATHER_PROJECTION, gather_projection)];
    for (kernel, record) in kernels {
        of_every_variant(kernel, |engine, element, (n, d, k, kept)| {
            let x = Dense::random(6, n, d, element);
            let (z, indices, values) = sparse(7, k, d, kept);
            let wanted: Vec<f64> = oracle::product(&x, &z.transposed()).values.iter().map(|v| 0.25 * v).collect();
            let mut bench = Bench::new(engine, &x, element);
            let (panel, out) = (bench.panel(), bench.output(n as u32, k as u32));
            let (indices, values) = (bench.words(&indices), bench.words(&values));
            let ran = bench.run(|r| record(r, panel, indices, values, kept as u32, out, 0.25));
            assert_close(kernel.name, engine, &ran.matrix(out), &wanted, 1e-6);
        });
    }
}

#[test]
fn sparse_projection_with_gram_projects_the_features_onto_themselves_as_well() {
    for element in ElementType::ALL {
        // The last size has several segments.
        let sizes = SIZES.into_iter().chain([(19, 2571, 41, 70)]);
        on_every_variant(&SPARSE_PROJECTION_WITH_GRAM, element, |engine| {
            for (n, d, k, kept) in sizes.clone() {
                let x = Dense::random(37, n, d, element);
                let (z, indices, values) = sparse(38, k, d, kept);
                let wanted: Vec<f64> = oracle::product(&x, &z.transposed()).values.iter().map(|v| 0.25 * v).collect();
                let mut bench = Bench::new(engine, &x, element);
                let (panel, features) = (bench.panel(), features(&mut bench, &z, kept, &indices, &values));
                let (out, gram) = (bench.output(n as u32, k as u32), bench.output(k as u32, k as u32));
                let ran = bench.run(|r| sparse_projection_with_gram(r, panel, &features, out, 0.25, gram));
                assert_close("projections", engine, &ran.matrix(out), &wanted, 1e-6);
                let wanted = oracle::product(&z, &z.transposed());
                assert_close("feature Gram", engine, &ran.matrix(gram), &wanted.values, 1e-6);
            }
        });
    }
}

type SparseProjection = fn(&mut Recording, Matrix, BufferId, BufferId, u32, Matrix, f32);

#[test]
fn sparse_projection_goes_through_segments_of_neurons_and_groups_of_features() {
    for element in ElementType::ALL {
        on_every_variant(&SPARSE_PROJECTION, element, |engine| {
            let (n, d, k, kept) = (19, 2571, 515, 70);
            let x = Dense::random(35, n, d, element);
            let (mut z, mut indices, values) = sparse(36, k, d, kept);
            // All neurons of a feature lie side by side, across the end of a segment, and none lie in the segment
            // before.
            z.values[..d].fill(0.0);
            for (j, index) in indices[..kept].iter_mut().enumerate() {
                *index = 2010 + j as u32;
                z.values[2010 + j] = f64::from(values[j]);
            }
            let mut bench = Bench::new(engine, &x, element);
            let (panel, out) = (bench.panel(), bench.output(n as u32, k as u32));
            let (indices, values) = (bench.words(&indices), bench.words(&values));
            let ran = bench.run(|r| sparse_projection(r, panel, indices, values, kept as u32, out, 1.0));
            let wanted = oracle::product(&x, &z.transposed());
            assert_close("sparse projection", engine, &ran.matrix(out), &wanted.values, 1e-6);
        });
    }
}

#[test]
fn feature_gram_matches_the_oracle_for_sparse_and_dense_features() {
    on_every_engine(|engine| {
        for (_, d, k, kept) in SIZES {
            for kept in [kept, d] {
                let (z, indices, values) = sparse(8, k, d, kept);
                let mut bench = Bench::without_activations(engine);
                let features = features(&mut bench, &z, kept, &indices, &values);
                let out = bench.output(k as u32, k as u32);
                let ran = bench.run(|r| feature_gram(r, &features, out));
                let wanted = oracle::product(&z, &z.transposed());
                assert_close("feature Gram", engine, &ran.matrix(out), &wanted.values, 1e-6);
            }
        }
    });
}

#[test]
fn squared_norms_match_the_oracle() {
    at_every_size(|engine, element, (n, d, _, _)| {
        let x = Dense::random(9, n, d, element);
        let mut bench = Bench::new(engine, &x, element);
        let (panel, norms) = (bench.panel(), bench.words(&vec![777f32; n]));
        let ran = bench.run(|r| squared_norm(r, panel, norms, 4.0));
        let wanted: Vec<f64> = x.values.chunks(d).map(|row| row.iter().map(|v| (4.0 * v).powi(2)).sum()).collect();
        assert_close("squared norms", engine, &ran.words(norms, n), &wanted, 1e-6);
    });
}

#[test]
fn absolute_maximum_finds_the_largest_magnitude() {
    at_every_size(|engine, element, (n, d, _, _)| {
        let x = Dense::random(10, n, d, element);
        let mut bench = Bench::new(engine, &x, element);
        let (panel, maxima) = (bench.panel(), bench.words(&[0u32; MAXIMUM_PARTIALS as usize]));
        let ran = bench.run(|r| absolute_maximum(r, panel, maxima, false));
        let found = f32::from_bits(ran.words::<u32>(maxima, MAXIMUM_PARTIALS as usize).into_iter().max().unwrap());
        let wanted = x.values.iter().fold(0f64, |m, v| m.max(v.abs()));
        assert_eq!(f64::from(found), wanted, "{element} on {}", engine.adapter());
    });
}

#[test]
fn absolute_maximum_gives_away_nan_and_infinity_wherever_they_are() {
    on_every_engine(|engine| {
        for element in ElementType::ALL {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for place in [0, 7, 300 * 13 - 1] {
                    let mut x = Dense::random(11, 300, 13, element);
                    x.values[place] = bad;
                    let mut bench = Bench::new(engine, &x, element);
                    let (panel, maxima) = (bench.panel(), bench.words(&[0u32; MAXIMUM_PARTIALS as usize]));
                    let ran = bench.run(|r| absolute_maximum(r, panel, maxima, false));
                    let largest = ran.words::<u32>(maxima, MAXIMUM_PARTIALS as usize).into_iter().max().unwrap();
                    assert!(largest >= 0x7f80_0000, "{bad} as {element} at {place} on {}", engine.adapter());
                }
            }
        }
    });
}

#[test]
fn gather_rows_takes_the_panel_s_own_tokens_only() {
    at_every_size(|engine, element, (n, d, _, _)| {
        let x = Dense::random(12, n, d, element);
        let mut bench = Bench::new(engine, &x, element);
        // The panel stands for the tokens from 100 on of a larger matrix. Token 5 belongs to another panel.
        let tokens = [100 + n as u32 - 1, 5, 100];
        let (panel, indices) = (bench.panel(), bench.words(&tokens));
        let out = bench.output(3, d as u32);
        let ran = bench.run(|r| gather_rows(r, panel, 100, indices, out, 2.0));
        let row = |i: usize| x.values[i * d..(i + 1) * d].iter().map(|v| 2.0 * v);
        let wanted: Vec<f64> = row(n - 1).chain((0..d).map(|_| 777.0)).chain(row(0)).collect();
        assert_close("gathered rows", engine, &ran.matrix(out), &wanted, 0.0);
    });
}

#[test]
fn copy_rows_matches_the_oracle_and_writes_nothing_else() {
    at_every_size(|engine, element, (n, d, _, _)| {
        let x = Dense::random(34, n, d, element);
        for (first, step) in [(0, 1), (10, 3), (2, 7)] {
            let mut bench = Bench::new(engine, &x, element);
            let wanted = oracle::sampled_rows(&x, first, step);
            let Some(sampled) = bench.panel().sampled(first as u32, step as u32) else {
                assert_eq!(wanted.rows, 0);
                continue;
            };
            let bytes = sampled.rows as usize * bench.panel().stride as usize * element.bytes();
            // Beyond the copies, a vector that must stay as it is.
            let words = bytes.div_ceil(4) + 4;
            let id = bench.words(&vec![0x7fc0_7fc1u32; words]);
            let out = Matrix { resource: id.into(), stride: bench.panel().stride, first: 0, ..sampled };
            let ran = bench.run(|r| copy_rows(r, sampled, out));
            let copied: Vec<u8> = ran.words(id, words);
            let mut values = Vec::new();
            for row in copied[..bytes].chunks_exact(out.stride as usize * element.bytes()) {
                let mut decoded = vec![0f32; d];
                element.decode(&row[..d * element.bytes()], &mut decoded);
                values.extend(decoded);
            }
            assert_close("copied rows", engine, &values, &wanted.values, 0.0);
            let tail: Vec<u32> = bytemuck::pod_collect_to_vec(&copied[copied.len() - 16..]);
            assert_eq!(tail, [0x7fc0_7fc1u32; 4], "beyond the copies on {}", engine.adapter());
        }
    });
}

#[test]
fn fixed_order_sums_add_the_parts() {
    on_every_engine(|engine| {
        // Up to four sums of different sizes, of which two are taken side by side. One may end within a workgroup or with it.
        for sizes in [
            vec![(7, 12, 5)],
            vec![(7, 12, 5), (3, 500, 2)],
            vec![(64, 16, 2), (1, 4, 9)],
            vec![(1, 4, 1), (90, 48, 3)],
            vec![(7, 12, 5), (64, 16, 2), (1, 12, 70)],
            vec![(3, 500, 2), (1, 4, 9), (90, 48, 3), (7, 12, 5)],
        ] {
            for (accumulate, start) in [(false, 0.0), (true, 777.0)] {
                let mut bench = Bench::without_activations(engine);
                let mut wanted = Vec::new();
                let mut sums = Vec::new();
                for (seed, &(rows, columns, count)) in sizes.iter().enumerate() {
                    let parts = Dense::random(13 + seed as u64, count, rows * columns, ElementType::F32);
                    let total = |i| start + (0..count).map(|p| parts.at(p, i)).sum::<f64>();
                    wanted.push((0..rows * columns).map(total).collect::<Vec<f64>>());
                    let partials = bench.words(&parts.to_f32());
                    let out = bench.output(rows as u32, columns as u32);
                    sums.push(PendingSum { partials, parts: count as u32, out, accumulate });
                }
                let ran = bench.run(|r| fixed_order_sums(r, &sums));
                for (sum, wanted) in sums.iter().zip(&wanted) {
                    assert_close("fixed-order sum", engine, &ran.matrix(sum.out), wanted, 1e-6);
                }
            }
        }
    });
}

#[test]
fn a_cut_of_least_squares_solves_and_keeps_exactly_m() {
    on_every_engine(|engine| {
        for (n, d, k, kept) in [(3, 37, 2, 1), (63, 130, 5, 3), (65, 64, 17, 9), (201, 259, 70, 3), (300, 97, 100, 11)]
        {
            let (x, y) = (Dense::random(14, n, d, ElementType::F32), Dense::random_coefficients(15, n, k));
            let gram = oracle::product(&y.transposed(), &y);
            let cross = oracle::product(&y.transposed(), &x);
            let mut ridged = gram.clone();
            (0..k).for_each(|i| ridged.values[i * k + i] += 1e-3);
            let wanted = oracle::winner_take_all(&oracle::solve(&ridged, &cross), kept);
            let mut bench = Bench::without_activations(engine);
            let empty = Dense::from_fn(k, d, |_, _| 0.0);
            let features = features(&mut bench, &empty, kept, &vec![9u32; k * kept], &vec![9f32; k * kept]);
            let operands = LeastSquares {
                gram: bench.matrix(&gram),
                cross: bench.matrix(&cross),
                factor: bench.cholesky_factor(k),
            };
            let ran = bench.run(|r| {
                least_squares(r, &operands, &features, Ridge::Absolute(1e-3));
                winner_take_all(r, &features, false);
            });
            assert_eq!(ran.words::<u32>(operands.factor.status, 1), [2], "the factorization succeeds at once");
            let dense = ran.matrix(features.dense);
            assert_close("least-squares features", engine, &dense, &wanted.values, 2e-3);
            let indices = ran.words::<u32>(features.indices, k * kept);
            let values = ran.words::<f32>(features.values, k * kept);
            for (feature, row) in dense.chunks(d).enumerate() {
                let entries = feature * kept..(feature + 1) * kept;
                assert!(indices[entries.clone()].is_sorted_by(|a, b| a < b), "kept neurons ascend");
                assert_eq!(row.iter().filter(|z| **z != 0.0).count(), kept, "exactly m are kept");
                assert!(indices[entries.clone()].iter().zip(&values[entries]).all(|(&j, v)| row[j as usize] == *v));
            }
        }
    });
}

#[test]
fn cholesky_mirrors_the_factor_and_both_substitutions_solve() {
    on_each_variant(&TRIANGULAR_SOLVE, |engine| {
        // Ranks and columns at and beyond the ends of blocks and tiles.
        for (k, d) in [(1, 1), (7, 5), (31, 33), (32, 32), (33, 7), (100, 130), (130, 9), (150, 65), (400, 5), (545, 3)]
        {
            let y = Dense::random(54, 2 * k + 9, k, ElementType::F32);
            let right = Dense::random(55, k, d, ElementType::F32);
            let mut gram = oracle::product(&y.transposed(), &y);
            (0..k).for_each(|i| gram.values[i * k + i] += k as f64);
            let wanted = oracle::solve(&gram, &right);
            let mut bench = Bench::without_activations(engine);
            let (gram_matrix, solution) = (bench.matrix(&gram), bench.matrix(&right));
            let factor = bench.cholesky_factor(k);
            let ran = bench.run(|r| {
                cholesky(r, gram_matrix, factor, Ridge::Absolute(0.0));
                triangular_solve(r, factor, solution);
            });
            let u = ran.matrix(factor.first());
            assert!((0..k * k).all(|at| u[at] == u[at % k * k + at / k]), "rank {k} on {}", engine.adapter());
            let upper = Dense::from_fn(k, k, |i, j| if i <= j { f64::from(u[i * k + j]) } else { 0.0 });
            let product = oracle::product(&upper.transposed(), &upper);
            assert_close("factor", engine, &product.to_f32(), &gram.values, 1e-6);
            assert_close("solution", engine, &ran.matrix(solution), &wanted.values, 1e-5);
        }
    });
}

#[test]
fn cholesky_raises_the_ridge_until_a_singular_gram_factorizes() {
    on_each_variant(&CHOLESKY, |engine| {
        // Two equal columns, a column that is nothing, and columns that have nothing in common. 600 features take a
        // dispatch for each block.
        for (k, ridge) in [(3, 1e-12), (600, 1e-12), (3, 1e-3), (600, 1e-3)] {
            let gram = Dense::from_fn(k, k, |i, j| match (i, j) {
                (2, _) | (_, 2) => 0.0,
                (0 | 1, 0 | 1) => 1.0,
                _ => f64::from(u8::from(i == j)),
            });
            let right = Dense::from_fn(k, 2, |i, _| if i < 2 { 1.0 } else { i as f64 / 64.0 });
            let mut bench = Bench::without_activations(engine);
            let (gram, solution, factor) = (bench.matrix(&gram), bench.matrix(&right), bench.cholesky_factor(k));
            let ran = bench.run(|r| {
                cholesky(r, gram, factor, Ridge::Relative(ridge));
                triangular_solve(r, factor, solution);
            });
            let adapter = engine.adapter();
            let status = ran.words::<u32>(factor.status, STATUS_WORDS as usize);
            let failed = status.iter().take_while(|&&word| word == 1).count();
            assert_eq!(status[failed], 2, "rank {k} on {adapter}: {status:?}");
            assert_eq!(
                failed == 0,
                ridge == 1e-3 || engine.kind() == EngineKind::Cpu,
                "rank {k} on {adapter}: {status:?}"
            );
            // Equal columns have together what one of them would have.
            let solved = ran.matrix(solution);
            assert!((solved[0] + solved[2] - 1.0).abs() < 2e-2, "rank {k} on {adapter}: {:?}", &solved[..4]);
            for (i, row) in solved.chunks_exact(2).enumerate().skip(2) {
                let wanted = i as f32 / 64.0;
                assert!((row[0] - wanted).abs() < 2e-3 * wanted, "rank {k} on {adapter}: feature {i} is {row:?}");
            }
        }
    });
}

#[test]
fn winner_take_all_breaks_ties_by_the_lower_neuron() {
    on_every_engine(|engine| {
        let d = 600;
        let z = Dense::from_fn(3, d, |k, j| match k {
            0 => {
                if j % 2 == 0 {
                    1.0
                } else {
                    -1.0
                }
            } // all tie
            1 => {
                if j == 599 {
                    -3.0
                } else {
                    0.0
                }
            } // fewer nonzeros than kept
            _ => f64::from((j as i32 % 7) - 3), // many ties at the threshold
        });
        let kept = 5;
        let wanted = oracle::winner_take_all(&z, kept);
        let mut bench = Bench::without_activations(engine);
        let features = features(&mut bench, &z, kept, &[9; 15], &[9.0; 15]);
        let ran = bench.run(|r| winner_take_all(r, &features, false));
        assert_close("winner-take-all", engine, &ran.matrix(features.dense), &wanted.values, 0.0);
        assert_eq!(ran.words::<u32>(features.indices, 10), [0, 1, 2, 3, 4, 0, 1, 2, 3, 599], "{}", engine.adapter());
    });
}

#[test]
fn winner_take_all_can_bring_features_to_unit_norm() {
    on_every_engine(|engine| {
        let z = Dense::random(16, 4, 90, ElementType::F32);
        let mut bench = Bench::without_activations(engine);
        let features = features(&mut bench, &z, 7, &[9; 28], &[9.0; 28]);
        let ran = bench.run(|r| winner_take_all(r, &features, true));
        let wanted = oracle::unit_norm(&oracle::winner_take_all(&z, 7));
        assert_close("unit features", engine, &ran.matrix(features.dense), &wanted.values, 1e-6);
    });
}

/// Tokens, features, neurons of a feature. The last ones reach over several blocks of features and of tokens.
const HALS_SIZES: [(usize, usize, usize); 8] =
    [(1, 1, 1), (3, 2, 1), (63, 5, 3), (65, 17, 9), (201, 70, 3), (130, 100, 11), (33, 32, 5), (31, 65, 7)];

#[test]
fn hals_coefficients_match_the_oracle() {
    on_each_variant(&HALS_COEFFICIENTS, |engine| {
        for (n, k, kept) in HALS_SIZES {
            for (sweeps, penalty, scaled, keeps_zeros) in [
                (1, 0.0, true, false),
                (2, 0.0, false, false),
                (3, 0.05, true, false),
                (4, 0.0, false, true),
                (2, 0.05, true, true),
            ] {
                let d = 3 * kept + 31;
                let x = Dense::random(17, n, d, ElementType::F32);
                let z = oracle::winner_take_all(&Dense::random(18, k, d, ElementType::F32), kept);
                let y = Dense::random_coefficients(19, n, k);
                let scales: Vec<f32> = (0..k).map(|c| 0.25 + (c % 5) as f32).collect();
                let scale = |c: usize| if scaled { f64::from(scales[c]) } else { 1.0 };
                let before = Dense::from_fn(n, k, |i, c| scale(c) * y.at(i, c));
                let (p, q) = (oracle::product(&x, &z.transposed()), oracle::product(&z, &z.transposed()));
                let energy: Vec<f64> = x.values.chunks(d).map(|row| row.iter().map(|v| v * v).sum()).collect();
                let lambda: Vec<f64> = energy.iter().map(|e| penalty * e.sqrt()).collect();
                let wanted = oracle::hals_coefficients(&p, &q, &before, &lambda, sweeps, keeps_zeros);
                let inner = oracle::inner(&wanted, &p);
                let mut bench = Bench::without_activations(engine);
                let operands = HalsOperands {
                    projections: bench.matrix(&p),
                    feature_gram: bench.matrix(&q),
                    squared_norms: bench.words(&energy.iter().map(|&e| e as f32).collect::<Vec<_>>()),
                    scales: scaled.then(|| bench.words(&scales)),
                    coefficients: bench.matrix(&y),
                    inner: bench.words(&[777f32; DESCENT_SUM_WORDS as usize]),
                };
                let (count, penalty) = (sweeps as u32, penalty as f32);
                let ran = bench.run(|r| {
                    hals_coefficients(r, &operands, Sweeps { count, penalty, keeps_zeros, inner: InnerSum::Started });
                });
                let got = ran.matrix(operands.coefficients);
                assert!(got.iter().all(|v| *v >= 0.0));
                if keeps_zeros {
                    assert!(before.values.iter().zip(&got).all(|(before, got)| *before > 0.0 || *got == 0.0));
                }
                assert_close("HALS coefficients", engine, &got, &wanted.values, 2e-5);
                let [found, weighted] = descent_sums(&ran, operands.inner);
                let size = oracle::inner(&wanted, &Dense::from_fn(n, k, |i, c| p.at(i, c).abs()));
                assert!((found - inner).abs() <= 2e-5 * size, "{found} for {inner} on {}", engine.adapter());
                let norms = Dense::from_fn(n, k, |i, _| energy[i].sqrt());
                let wanted = oracle::inner(&wanted, &norms);
                assert!((weighted - wanted).abs() <= 2e-5 * wanted, "{weighted} for {wanted} on {}", engine.adapter());
            }
        }
    });
}

/// ⟨Y, P⟩ and Σ ‖xᵢ‖ y_ik.
fn descent_sums(ran: &Ran, sums: BufferId) -> [f64; 2] {
    let words = ran.words::<f32>(sums, DESCENT_SUM_WORDS as usize);
    let (inner, weighted) = words.split_at(PARTIAL_WORDS as usize);
    [sum_partials(inner), sum_partials(weighted)]
}

#[test]
fn hals_coefficients_add_to_their_sums_or_leave_them() {
    on_each_variant(&HALS_COEFFICIENTS, |engine| {
        // More tokens than the workgroups take at a time.
        let (n, k) = (8300, 3);
        let p = Dense::random_coefficients(53, n, k);
        // Orthogonal features of norm 1, so that a sweep finds the projections.
        let q = Dense::from_fn(k, k, |i, j| f64::from(u8::from(i == j)));
        let squared_norms: Vec<f32> = (0..n).map(|i| ((1 + i % 7) * (1 + i % 7)) as f32).collect();
        let sums = [oracle::inner(&p, &p), oracle::inner(&p, &Dense::from_fn(n, k, |i, _| (1 + i % 7) as f64))];
        for (sum, wanted) in [
            (InnerSum::Started, sums),
            (InnerSum::Continued, sums.map(|sum| 256.0 + sum)),
            (InnerSum::Skipped, [256.0; 2]),
        ] {
            let mut bench = Bench::without_activations(engine);
            let start: Vec<f32> = (0..DESCENT_SUM_WORDS).map(|word| if word % 2 == 0 { 1.0 } else { 0.0 }).collect();
            let operands = HalsOperands {
                projections: bench.matrix(&p),
                feature_gram: bench.matrix(&q),
                squared_norms: bench.words(&squared_norms),
                scales: None,
                coefficients: bench.matrix(&Dense::from_fn(n, k, |_, _| 0.5)),
                inner: bench.words(&start),
            };
            let sweeps = Sweeps { count: 1, penalty: 0.0, keeps_zeros: false, inner: sum };
            let ran = bench.run(|r| hals_coefficients(r, &operands, sweeps));
            for (found, wanted) in descent_sums(&ran, operands.inner).into_iter().zip(wanted) {
                assert!(
                    (found - wanted).abs() <= 1e-6 * wanted,
                    "{sum:?}: {found} for {wanted} on {}",
                    engine.adapter()
                );
            }
            assert_close("coefficients", engine, &ran.matrix(operands.coefficients), &p.values, 1e-6);
        }
    });
}

#[test]
fn a_zero_feature_takes_no_coefficient() {
    on_each_variant(&HALS_COEFFICIENTS, |engine| {
        let q = Dense::from_fn(2, 2, |i, j| if i == 0 && j == 0 { 2.0 } else { 0.0 });
        let (p, y) = (Dense::from_fn(3, 2, |_, k| if k == 0 { 4.0 } else { 0.0 }), Dense::from_fn(3, 2, |_, _| 1.0));
        let mut bench = Bench::without_activations(engine);
        let operands = HalsOperands {
            projections: bench.matrix(&p),
            feature_gram: bench.matrix(&q),
            squared_norms: bench.words(&[1f32; 3]),
            scales: None,
            coefficients: bench.matrix(&y),
            inner: bench.words(&[0f32; DESCENT_SUM_WORDS as usize]),
        };
        let sweeps = Sweeps { count: 1, penalty: 0.0, keeps_zeros: false, inner: InnerSum::Skipped };
        let ran = bench.run(|r| hals_coefficients(r, &operands, sweeps));
        assert_eq!(ran.matrix(operands.coefficients), [2.0, 0.0, 2.0, 0.0, 2.0, 0.0], "{}", engine.adapter());
    });
}

/// YᵀX and YᵀY of random matrices, in which feature 1 is dead if there are more than two, and features that keep `kept`
/// neurons.
fn descent(tokens: usize, d: usize, k: usize, kept: usize) -> (Dense, Dense, Dense) {
    let x = Dense::random(20, tokens, d, ElementType::F32);
    let y = Dense::random_coefficients(21, tokens, k);
    let y = Dense::from_fn(tokens, k, |i, l| if l == 1 && k > 2 { 0.0 } else { y.at(i, l) });
    let z = oracle::unit_norm(&oracle::winner_take_all(&Dense::random(22, k, d, ElementType::F32), kept));
    (oracle::product(&y.transposed(), &x), oracle::product(&y.transposed(), &y), z)
}

/// Neurons, features, and neurons that each keeps.
const DESCENTS: [[usize; 3]; 7] =
    [[37, 2, 1], [64, 17, 64], [130, 5, 3], [259, 33, 20], [1100, 3, 11], [300, 70, 30], [97, 150, 9]];

/// Z in both forms, which agree.
fn kept_features(bench: &mut Bench<'_>, z: &Dense, kept: usize) -> Features {
    let mut neurons = Vec::new();
    for row in z.values.chunks(z.columns) {
        let mut own: Vec<u32> = (0..z.columns as u32).filter(|&j| row[j as usize] != 0.0).collect();
        let others = (0..z.columns as u32).filter(|&j| row[j as usize] == 0.0);
        own.extend(others.take(kept - own.len()).collect::<Vec<_>>());
        own.sort_unstable();
        neurons.extend(own);
    }
    let value = |(entry, &j): (usize, &u32)| z.at(entry / kept, j as usize) as f32;
    let values: Vec<f32> = neurons.iter().enumerate().map(value).collect();
    features(bench, z, kept, &neurons, &values)
}

#[test]
fn hals_residuals_match_the_oracle() {
    on_each_variant(&HALS_RESIDUALS, |engine| {
        for [d, k, kept] in DESCENTS {
            let (cross, gram, mut z) = descent(2 * k + 9, d, k, kept);
            let others = Dense::from_fn(k, k, |i, l| if i == l { 0.0 } else { gram.at(i, l) });
            let taken = oracle::product(&others, &z);
            let (first, count) = (k / 3, k - k / 3 - k / 5);
            let range = first..first + count;
            let wanted =
                Dense::from_fn(k, d, |i, j| cross.at(i, j) - if range.contains(&i) { taken.at(i, j) } else { 0.0 });
            let mut bench = Bench::without_activations(engine);
            let mut features = kept_features(&mut bench, &z, kept);
            // A dead feature does not count, whatever its values are.
            if k > 2 {
                z.values[d] = f64::NAN;
                features.dense = bench.matrix(&z);
            }
            let (cross, gram) = (bench.matrix(&cross), bench.matrix(&gram));
            let ran = bench.run(|r| hals_residuals(r, cross, gram, &features, first as u32, count as u32));
            assert_close("HALS residuals", engine, &ran.matrix(cross), &wanted.values, 1e-5);
        }
    });
}

/// Checks a sweep over some features, on the CPU and with every variant on the GPU engines, against the oracle.
fn assert_features_descend(cross: &Dense, gram: &Dense, z: &Dense, kept: usize, range: std::ops::Range<usize>) {
    let (k, d) = (z.rows, z.columns);
    // The residuals of the range, with the features outside of it as they are.
    let others = Dense::from_fn(k, k, |i, l| if i == l { 0.0 } else { gram.at(i, l) });
    let taken = oracle::product(&others, z);
    let residuals = Dense::from_fn(k, d, |i, j| cross.at(i, j) - taken.at(i, j));
    let wanted = oracle::hals_features(cross, gram, z, kept, range.clone());
    on_every_variant(&HALS_FEATURES, ElementType::F32, |engine| {
        let mut bench = Bench::without_activations(engine);
        let features = kept_features(&mut bench, z, kept);
        let (residuals, gram) = (bench.matrix(&residuals), bench.matrix(gram));
        let (first, count) = (range.start as u32, range.len() as u32);
        let ran = bench.run(|r| hals_features(r, residuals, gram, &features, first, count));
        let dense = ran.matrix(features.dense);
        assert_close("HALS features", engine, &dense, &wanted.values, 1e-4);
        assert_forms_agree(&ran, &features, &dense);
    });
}

/// Checks that the kept neurons of each feature ascend, and that their values are those of the dense form.
fn assert_forms_agree(ran: &Ran, features: &Features, dense: &[f32]) {
    let (k, d, kept) = (features.dense.rows as usize, features.dense.columns as usize, features.kept as usize);
    let (indices, values) = (ran.words::<u32>(features.indices, k * kept), ran.words::<f32>(features.values, k * kept));
    for (feature, row) in dense.chunks(d).enumerate() {
        let entries = feature * kept..(feature + 1) * kept;
        assert!(indices[entries.clone()].is_sorted_by(|a, b| a < b), "kept neurons ascend");
        assert!(indices[entries.clone()].iter().zip(&values[entries]).all(|(&j, v)| row[j as usize] == *v));
    }
}

#[test]
fn hals_features_correct_the_residuals_of_those_that_follow() {
    for [d, k, kept] in DESCENTS {
        let (cross, gram, z) = descent(2 * k + 9, d, k, kept);
        assert_features_descend(&cross, &gram, &z, kept, k / 4..k - k / 7);
    }
}

#[test]
fn hals_features_of_many_neurons_are_right_whether_or_not_the_kept_ones_bound_the_others() {
    // Rows of one run of loads and of several, rows too long for a list, more kept neurons than a list has room for, and fewer
    // features than a team has threads.
    for [d, k, kept] in
        [[4000, 33, 40], [14_336, 34, 250], [20_000, 33, 150], [50_000, 32, 50], [6000, 33, 1700], [9000, 3, 90]]
    {
        let (cross, gram, far) = descent(2 * k + 9, d, k, kept);
        let range = k - 3..k;
        let near = (0..2).fold(far.clone(), |z, _| oracle::hals_features(&cross, &gram, &z, kept, range.clone()));
        for z in [near, far] {
            assert_features_descend(&cross, &gram, &z, kept, range.clone());
        }
    }
}

#[test]
fn hals_features_are_right_where_only_few_neurons_are_swapped() {
    let (d, k, kept) = (2000, 45, 60);
    let (cross, gram, start) = descent(2 * k + 9, d, k, kept);
    let sweep = |z: &Dense| oracle::hals_features(&cross, &gram, z, kept, 0..k);
    let settled = (0..2).fold(start, |z, _| sweep(&z));
    let next = sweep(&settled);
    let dropped = settled.values.iter().zip(&next.values).filter(|(before, after)| **before != 0.0 && **after == 0.0);
    let of_a_feature = dropped.count() as f64 / k as f64;
    assert!((0.5..8.0).contains(&of_a_feature), "{of_a_feature} neurons of a feature are dropped");
    assert_features_descend(&cross, &gram, &settled, kept, 0..k);
    // A dead feature stays as it is, and the others go on.
    let mut dead = gram;
    (0..k).for_each(|l| {
        dead.values[20 * k + l] = 0.0;
        dead.values[l * k + 20] = 0.0;
    });
    assert_features_descend(&cross, &dead, &settled, kept, 10..k);
}

#[test]
fn a_sweep_over_many_features_is_cut_where_a_software_device_would_end_it() {
    let (columns, count) = (12_000, 330);
    let mut workspace = Workspace::default();
    let residuals = workspace.matrix("residuals", count, columns);
    let gram = workspace.matrix("gram", count, count);
    let dense = workspace.matrix("features", count, columns);
    let features = Features::in_workspace(&mut workspace, dense, 60);
    let mut recording = Recording::new();
    hals_features(&mut recording, residuals, gram, &features, 0, count);
    assert_eq!(recording.commands.len(), 3);
    // Fewer neurons, so that the oracle is quick: still two dispatches.
    let (cross, gram, z) = descent(700, 97, 330, 9);
    assert_features_descend(&cross, &gram, &z, 9, 0..330);
}

#[test]
fn of_equal_residuals_the_lower_neurons_are_kept() {
    for (d, k, kept) in [(100, 32, 7), (5000, 32, 60), (5000, 2, 60), (1500, 33, 240), (5000, 2, 800)] {
        let random = Dense::random(31, k, d, ElementType::F32);
        // Some ten magnitudes, each of many neurons. The features do not overlap, so nothing is rounded.
        let cross = Dense::from_fn(k, d, |i, j| (random.at(i, j) * 4.0).round());
        let gram = Dense::from_fn(k, k, |i, l| if i == l { 2.0 } else { 0.0 });
        let z = oracle::unit_norm(&oracle::winner_take_all(&Dense::random(32, k, d, ElementType::F32), kept));
        let near = oracle::unit_norm(&oracle::winner_take_all(&cross, kept));
        for z in [z, near] {
            assert_features_descend(&cross, &gram, &z, kept, 0..k);
        }
    }
}

#[test]
fn a_hals_sweep_minimises_over_one_feature_after_the_other() {
    on_every_engine(|engine| {
        for [d, k, kept] in DESCENTS {
            let (cross, gram, z) = descent(2 * k + 9, d, k, kept);
            let wanted = oracle::hals_features(&cross, &gram, &z, kept, 0..k);
            let mut bench = Bench::without_activations(engine);
            let features = kept_features(&mut bench, &z, kept);
            let (cross, gram) = (bench.matrix(&cross), bench.matrix(&gram));
            let ran = bench.run(|r| hals_sweep(r, cross, gram, &features));
            let dense = ran.matrix(features.dense);
            assert_close("features after a sweep", engine, &dense, &wanted.values, 1e-4);
            assert_forms_agree(&ran, &features, &dense);
        }
    });
}

#[test]
fn multiplicative_update_matches_the_oracle() {
    on_every_engine(|engine| {
        for (n, d, k, kept) in SIZES {
            let x = Dense::random(23, n, d, ElementType::F32);
            let z = oracle::winner_take_all(&Dense::random(24, k, d, ElementType::F32), kept);
            let y = Dense::random_coefficients(25, n, k);
            let (p, q) = (oracle::product(&x, &z.transposed()), oracle::product(&z, &z.transposed()));
            let wanted = oracle::multiplicative_update(&p, &q, &y, 1e-6);
            for floor in [0.0, 0.3] {
                let mut bench = Bench::without_activations(engine);
                let (p, q, previous) = (bench.matrix(&p), bench.matrix(&q), bench.matrix(&y));
                let out = bench.output(n as u32, k as u32);
                let ran = bench.run(|r| multiplicative_update(r, p, q, previous, out, 1e-6, floor));
                let wanted: Vec<f64> = wanted.values.iter().map(|v| v.max(floor.into())).collect();
                assert_close("multiplicative update", engine, &ran.matrix(out), &wanted, 1e-5);
            }
        }
    });
}

#[test]
fn cluster_means_are_rounded_and_an_empty_cluster_has_none() {
    on_every_engine(|engine| {
        for (k, d, columns) in [(1, 1, 1), (5, 67, 67), (9, 300, 129), (3, 1_300, 1_021)] {
            let sums = Dense::random(70, k, d, ElementType::F32);
            let sizes: Vec<u32> = (0..k as u32).map(|cluster| 7 * cluster).collect();
            let mut bench = Bench::without_activations(engine);
            let (matrix, sizes_buffer) = (bench.matrix(&sums), bench.words(&sizes));
            let (means, norms) = (bench.output(k as u32, columns as u32), bench.words(&vec![777f32; k]));
            let ran = bench.run(|r| cluster_means(r, matrix, sizes_buffer, means, norms));
            let found = ran.matrix(means);
            // An empty cluster is divided by 1. A mean is a bf16, which has 8 bits.
            let wanted = Dense::from_fn(k, columns, |c, j| sums.at(c, j) / f64::from(sizes[c].max(1)));
            assert!(found.iter().all(|mean| mean.to_bits() & 0xffff == 0), "{}", engine.adapter());
            for (found, wanted) in found.iter().zip(&wanted.values) {
                assert!((f64::from(*found) - wanted).abs() <= wanted.abs() * 0.00391, "{found} for {wanted}");
            }
            let wanted_norms: Vec<f64> =
                found.chunks(columns).map(|mean| mean.iter().map(|&m| f64::from(m).powi(2)).sum()).collect();
            assert_close("squared norms of means", engine, &ran.words(norms, k), &wanted_norms, 1e-6);
        }
    });
}

#[test]
fn normalization_moves_the_columns_norm_to_the_features() {
    on_every_engine(|engine| {
        for (n, d, k, kept) in SIZES {
            let mut y = Dense::random_coefficients(26, n, k);
            (0..n).for_each(|i| y.values[i * k] = 0.0); // the first feature is dead
            let gram = oracle::product(&y.transposed(), &y);
            let (z, indices, values) = sparse(27, k, d, kept);
            let norm = |c: usize| if gram.at(c, c) > 0.0 { gram.at(c, c).sqrt() } else { 1.0 };
            let mut bench = Bench::without_activations(engine);
            let features = features(&mut bench, &z, kept, &indices, &values);
            let (gram_matrix, coefficients) = (bench.matrix(&gram), bench.matrix(&y));
            let scales = bench.words(&vec![777f32; k]);
            let ran = bench.run(|r| {
                normalization(r, gram_matrix, &features, scales, 0.0);
                normalize_coefficients(r, scales, coefficients);
            });
            let wanted_y = Dense::from_fn(n, k, |i, c| y.at(i, c) / norm(c));
            let wanted_z = Dense::from_fn(k, d, |c, j| z.at(c, j) * norm(c));
            assert_close("normalised Y", engine, &ran.matrix(coefficients), &wanted_y.values, 1e-6);
            assert_close("scaled Z", engine, &ran.matrix(features.dense), &wanted_z.values, 1e-6);
            let wanted_values: Vec<f64> =
                values.iter().enumerate().map(|(i, v)| f64::from(*v) * norm(i / kept)).collect();
            assert_close("scaled values", engine, &ran.words(features.values, k * kept), &wanted_values, 1e-6);
        }
    });
}

#[test]
fn a_cut_relaxes_keeps_the_largest_and_takes_over_the_norms() {
    on_every_engine(|engine| {
        // The last feature reaches over several segments of neurons.
        for (n, d, k, kept) in SIZES.into_iter().chain([(9, 2571, 4, 70)]) {
            for (relaxation, norm_floor) in [(0.4, 0.0), (0.0, 3.0)] {
                let mut y = Dense::random_coefficients(34, n, k);
                (0..n).for_each(|i| y.values[i * k] = 0.0); // the first feature is dead
                let gram = oracle::product(&y.transposed(), &y);
                let (previous, indices, values) = sparse(35, k, d, kept);
                let solved = Dense::random(36, k, d, ElementType::F32);
                let mut bench = Bench::without_activations(engine);
                let features = features(&mut bench, &solved, kept, &indices, &values);
                let (gram_matrix, scales) = (bench.matrix(&gram), bench.words(&vec![777f32; k]));
                let cut = Cut { relaxation, norm_floor };
                let ran = bench.run(|r| least_squares_cut(r, gram_matrix, &features, scales, cut));
                let is_alive = |c: usize| gram.at(c, c) > 0.0;
                let amount = |c: usize| if is_alive(c) { f64::from(relaxation) } else { 0.0 };
                let norm = |c: usize| if is_alive(c) { gram.at(c, c).sqrt().max(norm_floor.into()) } else { 1.0 };
                let relaxed = Dense::from_fn(k, d, |c, j| {
                    let z = solved.at(c, j);
                    z + amount(c) * (z - previous.at(c, j))
                });
                let cut = oracle::winner_take_all(&relaxed, kept);
                let wanted = Dense::from_fn(k, d, |c, j| norm(c) * cut.at(c, j));
                let dense = ran.matrix(features.dense);
                assert_close("cut features", engine, &dense, &wanted.values, 1e-6);
                let wanted_scales: Vec<f64> = (0..k).map(|c| 1.0 / norm(c)).collect();
                assert_close("scales", engine, &ran.words(scales, k), &wanted_scales, 1e-6);
                let indices = ran.words::<u32>(features.indices, k * kept);
                let values = ran.words::<f32>(features.values, k * kept);
                for (feature, row) in dense.chunks(d).enumerate() {
                    let entries = feature * kept..(feature + 1) * kept;
                    assert!(indices[entries.clone()].is_sorted_by(|a, b| a < b), "kept neurons ascend");
                    assert!(indices[entries.clone()].iter().zip(&values[entries]).all(|(&j, v)| row[j as usize] == *v));
                }
            }
        }
    });
}

#[test]
fn coherence_penalty_raises_the_weights_of_features_that_are_near_copies() {
    on_every_engine(|engine| {
        for (n, _, k, _) in SIZES {
            let mut y = Dense::random_coefficients(40, n, k);
            (0..n).for_each(|i| y.values[i * k] = 0.0); // the first feature is dead
            let gram = oracle::product(&y.transposed(), &y);
            let cosines = Dense::random(41, k, k, ElementType::F32);
            let mut bench = Bench::without_activations(engine);
            let (weights, features) = (bench.matrix(&gram), bench.matrix(&cosines));
            let coherence = Coherence { bound: 0.6, strength: 0.3 };
            let ran = bench.run(|r| coherence_penalty(r, features, weights, coherence));
            let wanted = Dense::from_fn(k, k, |a, b| {
                let excess = if a == b { 0.0 } else { (cosines.at(a, b) - 0.6).max(0.0) };
                gram.at(a, b) + 0.3 * (gram.at(a, a) * gram.at(b, b)).sqrt() * excess / 0.4
            });
            assert_close("weights", engine, &ran.matrix(weights), &wanted.values, 1e-6);
        }
    });
}

#[test]
fn coherence_penalty_leaves_the_weights_of_other_features_as_they_are() {
    on_every_engine(|engine| {
        for (n, _, k, _) in SIZES {
            let y = Dense::random_coefficients(42, n, k);
            let gram = oracle::product(&y.transposed(), &y);
            let cosines = Dense::from_fn(k, k, |a, b| if a == b { 1.0 } else { 0.8 - 0.01 * ((a + b) % 90) as f64 });
            let mut bench = Bench::without_activations(engine);
            let (weights, features) = (bench.matrix(&gram), bench.matrix(&cosines));
            let coherence = Coherence { bound: 0.81, strength: 0.3 };
            let ran = bench.run(|r| coherence_penalty(r, features, weights, coherence));
            assert_eq!(ran.matrix(weights), gram.to_f32(), "on {}", engine.adapter());
        }
    });
}

#[test]
fn inner_product_keeps_more_digits_than_f32() {
    on_every_engine(|engine| {
        for (rows, columns) in [(1, 1), (130, 97), (2000, 100)] {
            let (a, b) = (
                Dense::random(28, rows, columns, ElementType::F32),
                Dense::random(29, rows, columns, ElementType::F32),
            );
            let mut bench = Bench::without_activations(engine);
            let (ma, mb) = (bench.matrix(&a), bench.matrix(&b));
            let partials = bench.words(&[777f32; PARTIAL_WORDS as usize]);
            let ran = bench.run(|r| {
                inner_product(r, ma, mb, partials, false);
                inner_product(r, ma, ma, partials, true);
            });
            let got = sum_partials(&ran.words::<f32>(partials, PARTIAL_WORDS as usize));
            let wanted = oracle::inner(&a, &b) + oracle::inner(&a, &a);
            let size: f64 = a.values.iter().zip(&b.values).map(|(a, b)| (a * b).abs() + a * a).sum();
            assert!((got - wanted).abs() < 5e-8 * size, "{got} for {wanted} on {}", engine.adapter());
        }
    });
}

#[test]
fn a_report_of_zeros_is_none() {
    assert_eq!(Report::parse(&vec![0; report_words(3) as usize]), None);
}

#[test]
fn partial_sums_hold_what_f32_rounds_away() {
    // Products of whole numbers below 2^12 are exact in f32, but not their sums.
    let whole = |seed| {
        let mut dense = Dense::random(seed, 2_003, 97, ElementType::F32);
        dense.values.iter_mut().for_each(|v| *v = (v.abs() * 1_000.0).trunc().min(4_095.0));
        dense
    };
    let (a, b) = (whole(60), whole(61));
    let wanted = 2.0 * oracle::inner(&a, &b);
    on_every_engine(|engine| {
        let mut bench = Bench::without_activations(engine);
        let (ma, mb) = (bench.matrix(&a), bench.matrix(&b));
        let partials = bench.words(&[777f32; PARTIAL_WORDS as usize]);
        let ran = bench.run(|r| {
            inner_product(r, ma, mb, partials, false);
            inner_product(r, ma, mb, partials, true);
        });
        let found = ran.words::<f32>(partials, PARTIAL_WORDS as usize);
        // Compilers that may reorder additions remove the low words if they can.
        assert!(found.chunks(2).filter(|pair| pair[1] != 0.0).count() > 64, "low words on {}", engine.adapter());
        let error = (sum_partials(&found) - wanted).abs();
        assert!(error <= 1e-12 * wanted, "off by {:.1e} on {}", error / wanted, engine.adapter());
    });
}

#[test]
fn a_token_that_is_almost_explained_keeps_its_small_residual() {
    // The norm is 2^30. The features explain all of it but 3, in terms whose partial sums f32 cannot hold.
    let (rank, norm) = (101, f64::from(1 << 30));
    let mut terms = Dense::random(62, 3, rank, ElementType::F32);
    terms.values.iter_mut().for_each(|v| *v = 10_551_001.0 + (v.abs() * 100_000.0).trunc());
    for i in 0..3 {
        let others: f64 = (0..rank - 1).map(|k| terms.at(i, k)).sum();
        terms.values[i * rank + rank - 1] = norm - 3.0 - others;
    }
    assert!(terms.values.iter().all(|v| f64::from(*v as f32) == *v), "each term is a number of f32");
    on_every_engine(|engine| {
        let mut bench = Bench::without_activations(engine);
        let (p, yq) = (bench.matrix(&terms), bench.matrix(&terms));
        let y = bench.matrix(&Dense::from_fn(3, rank, |_, _| 1.0));
        let (energy, out) = (bench.words(&[norm as f32; 3]), bench.words(&[777f32; 3]));
        let ran = bench.run(|r| token_residuals(r, p, yq, y, energy, out));
        assert_eq!(ran.words::<f32>(out, 3), [3.0; 3], "{}", engine.adapter());
    });
}

#[test]
fn loss_keeps_the_best_iterate_and_never_a_nan() {
    on_every_engine(|engine| {
        let mut bench = Bench::without_activations(engine);
        let spread = |value: f32| {
            let mut partials = [0f32; PARTIAL_WORDS as usize];
            partials[2 * 17] = value - 1.0;
            partials[2 * 200] = 1.0;
            partials
        };
        // ‖X‖² = 100, ⟨YᵀY, ZZᵀ⟩ = 10: losses 90, 70, NaN, 80.
        let inner = [10.0, 20.0, f32::NAN, 15.0].map(|value| bench.words(&spread(value)));
        let gram_terms = bench.words(&spread(10.0));
        let gram = bench.matrix(&Dense::from_fn(3, 3, |i, j| (10 * i + j) as f64));
        let feature_gram = bench.matrix(&Dense::from_fn(3, 3, |_, _| 0.5));
        let (state, report) = (bench.words(&[0u32; 4]), bench.words(&vec![0u32; report_words(3) as usize]));
        let mut status = [0u32; STATUS_WORDS as usize];
        (status[0], status[1]) = (1, 2);
        let factorization = bench.words(&status);
        let current = [1.0, 2.0, 3.0, 4.0].map(|v| bench.matrix(&Dense::from_fn(5, 7, |_, _| v)));
        let others = [5.0, 6.0, 7.0, 8.0].map(|v| bench.matrix(&Dense::from_fn(5, 7, |_, _| v)));
        let [best, best_of_pair, other_best] = [(); 3].map(|()| bench.output(5, 7));
        let ran = bench.run(|r| {
            for ((inner, current), other) in inner.into_iter().zip(current).zip(others) {
                let terms = LossTerms { inner, gram_terms, coefficient_gram: gram, feature_gram, factorization };
                loss(r, terms, state, report, 100.0);
                keep_best(r, state, current, best);
                keep_best_pair(r, state, [(current, best_of_pair), (other, other_best)]);
            }
        });
        assert_eq!(ran.matrix(best), [2.0; 35], "{}", engine.adapter());
        assert_eq!(ran.matrix(best_of_pair), [2.0; 35], "{}", engine.adapter());
        assert_eq!(ran.matrix(other_best), [6.0; 35], "{}", engine.adapter());
        let report = Report::parse(&ran.words::<u32>(report, report_words(3) as usize)).expect("a report");
        assert_eq!((report.iteration, report.is_best, report.factorization_attempts), (3, false, 2));
        assert_eq!(report.loss(100.0), 80.0);
        assert_eq!(report.column_energy, [0.0, 11.0, 22.0]);
    });
}

#[test]
fn a_loss_that_features_which_cancel_have_rounded_away_is_not_the_best() {
    on_every_engine(|engine| {
        let mut bench = Bench::without_activations(engine);
        let partials = |value: f32| {
            let mut partials = [0f32; PARTIAL_WORDS as usize];
            partials[0] = value;
            partials
        };
        // ‖X‖² = 100. First a loss of 40, then a loss of 0 by features whose energies are 10⁸ times that of the
        // activations.
        let terms = [(40.0, 20.0), (60.0, 20.0)];
        let terms = terms.map(|(inner, gram)| (bench.words(&partials(inner)), bench.words(&partials(gram))));
        let grams =
            [1.0, 1e10].map(|energy| bench.matrix(&Dense::from_fn(2, 2, |i, j| if i == j { energy } else { 0.0 })));
        let unit = bench.matrix(&Dense::from_fn(2, 2, |i, j| f64::from(u8::from(i == j))));
        let (state, report) = (bench.words(&[0u32; 4]), bench.words(&vec![0u32; report_words(2) as usize]));
        let factorization = bench.words(&[0u32; STATUS_WORDS as usize]);
        let current = [1.0, 2.0].map(|v| bench.matrix(&Dense::from_fn(3, 5, |_, _| v)));
        let best = bench.output(3, 5);
        let ran = bench.run(|r| {
            for (((inner, gram_terms), gram), current) in terms.into_iter().zip(grams).zip(current) {
                let terms = LossTerms { inner, gram_terms, coefficient_gram: gram, feature_gram: unit, factorization };
                loss(r, terms, state, report, 100.0);
                keep_best(r, state, current, best);
            }
        });
        assert_eq!(ran.matrix(best), [1.0; 15], "{}", engine.adapter());
        let report = Report::parse(&ran.words::<u32>(report, report_words(2) as usize)).expect("a report");
        let uncertainty = 2e10 / f64::from(1 << 21);
        assert!((report.uncertainty - uncertainty).abs() < 1e-3 * uncertainty, "{}", report.uncertainty);
        assert_eq!(report.loss(100.0), report.uncertainty, "{}", engine.adapter());
    });
}

#[test]
fn kmeans_assign_finds_the_nearest_direction() {
    on_every_engine(|engine| {
        for (n, d, k, _) in SIZES {
            let (mut x, c) = (Dense::random(30, n, d, ElementType::F32), Dense::random(31, k, d, ElementType::F32));
            x.values[..d].fill(0.0); // a token of zeros
            let s = oracle::product(&x, &c.transposed());
            let squares = |m: &Dense| -> Vec<f32> {
                m.values.chunks(d).map(|row| row.iter().map(|v| v * v).sum::<f64>() as f32).collect()
            };
            let (norms, centroid_norms) = (squares(&x), squares(&c));
            for final_step in [false, true] {
                let mut bench = Bench::without_activations(engine);
                let operands = Assignment {
                    scores: bench.matrix(&s),
                    squared_norms: bench.words(&norms),
                    centroid_norms: bench.words(&centroid_norms),
                    coefficients: bench.output(n as u32, k as u32),
                    assignments: bench.words(&vec![777u32; n]),
                };
                let ran = bench.run(|r| kmeans_assign(r, &operands, final_step));
                let (y, clusters) = (ran.matrix(operands.coefficients), ran.words::<u32>(operands.assignments, n));
                for i in 0..n {
                    let norm = f64::from(norms[i]).sqrt();
                    let distance = |a: usize| {
                        let direction = if norm > 0.0 { s.at(i, a) / norm } else { 0.0 };
                        direction - 0.5 * f64::from(centroid_norms[a])
                    };
                    let a = clusters[i] as usize;
                    assert!((0..k).all(|other| distance(other) <= distance(a) + 1e-4), "{}", engine.adapter());
                    let wanted = match (final_step, norm > 0.0) {
                        (false, true) => 1.0 / norm,
                        (false, false) => 0.0,
                        (true, _) => s.at(i, a).max(0.0) / f64::from(centroid_norms[a]),
                    };
                    let row: Vec<f64> = (0..k).map(|b| if a == b { wanted } else { 0.0 }).collect();
                    assert!(relative_difference(&y[i * k..(i + 1) * k], &row) < 1e-5, "{}", engine.adapter());
                }
            }
        }
    });
}

#[test]
fn token_residuals_match_the_residual_itself() {
    on_every_engine(|engine| {
        for (n, d, k, kept) in SIZES {
            let x = Dense::random(32, n, d, ElementType::F32);
            let z = oracle::winner_take_all(&Dense::random(33, k, d, ElementType::F32), kept);
            let y = Dense::random_coefficients(34, n, k);
            let (p, q) = (oracle::product(&x, &z.transposed()), oracle::product(&z, &z.transposed()));
            let (yq, yz) = (oracle::product(&y, &q), oracle::product(&y, &z));
            let square = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>();
            let energy: Vec<f32> = x.values.chunks(d).map(|row| square(row) as f32).collect();
            let wanted: Vec<f64> = (0..n).map(|i| (0..d).map(|j| (x.at(i, j) - yz.at(i, j)).powi(2)).sum()).collect();
            let mut bench = Bench::without_activations(engine);
            let (p, yq, y) = (bench.matrix(&p), bench.matrix(&yq), bench.matrix(&y));
            let (energy, out) = (bench.words(&energy), bench.words(&vec![777f32; n]));
            let ran = bench.run(|r| token_residuals(r, p, yq, y, energy, out));
            assert_close("token residuals", engine, &ran.words(out, n), &wanted, 1e-5);
        }
    });
}

#[test]
fn samples_of_the_rows_are_read_where_they_lie() {
    // Every third row of a larger matrix, whose row 10 is the first of the panel. These are the rows 12, 15, …, which
    // are its third, sixth, … row.
    let (n, d, k, kept) = (40, 130, 37, 5);
    let (z, indices, values) = sparse(51, k, d, kept);
    for element in ElementType::ALL {
        let x = Dense::random(50, n, d, element);
        let rows: Vec<usize> = (2..n).step_by(3).collect();
        let sample = Dense::from_fn(rows.len(), d, |i, j| x.at(rows[i], j));
        let y = Dense::random_coefficients(52, rows.len(), k);
        let check = |engine: &dyn Engine| {
            let mut bench = Bench::new(engine, &x, element);
            let sampled = bench.panel().sampled(10, 3).expect("rows 12 to 48");
            let features = features(&mut bench, &z, kept, &indices, &values);
            let (count, coefficients) = (rows.len() as u32, bench.matrix(&y));
            let [dense, gathered, skipped] = [(); 3].map(|()| bench.output(count, k as u32));
            let (cross, norms) = (bench.output(k as u32, d as u32), bench.words(&vec![777f32; rows.len()]));
            let ran = bench.run(|r| {
                squared_norm(r, sampled, norms, 2.0);
                projection(r, sampled, features.dense, dense, 1.0);
                gather_projection(r, sampled, features.indices, features.values, features.kept, gathered, 1.0);
                sparse_projection(r, sampled, features.indices, features.values, features.kept, skipped, 1.0);
                cross_product(r, sampled, coefficients, cross, 1.0, false, Summation::default());
            });
            let wanted = oracle::product(&sample, &z.transposed());
            for found in [dense, gathered, skipped] {
                assert_close("projection of a sample", engine, &ran.matrix(found), &wanted.values, 1e-6);
            }
            let squares = |row: &[f64]| row.iter().map(|v| (2.0 * v).powi(2)).sum();
            let wanted: Vec<f64> = sample.values.chunks(d).map(squares).collect();
            assert_close("squared norms of a sample", engine, &ran.words(norms, rows.len()), &wanted, 1e-6);
            let wanted = oracle::product(&y.transposed(), &sample);
            assert_close("cross product of a sample", engine, &ran.matrix(cross), &wanted.values, 1e-6);
        };
        for kernel in [&PROJECTION, &CROSS_PRODUCT] {
            on_every_variant(kernel, element, check);
        }
    }
}

#[test]
fn a_part_of_a_panel_is_read_where_it_lies() {
    // The rows 9 to 31 of a panel.
    let (n, d, k) = (40, 130, 7);
    for element in ElementType::ALL {
        let mut x = Dense::random(70, n, d, element);
        // Larger than all others, and no part of what is read.
        (x.values[8 * d], x.values[32 * d]) = (1_000.0, 2_000.0);
        let part = Dense::from_fn(23, d, |i, j| x.at(9 + i, j));
        let (y, z) = (Dense::random_coefficients(71, 23, k), Dense::random(72, k, d, ElementType::F32));
        on_every_engine(|engine| {
            let mut bench = Bench::new(engine, &x, element);
            let panel = bench.panel().part(9, 23);
            let (coefficients, features) = (bench.matrix(&y), bench.matrix(&z));
            let (norms, residuals) = (bench.words(&[777f32; 23]), bench.words(&[777f32; 23]));
            let maxima = bench.words(&[0u32; MAXIMUM_PARTIALS as usize]);
            // The panel begins with token 100, so the part begins with token 109.
            let (tokens, gathered) = (bench.words(&[108u32, 109, 131, 132]), bench.output(4, d as u32));
            let ran = bench.run(|r| {
                squared_norm(r, panel, norms, 1.0);
                squared_residual(r, panel, coefficients, features, residuals, 1.0);
                absolute_maximum(r, panel, maxima, false);
                gather_rows(r, panel, 109, tokens, gathered, 1.0);
            });
            let squares =
                |m: &Dense| -> Vec<f64> { m.values.chunks(d).map(|row| row.iter().map(|v| v * v).sum()).collect() };
            assert_close("squared norms of a part", engine, &ran.words(norms, 23), &squares(&part), 1e-6);
            let yz = oracle::product(&y, &z);
            let rest = Dense::from_fn(23, d, |i, j| part.at(i, j) - yz.at(i, j));
            assert_close("squared residuals of a part", engine, &ran.words(residuals, 23), &squares(&rest), 1e-5);
            let largest = ran.words::<u32>(maxima, MAXIMUM_PARTIALS as usize).into_iter().max().unwrap();
            let wanted = part.values.iter().fold(0f64, |most, v| most.max(v.abs()));
            assert_eq!(f64::from(f32::from_bits(largest)), wanted, "{}", engine.adapter());
            let row = |i: usize| (0..d).map(move |j| i * d + j);
            let wanted: Vec<f32> = row(9).chain(row(31)).map(|at| x.values[at] as f32).collect();
            let gathered = ran.matrix(gathered);
            assert_eq!(gathered[d..3 * d], wanted, "{}", engine.adapter());
            assert!(gathered[..d].iter().chain(&gathered[3 * d..]).all(|v| *v == 777.0), "{}", engine.adapter());
        });
    }
}

#[test]
fn sums_over_the_longest_dispatch_are_whole() {
    // Some compilers end a loop after 65,535 iterations, without an error.
    let (n, d, k) = (65_472, 3, 2);
    let x = Dense::from_fn(n, d, |i, j| ((i * 7 + j * 3) % 11) as f64 - 5.0);
    let y = Dense::from_fn(n, k, |i, j| ((i * 5 + j) % 4) as f64);
    let wanted = oracle::product(&y.transposed(), &x);
    for element in ElementType::ALL {
        on_every_variant(&CROSS_PRODUCT, element, |engine| {
            let activations = engine.load(&x.to_activations(element)).expect("loading");
            let mut bench = Bench::over(engine, activations);
            let (panel, y, out) = (bench.panel(), bench.matrix(&y), bench.output(k as u32, d as u32));
            let ran = bench.run(|r| cross_product(r, panel, y, out, 1.0, false, Summation::default()));
            assert_close("the longest cross product", engine, &ran.matrix(out), &wanted.values, 1e-6);
        });
    }
}

#[test]
fn a_sample_is_the_same_however_rows_are_cut() {
    for step in [1, 2, 7, 13] {
        for panel_bytes in [1, 5 * 64, 64 * 64, u64::MAX] {
            let layout = PanelLayout::new(100, 16, ElementType::F32, true, panel_bytes);
            let mut found = Vec::new();
            for panel in 0..layout.panels() {
                let first = layout.rows(panel).start as u32;
                if let Some(sample) = layout.panel(panel).sampled(first, step) {
                    found.extend((0..sample.rows).map(|row| first + (sample.first + row * sample.stride) / 16));
                }
            }
            assert_eq!(found, (0..100).step_by(step as usize).collect::<Vec<u32>>(), "{panel_bytes}");
        }
    }
}

#[test]
fn squared_residuals_match_the_oracle() {
    at_every_size(|engine, element, (n, d, k, kept)| {
        let x = Dense::random(35, n, d, element);
        let y = Dense::random_coefficients(37, n, k);
        for kept in [kept, d] {
            let z = oracle::winner_take_all(&Dense::random(36, k, d, ElementType::F32), kept);
            let yz = oracle::product(&y, &z);
            let wanted: Vec<f64> =
                (0..n).map(|i| (0..d).map(|j| (0.5 * x.at(i, j) - yz.at(i, j)).powi(2)).sum()).collect();
            let mut bench = Bench::new(engine, &x, element);
            let (panel, y, z) = (bench.panel(), bench.matrix(&y), bench.matrix(&z));
            let out = bench.words(&vec![777f32; n]);
            let ran = bench.run(|r| squared_residual(r, panel, y, z, out, 0.5));
            assert_close("squared residuals", engine, &ran.words(out, n), &wanted, 1e-5);
        }
    });
}

#[test]
fn what_is_left_of_an_exact_product_is_nothing() {
    // There are more features than a workgroup stages at once, and more neurons than it takes at once. No sum rounds
    // these numbers.
    on_every_engine(|engine| {
        for (n, d, k) in [(5, 1_200, 300), (1, 3, 2)] {
            let whole = |seed, rows, columns| {
                let mut dense = Dense::random(seed, rows, columns, ElementType::F32);
                dense.values.iter_mut().for_each(|v| *v = v.trunc());
                dense
            };
            let (mut y, z) = (whole(38, n, k), whole(39, k, d));
            y.values.iter_mut().for_each(|v| *v = v.abs());
            let x = oracle::product(&y, &z);
            let mut bench = Bench::new(engine, &x, ElementType::F32);
            let (panel, y, z) = (bench.panel(), bench.matrix(&y), bench.matrix(&z));
            let out = bench.words(&vec![777f32; n]);
            let ran = bench.run(|r| squared_residual(r, panel, y, z, out, 1.0));
            assert_eq!(ran.words::<f32>(out, n), vec![0.0; n], "{}", engine.adapter());
        }
    });
}

#[test]
fn panels_cover_every_row_once_and_in_order() {
    for tokens in [1, 63, 64, 65, 1000, 9256] {
        for panel_bytes in [1, 1000, 64 * 1536 * 2, u64::MAX] {
            let layout = PanelLayout::new(tokens, 1536, ElementType::F16, true, panel_bytes);
            let mut next = 0;
            for panel in 0..layout.panels() {
                let rows = layout.rows(panel);
                assert_eq!(rows.start, next);
                assert!(rows.end > rows.start && layout.panel(panel).rows <= layout.panel_rows);
                next = rows.end;
            }
            assert_eq!(next, tokens);
        }
    }
}
