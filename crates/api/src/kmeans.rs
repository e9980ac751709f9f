//! k-means on the tokens' directions (Lloyd), as a start for the coefficients.

use rand::RngExt;
use rand::seq::index;
use unmix_kernels::{Assignment, Recording, kmeans_assign, projection};

use crate::fit::Fit;
use crate::{DenseMatrix, Error};

/// Lloyd steps; more do not change what a fit reaches.
const STEPS: usize = 3;

/// Fills the coefficients: each token starts with the least-squares coefficient of its own cluster's centroid.
pub(crate) async fn coefficients(fit: &mut Fit<'_>) -> Result<(), Error> {
    let rank = fit.options.rank as usize;
    let candidates: Vec<u32> = (0..fit.tokens as u32).filter(|&token| fit.token_energy[token as usize] > 0.0).collect();
    if candidates.is_empty() {
        return Ok(());
    }
    let mut chosen: Vec<u32> = index::sample(&mut fit.rng, candidates.len(), rank.min(candidates.len()))
        .into_iter()
        .map(|place| candidates[place])
        .collect();
    // Fewer tokens than clusters: the rest start as copies and are told apart by the empty clusters' redraw.
    while chosen.len() < rank {
        chosen.push(candidates[fit.rng.random_range(0..candidates.len())]);
    }
    let mut centroids = directions(fit, &chosen).await?;
    write(fit, &centroids)?;
    for _ in 0..STEPS {
        let sizes = assign(fit, false).await?;
        centroids = fit.read_matrix(fit.buffers.least_squares.cross).await?;
        for (centroid, &size) in centroids.values.chunks_exact_mut(fit.neurons as usize).zip(&sizes) {
            centroid.iter_mut().for_each(|c| *c /= size.max(1) as f32);
        }
        let empty: Vec<usize> = (0..rank).filter(|&k| sizes[k] == 0).collect();
        let redrawn: Vec<u32> = empty.iter().map(|_| candidates[fit.rng.random_range(0..candidates.len())]).collect();
        let redrawn = directions(fit, &redrawn).await?;
        for (&k, direction) in empty.iter().zip(redrawn.values.chunks_exact(fit.neurons as usize)) {
            centroids.values[k * fit.neurons as usize..][..fit.neurons as usize].copy_from_slice(direction);
        }
        write(fit, &centroids)?;
    }
    assign(fit, true).await?;
    Ok(())
}

/// The tokens' activations at unit norm.
async fn directions(fit: &Fit<'_>, tokens: &[u32]) -> Result<DenseMatrix, Error> {
    let mut rows = fit.token_rows(tokens).await?;
    for row in rows.values.chunks_exact_mut(fit.neurons as usize) {
        let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
        }
    }
    Ok(rows)
}

/// The centroids lie where the features will.
fn write(fit: &Fit<'_>, centroids: &DenseMatrix) -> Result<(), Error> {
    fit.write_rows(fit.buffers.features.dense, 0, &centroids.values)?;
    let norms: Vec<f32> = centroids
        .values
        .chunks_exact(fit.neurons as usize)
        .map(|row| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() as f32)
        .collect();
    fit.write(fit.buffers.centroid_norms, &norms)
}

/// Assigns every token; gives the clusters' sizes and, but for the final step, leaves their sums in the cross product.
async fn assign(fit: &Fit<'_>, final_step: bool) -> Result<Vec<u32>, Error> {
    let b = &fit.buffers;
    let mut sizes = vec![0; fit.options.rank as usize];
    for (index, panel) in b.panels.iter().enumerate() {
        let mut recording = Recording::new();
        let scores = b.projections_of(panel);
        projection(&mut recording, panel.activations, b.features.dense, scores, fit.scale);
        let operands = Assignment {
            scores,
            squared_norms: panel.squared_norms,
            centroid_norms: b.centroid_norms,
            coefficients: panel.coefficients,
            assignments: b.token_words,
        };
        kmeans_assign(&mut recording, &operands, final_step);
        if !final_step {
            b.record_cross(&mut recording, index, panel.coefficients, fit.scale);
        }
        fit.run_once(recording)?;
        for cluster in fit.read::<u32>(b.token_words, panel.activations.rows.into()).await? {
            sizes[cluster as usize] += 1;
        }
    }
    Ok(sizes)
}
