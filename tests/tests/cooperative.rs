//! The variants of the cross product on cooperative matrices, on a device that has them. They are not part of a plain
//! `cargo test`, which must pass without such a device: see the feature `cooperative` in this package's manifest.

use unmix::{AdapterChoice, DenseMatrix, ElementType, Engine, SemiNmf, Solver, WgpuEngine};
use unmix_kernels::{CROSS_PRODUCT, Precision, Split, Summation, Variant, cross_product};
use unmix_tests::{Bench, Dense, assert_close, oracle, planted, prefer, relative_difference};

const F16: ElementType = ElementType::F16;
/// The types of activations that cooperative matrices multiply.
const ELEMENTS: [ElementType; 2] = [F16, ElementType::Bf16];

fn engine() -> WgpuEngine {
    WgpuEngine::new(&AdapterChoice::default()).expect("an adapter")
}

/// The engine, and its variants on cooperative matrices.
fn cooperative() -> (WgpuEngine, Vec<&'static Variant>) {
    let engine = engine();
    let mut variants = engine.variants(&CROSS_PRODUCT, F16);
    variants.retain(|variant| variant.needs.cooperative_matrix.is_some());
    assert!(
        !variants.is_empty(),
        "{} has no cooperative matrices that multiply f16 into f32 sums, or wgpu does not offer them; `cargo xtask test` runs \
         these tests on Mesa's lavapipe, which has them from version 26 on",
        engine.adapter()
    );
    (engine, variants)
}

fn variant(name: &str) -> &'static Variant {
    CROSS_PRODUCT.variants.iter().find(|variant| variant.name == name).expect("a variant of that name")
}

/// YᵀX for f16 activations, computed by one variant.
fn product(engine: &WgpuEngine, variant: &Variant, x: &Dense, y: &Dense, parts: u32) -> Vec<f32> {
    product_of(engine, variant, (x, F16), y, parts, Precision::F32)
}

/// The same for activations of some type, with products of this precision.
fn product_of(
    engine: &WgpuEngine,
    variant: &Variant,
    (x, element): (&Dense, ElementType),
    y: &Dense,
    parts: u32,
    precision: Precision,
) -> Vec<f32> {
    prefer(engine, &CROSS_PRODUCT, element, variant);
    let mut bench = Bench::new(engine, x, element);
    let (panel, y) = (bench.panel(), bench.matrix(y));
    let out = bench.output(y.columns, panel.columns);
    let partials = bench.words(&vec![0f32; parts as usize * out.elements() as usize]);
    let ran = bench.run(|r| {
        cross_product(r, panel, y, out, 1.0, false, Summation { precision, split: Some(Split { parts, partials }) })
    });
    ran.matrix(out)
}

/// Coefficients in which token i is multiplied by `scale(i)`.
fn scaled(mut y: Dense, scale: impl Fn(usize) -> f64) -> Dense {
    let columns = y.columns;
    y.values.iter_mut().enumerate().for_each(|(i, v)| *v = f64::from((*v * scale(i / columns)) as f32));
    y
}

#[test]
fn they_are_as_exact_as_f32_whatever_the_size_of_the_coefficients() {
    let (engine, variants) = cooperative();
    let (n, d, k) = (701, 150, 70);
    let x = Dense::random(1, n, d, F16);
    let cases: [(&str, &dyn Fn(usize) -> f64); 8] = [
        ("around 1", &|_| 1.0),
        ("unit columns over ten million tokens", &|_| 3e-4),
        ("hundreds", &|_| 300.0),
        ("tiny", &|_| 1e-18),
        ("huge", &|_| 1e18),
        ("growing by tokens", &|i| 1e-6 * 1.04f64.powi(i as i32)),
        ("falling by tokens", &|i| 1e6 * 0.96f64.powi(i as i32)),
        ("one large token", &|i| if i == 600 { 1e4 } else { 1e-2 }),
    ];
    for (case, scale) in cases {
        let y = scaled(Dense::random_coefficients(2, n, k), scale);
        let wanted = oracle::product(&y.transposed(), &x).values;
        let plain = relative_difference(&product(&engine, variant("tile_128"), &x, &y, 1), &wanted);
        for variant in &variants {
            for parts in [1, 3] {
                let off = relative_difference(&product(&engine, variant, &x, &y, parts), &wanted);
                assert!(
                    off <= 4.0 * plain.max(5e-8),
                    "{}, coefficients {case}, {parts} parts: off by {off:.1e}, in f32 by {plain:.1e}",
                    variant.name
                );
            }
        }
    }
}

