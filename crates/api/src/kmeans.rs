//! k-means on the tokens' directions (Lloyd), as a start for the features or the coefficients.

use std::ops::ControlFlow;

use half::bf16;
use rand::RngExt;
use rand::seq::index;
use unmix_kernels::{
    Assignment, Matrix, Precision, Recording, kmeans_assign, projection, squared_norm, winner_take_all,
};

use crate::buffers::{GATHERED_ROWS, PanelBuffers};
use crate::fit::{Fit, rows_at_once};
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Progress, Stage};

/// Lloyd steps; more do not change what a fit reaches.
const STEPS: usize = 3;
/// Tokens for each cluster of which the centroids are made: every so-many-th of all.
const TOKENS_PER_CLUSTER: u64 = 16;
/// Neurons by which tokens are compared: the first ones, since their order means nothing.
pub(crate) const COMPARED_NEURONS: u32 = 2048;

/// Fills the features with the clusters' directions, cut to their strongest neurons, and the coefficients with zeros. Gives the
/// share of the directions' energy that the clusters' means explain.
pub(crate) async fn features<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &mut Fit<'_>,
    watch: &mut Watch<'_, P>,
) -> Result<f64, Error> {
    let sizes = cluster(fit, watch).await?;
    let explained = explained_share(fit, &sizes).await?;
    let b = &fit.buffers;
    if b.centroids != b.features.dense {
        fit.session.release(b.centroids.buffer());
    }
    let mut recording = Recording::new();
    let (sums, dense) = (b.least_squares.cross, b.features.dense);
    recording.copy(sums.buffer(), dense.buffer(), dense.elements() * 4);
    winner_take_all(&mut recording, &b.features, 0, fit.options.rank, true);
    for panel in &b.panels {
        recording.clear(panel.coefficients.buffer());
    }
    fit.run_once(recording)?;
    Ok(explained)
}

/// Σ ‖sₖ‖² / nₖ over Σ nₖ, of clusters of nₖ tokens whose directions' sums sₖ are in the cross product.
async fn explained_share(fit: &Fit<'_>, sizes: &[u32]) -> Result<f64, Error> {
    let mut recording = Recording::new();
    squared_norm(&mut recording, fit.buffers.least_squares.cross, fit.buffers.centroid_norms, 1.0);
    fit.run_once(recording)?;
    let norms: Vec<f32> = fit.read(fit.buffers.centroid_norms, sizes.len() as u64).await?;
    let explained: f64 = norms.iter().zip(sizes).map(|(&norm, &size)| f64::from(norm) / f64::from(size.max(1))).sum();
    Ok(explained / f64::from(sizes.iter().sum::<u32>().max(1)))
}

/// Fills the coefficients: each token starts with the least-squares coefficient of its own cluster's centroid.
pub(crate) async fn coefficients<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &mut Fit<'_>,
    watch: &mut Watch<'_, P>,
) -> Result<(), Error> {
    let sizes = cluster(fit, watch).await?;
    write_means(fit, fit.neurons, &sizes).await?;
    assign(fit, &Sample { every: 1, neurons: fit.neurons }, true).await?;
    Ok(())
}

/// Rows and columns of the activations that a step looks at.
struct Sample {
    /// One token of so many.
    every: u32,
    /// The first so many neurons.
    neurons: u32,
}

impl Sample {
    /// The panels with sampled rows, and these rows.
    fn of<'a>(&self, panels: &'a [PanelBuffers]) -> impl Iterator<Item = (&'a PanelBuffers, Matrix)> {
        let every = self.every;
        panels.iter().filter_map(move |panel| Some((panel, panel.activations.sampled(panel.first_row, every)?)))
    }
}

/// The largest prime up to `most`, or 1: with a divisor in common, a step would meet the same few positions of prompts that
/// are all of one length.
pub(crate) fn largest_prime(most: u64) -> u32 {
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let is_prime = |n: &u32| (2..).take_while(|d| d * d <= u64::from(*n)).all(|d| !u64::from(*n).is_multiple_of(d));
    (2..=most).rev().find(is_prime).unwrap_or(1)
}

/// Finds clusters of the tokens' directions; leaves the sum of each cluster's directions in the cross product and gives its
/// size.
async fn cluster<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &mut Fit<'_>,
    watch: &mut Watch<'_, P>,
) -> Result<Vec<u32>, Error> {
    let rank = fit.options.rank as usize;
    let wanted = TOKENS_PER_CLUSTER * u64::from(fit.options.rank);
    let sample = Sample { every: largest_prime(fit.tokens / wanted), neurons: fit.neurons.min(COMPARED_NEURONS) };
    let candidates: Vec<u32> = (0..fit.tokens as u32).filter(|&token| fit.token_energy[token as usize] > 0.0).collect();
    if candidates.is_empty() {
        return Ok(vec![0; rank]);
    }
    let mut chosen: Vec<u32> = index::sample(&mut fit.rng, candidates.len(), rank.min(candidates.len()))
        .into_iter()
        .map(|place| candidates[place])
        .collect();
    // Fewer tokens than clusters: the rest start as copies and are told apart by the empty clusters' redraw.
    while chosen.len() < rank {
        chosen.push(candidates[fit.rng.random_range(0..candidates.len())]);
    }
    for (tokens, first) in chosen.chunks(GATHERED_ROWS as usize).zip((0..).step_by(GATHERED_ROWS as usize)) {
        write(fit, first, directions(fit, tokens, sample.neurons).await?)?;
    }
    for _ in 1..STEPS {
        if !watch.stage(Stage::Start) {
            break;
        }
        let sizes = assign(fit, &sample, false).await?;
        sum_directions(fit, &sample, sample.neurons)?;
        write_means(fit, sample.neurons, &sizes).await?;
        for empty in (0..rank).filter(|&k| sizes[k] == 0) {
            let redrawn = candidates[fit.rng.random_range(0..candidates.len())];
            write(fit, empty as u32, directions(fit, &[redrawn], sample.neurons).await?)?;
        }
    }
    let sizes = assign(fit, &sample, false).await?;
    sum_directions(fit, &sample, fit.neurons)?;
    Ok(sizes)
}

