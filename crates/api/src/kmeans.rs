//! k-means on the tokens' directions (Lloyd), as a start for the features or the coefficients.

use std::ops::ControlFlow;

use half::bf16;
use rand::RngExt;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use unmix_kernels::{
    Assignment, Precision, Recording, cluster_means, kmeans_assign, projection, squared_norm, winner_take_all,
};

use crate::fit::Fit;
use crate::gather::Gather;
use crate::panels::Panel;
use crate::pass::{PanelSums, Pass, record_together};
use crate::sample::Sample;
use crate::session_io::rows_at_once;
use crate::token_rows::activations_of;
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Init, Options, Progress, Stage};

/// Number of Lloyd steps. More steps do not lower the error that a fit reaches.
const STEPS: usize = 3;

/// Fills the features of each fit with the directions of its clusters, cut to their strongest neurons, and the coefficients with zeros. The fits
/// share a session. Each has random numbers of its own, and gets what it would get alone. Returns for each fit the share of the energy of the
/// tokens' directions that the means of its clusters explain.
pub(crate) async fn features<P: FnMut(&Progress) -> ControlFlow<()>>(
    fits: &[Fit<'_>],
    rngs: &mut [ChaCha8Rng],
    watch: &mut Watch<'_, P>,
) -> Result<Vec<f64>, Error> {
    let sizes = cluster(fits, rngs, watch).await?;
    let explained = explained_shares(fits, &sizes).await?;
    let mut recording = Recording::new();
    for ((fit, rng), sizes) in fits.iter().zip(rngs).zip(&sizes) {
        if !fit.options.revive {
            fill_empty(fit, rng, sizes).await?;
        }
        let b = &fit.buffers;
        if b.centroids != b.features.dense {
            fit.io.release(b.centroids.buffer());
        }
        let (sums, dense) = (b.sums.cross, b.features.dense);
        recording.copy(sums.buffer(), dense.buffer(), dense.elements() * 4);
        winner_take_all(&mut recording, &b.features, true);
        for tokens in &b.tokens {
            recording.clear(tokens.coefficients.buffer());
        }
    }
    fits[0].io.run_once(recording)?;
    Ok(explained)
}

/// Gives each empty cluster the direction of a token. Otherwise its feature would be zero, and stay so where none is revived. All clusters but
/// one are empty if the tokens of the sample are alike, although the other tokens are not.
async fn fill_empty(fit: &Fit<'_>, rng: &mut ChaCha8Rng, sizes: &[u32]) -> Result<(), Error> {
    let candidates = candidates(fit);
    for (empty, _) in (0..).zip(sizes).filter(|(_, size)| **size == 0 && !candidates.is_empty()) {
        let token = candidates[rng.random_range(0..candidates.len())];
        let row = activations_of(fit, token, fit.neurons).await?;
        let values: Vec<f32> = direction(fit, &row, token).collect();
        fit.io.write_rows(fit.buffers.sums.cross, empty, &values)?;
    }
    Ok(())
}

/// The tokens that are not zero.
fn candidates(fit: &Fit<'_>) -> Vec<u32> {
    let energy = &fit.measured.token_energy;
    (0..fit.tokens as u32).filter(|&token| energy[token as usize] > 0.0).collect()
}

/// Of each fit: Σ ‖sₖ‖² / nₖ over Σ nₖ. Cluster k has nₖ tokens, and the sum sₖ of their directions is in the cross product.
async fn explained_shares(fits: &[Fit<'_>], sizes: &[Vec<u32>]) -> Result<Vec<f64>, Error> {
    let mut recording = Recording::new();
    for Fit { buffers, .. } in fits {
        squared_norm(&mut recording, buffers.sums.cross, buffers.centroid_norms, 1.0);
    }
    fits[0].io.run_once(recording)?;
    let mut shares = Vec::with_capacity(fits.len());
    for (fit, sizes) in fits.iter().zip(sizes) {
        let norms: Vec<f32> = fit.io.read(fit.buffers.centroid_norms, sizes.len() as u64).await?;
        let explained = norms.iter().zip(sizes).map(|(&norm, &size)| f64::from(norm) / f64::from(size.max(1)));
        shares.push(explained.sum::<f64>() / f64::from(sizes.iter().sum::<u32>().max(1)));
    }
    Ok(fits[0].distribution.communicator().of_rank(0, shares))
}

/// Fills the coefficients: each token starts with the least-squares coefficient of its own cluster's centroid.
pub(crate) async fn coefficients<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &Fit<'_>,
    rng: &mut ChaCha8Rng,
    watch: &mut Watch<'_, P>,
) -> Result<(), Error> {
    let only = std::slice::from_ref(fit);
    let sizes = cluster(only, std::slice::from_mut(rng), watch).await?;
    make_means(only, fit.neurons, &sizes)?;
    assign(only, &[&fit.panels], true).await?;
    Ok(())
}

/// Finds clusters of the tokens' directions for each fit. It leaves the sum of each cluster's directions in the cross product of the fit, and
/// returns the sizes of the clusters.
async fn cluster<P: FnMut(&Progress) -> ControlFlow<()>>(
    fits: &[Fit<'_>],
    rngs: &mut [ChaCha8Rng],
    watch: &mut Watch<'_, P>,
) -> Result<Vec<Vec<u32>>, Error> {
    let rank = |fit: &Fit<'_>| fit.options.rank as usize;
    let compared = fits[0].buffers.compared_centroids().columns;
    let all_neurons: Vec<&[Panel]> = fits.iter().map(|fit| &fit.samples.kmeans.panels[..]).collect();
    let samples: Vec<Sample> = fits.iter().map(|fit| fit.samples.kmeans.first_neurons(compared)).collect();
    let samples: Vec<&[Panel]> = samples.iter().map(|sample| &sample.panels[..]).collect();
    let candidates = candidates(&fits[0]);
    if candidates.is_empty() {
        return Ok(fits.iter().map(|fit| vec![0; rank(fit)]).collect());
    }
    for (fit, rng) in fits.iter().zip(&mut *rngs) {
        let chosen: Vec<u32> =
            draw(rng, candidates.len(), rank(fit)).into_iter().map(|place| candidates[place]).collect();
        write_directions(fit, &chosen).await?;
    }
    for _ in 1..STEPS {
        if !watch.stage(Stage::Start) {
            break;
        }
        let sizes = assign(fits, &samples, false).await?;
        sum_directions(fits, &samples)?;
        make_means(fits, compared, &sizes)?;
        for ((fit, rng), sizes) in fits.iter().zip(&mut *rngs).zip(sizes) {
            for empty in (0..rank(fit)).filter(|&k| sizes[k] == 0) {
                let redrawn = candidates[rng.random_range(0..candidates.len())];
                let row = activations_of(fit, redrawn, compared).await?;
                let values = direction(fit, &row, redrawn).collect();
                write(fit, empty as u32, DenseMatrix { rows: 1, columns: compared as usize, values })?;
            }
        }
    }
    let sizes = assign(fits, &samples, false).await?;
    sum_directions(fits, &all_neurons)?;
    Ok(sizes)
}

/// Draws a token for each cluster to start with. The result are places among `candidates` candidates.
fn draw(rng: &mut ChaCha8Rng, candidates: usize, rank: usize) -> Vec<usize> {
    let mut places = index::sample(rng, candidates, rank.min(candidates)).into_vec();
    // If there are fewer tokens than clusters, the remaining clusters start as copies. They are told apart later, when empty clusters are
    // drawn again.
    while places.len() < rank {
        places.push(rng.random_range(0..candidates));
    }
    places
}

/// The tokens that the clusters will start with if no tokens are zero, which is known only after measuring. It is empty if the fit does not
/// start by k-means. `rng` must be in the state in which the start will draw from it.
pub(crate) fn likely_tokens(options: &Options, tokens: u64, mut rng: ChaCha8Rng) -> Vec<u32> {
    if options.init != Init::Kmeans {
        return Vec::new();
    }
    draw(&mut rng, tokens as usize, options.rank as usize).into_iter().map(|token| token as u32).collect()
}

/// Makes the directions of the chosen tokens the centroids. The pass that measured the activations has usually gathered them there already.
async fn write_directions(fit: &Fit<'_>, chosen: &[u32]) -> Result<(), Error> {
    let rows = fit.buffers.compared_centroids();
    if fit.gathered != chosen {
        let gather = Gather { tokens: chosen, indices: fit.buffers.gathered_tokens, out: rows };
        gather.run(&fit.io, &fit.panels, fit.measured.scale)?;
    }
    let columns = rows.columns as usize;
    for (tokens, first) in chosen.chunks(rows_at_once(rows)).zip((0..).step_by(rows_at_once(rows))) {
        let padded = fit.io.read_rows(rows, first).await?;
        let own: Vec<f32> = padded
            .chunks_exact(rows.stride as usize)
            .zip(tokens)
            .filter(|(_, token)| fit.distribution.has(**token))
            .flat_map(|(row, &token)| direction(fit, &row[..columns], token))
            .collect();
        let values = in_order_of(fit, tokens, columns, own);
        write(fit, first, DenseMatrix { rows: tokens.len(), columns, values })?;
    }
    Ok(())
}

/// The rows of `tokens` in their order, given those of the tokens that this rank has.
fn in_order_of(fit: &Fit<'_>, tokens: &[u32], columns: usize, own: Vec<f32>) -> Vec<f32> {
    let communicator = fit.distribution.communicator();
    if communicator.ranks() == 1 {
        return own;
    }
    let of_ranks = communicator.of_each_rank(&own);
    let mut rows: Vec<_> = of_ranks.iter().map(|rows| rows.chunks_exact(columns)).collect();
    let row = |&token: &u32| rows[fit.distribution.owner_of(token) as usize].next().unwrap_or_default();
    tokens.iter().flat_map(row).copied().collect()
}

/// The given activations of a token, divided by the norm of all of its activations.
fn direction<'v>(fit: &Fit<'_>, values: &'v [f32], token: u32) -> impl Iterator<Item = f32> + use<'v> {
    let norm = f64::from(fit.measured.token_energy[token as usize]).sqrt();
    values.iter().map(move |&value| (f64::from(value) / norm) as f32)
}

/// Makes the means of the clusters, over their first `neurons` neurons, the centroids. A mean is the sum in the cross product divided by
/// the size of the cluster.
fn make_means(fits: &[Fit<'_>], neurons: u32, sizes: &[Vec<u32>]) -> Result<(), Error> {
    let mut recording = Recording::new();
    for (Fit { io, buffers: b, .. }, sizes) in fits.iter().zip(sizes) {
        io.write(b.cluster_sizes, sizes)?;
        let centroids = b.centroids.first_columns(neurons);
        cluster_means(&mut recording, b.sums.cross, b.cluster_sizes, centroids, b.centroid_norms);
    }
    fits[0].io.run_once(recording)
}

/// Writes centroids, or their first neurons, to the device, beginning with cluster `first`. They are rounded to bf16, as [`cluster_means`]
/// rounds the means.
fn write(fit: &Fit<'_>, first: u32, mut centroids: DenseMatrix) -> Result<(), Error> {
    centroids.values.iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32());
    let squared_norm = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() as f32;
    let norms: Vec<f32> = centroids.values.chunks_exact(centroids.columns).map(squared_norm).collect();
    fit.io.write_rows(fit.buffers.centroids.first_columns(centroids.columns as u32), first, &centroids.values)?;
    fit.io.write_at(fit.buffers.centroid_norms, first.into(), &norms)
}

/// Assigns the tokens of some panels of each fit to their nearest centroids. Returns the sizes of each fit's clusters over all ranks. It leaves
/// coefficients in each panel: those that [`sum_directions`] needs, or with `final_step` those of the start.
async fn assign(fits: &[Fit<'_>], panels: &[&[Panel]], final_step: bool) -> Result<Vec<Vec<u32>>, Error> {
    let mut sizes: Vec<Vec<u32>> = fits.iter().map(|fit| vec![0; fit.options.rank as usize]).collect();
    for place in 0..panels.iter().map(|panels| panels.len()).max().unwrap_or_default() {
        let mut recording = Recording::new();
        for (fit, panel) in fits.iter().zip(panels).filter_map(|(fit, panels)| Some((fit, panels.get(place)?))) {
            let (b, tokens) = (&fit.buffers, panel.activations);
            let norms: Vec<f32> = panel.of_tokens(&fit.measured.token_energy).collect();
            fit.io.write(b.sample_norms[panel.index], &norms)?;
            let (scores, centroids) = (b.projections(panel), b.centroids.first_columns(tokens.columns));
            projection(&mut recording, tokens, centroids, scores, fit.measured.scale);
            let operands = Assignment {
                scores,
                squared_norms: b.sample_norms[panel.index],
                centroid_norms: b.centroid_norms,
                coefficients: b.coefficients(panel),
                assignments: b.token_words,
            };
            kmeans_assign(&mut recording, &operands, final_step);
        }
        fits[0].io.run_once(recording)?;
        for ((fit, panels), sizes) in fits.iter().zip(panels).zip(&mut sizes) {
            let Some(panel) = panels.get(place) else { continue };
            for cluster in fit.io.read::<u32>(fit.buffers.token_words, panel.activations.rows.into()).await? {
                sizes[cluster as usize] += 1;
            }
        }
    }
    let of_ranks = fits[0].distribution.communicator().of_each_rank(&sizes.concat());
    let mut sums = (0..sizes.iter().map(Vec::len).sum()).map(|at| of_ranks.iter().map(|sizes| sizes[at]).sum());
    Ok(sizes.iter().map(|sizes| sums.by_ref().take(sizes.len()).collect()).collect())
}

/// Leaves the sums of the directions of each fit's assigned tokens in its cross product.
fn sum_directions(fits: &[Fit<'_>], samples: &[&[Panel]]) -> Result<(), Error> {
    let passes: Vec<Pass<'_>> = fits.iter().zip(samples).map(|(fit, panels)| fit.steps().over(panels)).collect();
    let mut recording = Recording::new();
    record_together(&mut recording, &passes, |_, number, panel| PanelSums {
        cross: Some(Precision::F32),
        ..PanelSums::of(fits[number].buffers.coefficients(panel))
    });
    fits[0].io.run_once(recording)
}
