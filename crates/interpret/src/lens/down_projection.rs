//! Features times the down-projection, whose rows are read a block at a time.

use rayon::prelude::*;
use unmix::DenseMatrix;
use unmix_data::{Error, WeightMatrix};

use super::families::Layout;

/// Numbers of the weights that are in memory at a time, for each thread.
const BLOCK: usize = 1 << 20;

/// The nonzeros of each feature, in the order of neurons.
type Nonzeros = Vec<Vec<(usize, f64)>>;

/// R = Z W_outᵀ for features Z [K, d]: directions [K, d_model], with sums in f64 over the neurons in their order.
pub(super) fn project(features: &DenseMatrix, weights: &WeightMatrix, layout: Layout) -> Result<Vec<f64>, Error> {
    let nonzeros: Nonzeros = (0..features.rows)
        .map(|k| {
            let row = features.row(k).iter().enumerate();
            row.filter(|(_, z)| **z != 0.0).map(|(neuron, &z)| (neuron, f64::from(z))).collect()
        })
        .collect();
    match layout {
        Layout::OutIn => by_outputs(&nonzeros, weights),
        Layout::InOut => by_neurons(&nonzeros, weights),
    }
}

/// Of weights [d_model, d]: each block of rows gives some columns of the directions.
fn by_outputs(nonzeros: &Nonzeros, weights: &WeightMatrix) -> Result<Vec<f64>, Error> {
    let (model, neurons) = (weights.rows(), weights.columns());
    let height = (BLOCK / neurons).clamp(1, model);
    let parts = (0..model.div_ceil(height)).into_par_iter().map(|block| {
        let rows = block * height..((block + 1) * height).min(model);
        let mut values = vec![0f32; rows.len() * neurons];
        weights.read_rows(rows, &mut values)?;
        let product = |row: &[f32], feature: &[(usize, f64)]| -> f64 {
            feature.iter().map(|&(neuron, z)| z * f64::from(row[neuron])).sum()
        };
        // Feature after feature, like the directions.
        Ok(nonzeros.iter().flat_map(|f| values.chunks_exact(neurons).map(move |row| product(row, f))).collect())
    });
    let parts: Vec<Vec<f64>> = parts.collect::<Result<_, Error>>()?;
    let mut directions = Vec::with_capacity(nonzeros.len() * model);
    for feature in 0..nonzeros.len() {
        for part in &parts {
            let height = part.len() / nonzeros.len();
            directions.extend(&part[feature * height..(feature + 1) * height]);
        }
    }
    Ok(directions)
}

/// Of weights [d, d_model]: only the rows of neurons that some feature has are read.
fn by_neurons(nonzeros: &Nonzeros, weights: &WeightMatrix) -> Result<Vec<f64>, Error> {
    let model = weights.columns();
    let mut used: Vec<usize> = nonzeros.iter().flatten().map(|&(neuron, _)| neuron).collect();
    used.sort_unstable();
    used.dedup();
    let mut directions = vec![0f64; nonzeros.len() * model];
    for block in used.chunks((BLOCK / model).max(1)) {
        let mut values = vec![0f32; block.len() * model];
        for (&neuron, row) in block.iter().zip(values.chunks_exact_mut(model)) {
            weights.read_rows(neuron..neuron + 1, row)?;
        }
        let (first, last) = (block[0], block[block.len() - 1]);
        directions.par_chunks_exact_mut(model).zip(nonzeros).for_each(|(direction, feature)| {
            let start = feature.partition_point(|&(neuron, _)| neuron < first);
            let mut place = 0;
            for &(neuron, z) in feature[start..].iter().take_while(|&&(neuron, _)| neuron <= last) {
                place += block[place..].partition_point(|&other| other < neuron);
                let row = &values[place * model..(place + 1) * model];
                direction.iter_mut().zip(row).for_each(|(sum, &weight)| *sum += z * f64::from(weight));
            }
        });
    }
    Ok(directions)
}