#[test]
fn every_tile_of_a_product_is_where_it_belongs() {
    let (engine, variants) = cooperative();
    // Two tiles of the widest and of the tallest, and a part of another.
    let (n, d, k) = (70, 530, 240);
    let (x, y) = (Dense::random(16, n, d, F16), Dense::random_coefficients(17, n, k));
    let wanted = oracle::product(&y.transposed(), &x).values;
    for variant in variants {
        let off = relative_difference(&product(&engine, variant, &x, &y, 2), &wanted);
        assert!(off <= 1e-6, "{}: off by {off:.1e}", variant.name);
    }
}

#[test]
fn small_features_beside_large_ones_keep_their_digits() {
    let (engine, variants) = cooperative();
    let (n, d, k) = (257, 40, 12);
    let x = Dense::random(3, n, d, F16);
    let mut y = Dense::random_coefficients(4, n, k);
    // Feature k is 2⁻ᵏ times the first one.
    y.values.iter_mut().enumerate().for_each(|(i, v)| *v *= 0.5f64.powi((i % k) as i32));
    let y = scaled(y, |_| 1.0);
    let wanted = oracle::product(&y.transposed(), &x).values;
    for variant in variants {
        let found = product(&engine, variant, &x, &y, 1);
        for (feature, (found, wanted)) in found.chunks(d).zip(wanted.chunks(d)).enumerate() {
            let off = relative_difference(found, wanted);
            assert!(off <= 1e-6, "{}, feature {feature}: off by {off:.1e}", variant.name);
        }
    }
}

#[test]
fn they_are_chosen_by_default_after_a_trial() {
    let engine = engine();
    let extent = [1 << 14, 1 << 9, 1];
    let chosen = |element| engine.variant(&CROSS_PRODUCT, element, Precision::F32, extent).expect("a variant");
    for element in ELEMENTS {
        assert!(chosen(element).needs.cooperative_matrix.is_some(), "{element}: {}", chosen(element).name);
    }
    assert_eq!(chosen(ElementType::F32).name, "tile_128");
    // Who asks for another variant gets it.
    prefer(&engine, &CROSS_PRODUCT, F16, variant("tile_64"));
    assert_eq!(chosen(F16).name, "tile_64");
}

#[test]
fn where_rounding_is_allowed_coefficients_have_eleven_bits() {
    let (engine, variants) = cooperative();
    for element in ELEMENTS {
        let (x, y) = (Dense::random(10, 701, 150, element), Dense::random_coefficients(11, 701, 70));
        let wanted = oracle::product(&y.transposed(), &x).values;
        for variant in &variants {
            let found = product_of(&engine, variant, (&x, element), &y, 3, Precision::Bf16);
            let off = relative_difference(&found, &wanted);
            // A rounded number is off by 2⁻¹² of itself at most. Exact products would be off by less than 1e-6.
            assert!((1e-5..=0.5f64.powi(12)).contains(&off), "{}, {element}: off by {off:.1e}", variant.name);
        }
    }
}

#[test]
fn bf16_activations_of_any_size_are_multiplied_exactly() {
    let (engine, variants) = cooperative();
    let element = ElementType::Bf16;
    let (n, d, k) = (301, 140, 36);
    let random = Dense::random(14, n, d, element);
    let y = Dense::random_coefficients(15, n, k);
    let cases: [(&str, &dyn Fn(usize, usize) -> i32); 7] = [
        ("around 1", &|_, _| 0),
        ("tiny", &|_, _| -80),
        ("huge", &|_, _| 80),
        ("growing by tokens", &|i, _| i as i32 / 4 - 37),
        ("falling by tokens", &|i, _| 37 - i as i32 / 4),
        ("growing by neurons", &|_, j| j as i32 / 16),
        ("one large token", &|i, _| if i == 250 { 30 } else { 0 }),
    ];
    for (case, exponent) in cases {
        // Powers of two keep the values as exact as they are.
        let x = Dense::from_fn(n, d, |i, j| random.at(i, j) * 2f64.powi(exponent(i, j)));
        let wanted = oracle::product(&y.transposed(), &x).values;
        let of =
            |variant| relative_difference(&product_of(&engine, variant, (&x, element), &y, 3, Precision::F32), &wanted);
        let plain = of(variant("tile_128"));
        for variant in &variants {
            let off = of(*variant);
            assert!(
                off <= 4.0 * plain.max(5e-8),
                "{}, activations {case}: off by {off:.1e}, in f32 by {plain:.1e}",
                variant.name
            );
        }
    }
}

