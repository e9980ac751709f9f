//! Directions for steering.

use safetensors::SafeTensors;
use unmix::DenseMatrix;
use unmix_interpret::export::{ScaledFit, steering};

use crate::fixtures::{Folder, NEURONS, RANK, floats, noise, with_dead_features};

#[test]
fn steering_files_hold_directions_with_their_norms_apart() {
    let (record, _) = with_dead_features();
    let fit = ScaledFit::new(&record).expect("scaled");
    let width = 11;
    let weight = |out: usize, j: usize| noise(out * 57 + j * 3);
    let values = (0..RANK * width).map(|at| {
        let feature = fit.features.row(at / width);
        (0..NEURONS).map(|j| feature[j] * weight(at % width, j)).sum()
    });
    let directions = DenseMatrix { rows: RANK, columns: width, values: values.collect() };

    let folder = Folder::new();
    let units: Vec<f32> = (0..RANK).map(|k| k as f32 / 2.0).collect();
    assert!(steering(&folder.out(), &fit, &directions, &units[1..], false).is_err());
    steering(&folder.out(), &fit, &directions, &units, false).expect("written");
    let bytes = folder.bytes("steering.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let (own, unit) = (floats(&file, "directions", &[RANK, width]), floats(&file, "unit_directions", &[RANK, width]));
    let norms = floats(&file, "direction_norms", &[RANK]);
    for k in 0..RANK {
        for out in 0..width {
            let expected: f64 =
                (0..NEURONS).map(|j| f64::from(fit.features.row(k)[j]) * f64::from(weight(out, j))).sum();
            assert!((f64::from(own[k * width + out]) - expected).abs() < 1e-5);
            assert!((unit[k * width + out] * norms[k] - own[k * width + out]).abs() < 1e-5);
        }
    }
    assert_eq!(norms[3], 0.0);
    assert_eq!(floats(&file, "strength_units", &[RANK]), units);
    assert_eq!(floats(&file, "features", &[RANK, NEURONS]), fit.features.values);
    assert_eq!(floats(&file, "max_activations", &[RANK])[2], 0.0);
    assert!(String::from_utf8(folder.bytes("steer.py")).expect("UTF-8").contains("register_forward_hook"));
}