/// The first `neurons` activations of a few tokens, divided by the norm of all of them.
async fn directions(fit: &Fit<'_>, tokens: &[u32], neurons: u32) -> Result<DenseMatrix, Error> {
    let mut rows = fit.token_rows(tokens, neurons).await?;
    for (row, &token) in rows.values.chunks_exact_mut(rows.columns).zip(tokens) {
        let norm = f64::from(fit.token_energy[token as usize]).sqrt();
        row.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
    Ok(rows)
}

/// Makes the clusters' means, of their first `neurons`, the centroids: the sums in the cross product, divided by the sizes. A few
/// rows after the other, for all of them would be memory that nothing else needs.
async fn write_means(fit: &Fit<'_>, neurons: u32, sizes: &[u32]) -> Result<(), Error> {
    let (sums, columns) = (fit.buffers.least_squares.cross, neurons as usize);
    for (sizes, first) in sizes.chunks(rows_at_once(sums)).zip((0..).step_by(rows_at_once(sums))) {
        let rows = fit.read_rows(sums, first).await?;
        let mut values = Vec::with_capacity(sizes.len() * columns);
        for (row, &size) in rows.chunks_exact(sums.stride as usize).zip(sizes) {
            values.extend(row[..columns].iter().map(|sum| sum / size.max(1) as f32));
        }
        write(fit, first, DenseMatrix { rows: sizes.len(), columns, values })?;
    }
    Ok(())
}

/// Puts centroids, or their first neurons, on the device, from cluster `first` on: rounded to bf16, since engines with matrix
/// units compare tokens with those several times as fast, and clusters stay the same but for tokens as near to two of them.
fn write(fit: &Fit<'_>, first: u32, mut centroids: DenseMatrix) -> Result<(), Error> {
    centroids.values.iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32());
    let squared_norm = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() as f32;
    let norms: Vec<f32> = centroids.values.chunks_exact(centroids.columns).map(squared_norm).collect();
    fit.write_rows(fit.buffers.centroids.first_columns(centroids.columns as u32), first, &centroids.values)?;
    Ok(fit.session.write(fit.buffers.centroid_norms, u64::from(first) * 4, bytemuck::cast_slice(&norms))?)
}

/// Assigns the sampled tokens of each panel to their nearest centroids, which leaves the panel's first coefficients for
/// [`sum_directions`], or with `final_step` those of the start. Gives the clusters' sizes.
async fn assign(fit: &Fit<'_>, sample: &Sample, final_step: bool) -> Result<Vec<u32>, Error> {
    let b = &fit.buffers;
    let mut sizes = vec![0; fit.options.rank as usize];
    for (panel, tokens) in sample.of(&b.panels) {
        let tokens = tokens.first_columns(sample.neurons);
        let first = panel.first_row.next_multiple_of(sample.every) as usize;
        let energy = fit.token_energy[first..].iter().copied().step_by(sample.every as usize);
        let norms: Vec<f32> = energy.take(tokens.rows as usize).collect();
        fit.write(b.sample_norms, &norms)?;
        let mut recording = Recording::new();
        let scores = b.projections.first_rows(tokens.rows);
        projection(&mut recording, tokens, b.centroids.first_columns(sample.neurons), scores, fit.scale);
        let operands = Assignment {
            scores,
            squared_norms: b.sample_norms,
            centroid_norms: b.centroid_norms,
            coefficients: panel.coefficients.first_rows(tokens.rows),
            assignments: b.token_words,
        };
        kmeans_assign(&mut recording, &operands, final_step);
        fit.run_once(recording)?;
        for cluster in fit.read::<u32>(b.token_words, tokens.rows.into()).await? {
            sizes[cluster as usize] += 1;
        }
    }
    Ok(sizes)
}

/// Leaves the sums of the assigned tokens' directions, of their first `neurons`, in the cross product.
fn sum_directions(fit: &Fit<'_>, sample: &Sample, neurons: u32) -> Result<(), Error> {
    let mut recording = Recording::new();
    for (index, (panel, tokens)) in sample.of(&fit.buffers.panels).enumerate() {
        let tokens = tokens.first_columns(neurons);
        let coefficients = panel.coefficients.first_rows(tokens.rows);
        fit.buffers.record_cross(&mut recording, tokens, coefficients, fit.scale, index > 0, Precision::F32);
    }
    fit.run_once(recording)
}

#[cfg(test)]
mod tests {
    use super::largest_prime;

    #[test]
    fn a_sample_meets_every_position_of_prompts_of_one_length() {
        assert_eq!([0, 1, 2, 3, 4, 9, 64, 625].map(largest_prime), [1, 1, 2, 3, 3, 7, 61, 619]);
        for length in [128, 512, 625] {
            let every = largest_prime(625) as usize;
            let positions: std::collections::HashSet<usize> = (0..length).map(|i| i * every % length).collect();
            assert_eq!(positions.len(), length);
        }
    }
}