#[test]
fn whole_fits_agree_with_those_of_f32() {
    let engine = engine();
    // So many features and neurons that tiles on cooperative matrices are not passed over for smaller ones.
    let (n, d, k) = (1_300, 256, 40);
    let x = planted(12, n, d, k, F16);
    let start = DenseMatrix { rows: n, columns: k, values: Dense::random_coefficients(13, n, k).to_f32() };
    for solver in [Solver::Hals, Solver::ProjectedLs] {
        let settings = SemiNmf::new(k as u32)
            .sparsity(0.1)
            .solver(solver)
            .init_coefficients(start.clone())
            .max_iterations(10)
            .tolerance(0.0);
        // The same numbers as f16, which cooperative matrices multiply, and as f32, which they do not.
        let [f16, f32] = [F16, ElementType::F32].map(|element| {
            let activations = engine.load(&x.to_activations(element)).expect("loading");
            settings.fit(&engine, &activations).expect("a fit").summary.relative_error
        });
        let extent = [d as u32, k as u32, 1];
        let used = engine.variant(&CROSS_PRODUCT, F16, Precision::F32, extent).expect("a variant");
        assert!(used.needs.cooperative_matrix.is_some(), "{}", used.name);
        assert!((f16 - f32).abs() <= 1e-3 * f32, "{solver:?}: {f16} with cooperative matrices, {f32} without");
    }
}

#[test]
fn zeros_are_zeros() {
    let (engine, variants) = cooperative();
    let (x, y) = (Dense::random(5, 45, 20, F16), Dense::from_fn(45, 9, |_, _| 0.0));
    for variant in variants {
        assert!(product(&engine, variant, &x, &y, 1).iter().all(|v| *v == 0.0), "{}", variant.name);
    }
}

#[test]
fn they_repeat_to_the_bit() {
    let (engine, variants) = cooperative();
    let (x, y) = (Dense::random(6, 333, 140, F16), Dense::random_coefficients(7, 333, 67));
    for variant in variants {
        let first = product(&engine, variant, &x, &y, 2);
        let second = product(&engine, variant, &x, &y, 2);
        assert!(first.iter().map(|v| v.to_bits()).eq(second.iter().map(|v| v.to_bits())), "{}", variant.name);
    }
}

#[test]
fn what_lies_between_rows_of_activations_changes_nothing() {
    let (engine, variants) = cooperative();
    let (n, d, stride, k) = (70, 131, 144, 33);
    // Small whole numbers, which both types hold.
    let (x, y) =
        (Dense::from_fn(n, d, |i, j| ((7 * i + 3 * j) % 19) as f64 - 9.0), Dense::random_coefficients(9, n, k));
    let wanted = oracle::product(&y.transposed(), &x).values;
    let f16 = |value: f64| half::f16::from_f64(value).to_bits();
    let bf16 = |value: f64| half::bf16::from_f64(value).to_bits();
    let kinds: [(ElementType, &dyn Fn(f64) -> u16); 2] = [(F16, &f16), (ElementType::Bf16, &bf16)];
    let garbage = [f64::NAN, f64::INFINITY];
    for ((element, stored), garbage) in kinds.into_iter().flat_map(|kind| garbage.map(|garbage| (kind, garbage))) {
        let rows: Vec<u16> = (0..n * stride)
            .map(|i| stored(if i % stride < d { x.at(i / stride, i % stride) } else { garbage }))
            .collect();
        let bytes = bytemuck::cast_slice(&rows);
        let buffer = engine.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        engine.queue().write_buffer(&buffer, 0, bytes);
        for variant in &variants {
            prefer(&engine, &CROSS_PRODUCT, element, variant);
            let activations = engine
                .activations_from_buffer(buffer.clone(), 0, n as u64, d as u32, element, stride as u32)
                .expect("rows in a buffer");
            let mut bench = Bench::over(&engine, activations);
            let (panel, y) = (bench.panel(), bench.matrix(&y));
            let out = bench.output(k as u32, d as u32);
            let ran = bench.run(|r| cross_product(r, panel, y, out, 1.0, false, Summation::default()));
            assert_close(variant.name, &engine, &ran.matrix(out), &wanted, 1e-6);
        }
    }
}
