//! Computes the runs of a consensus in groups, whose runs are in memory at once.

use std::ops::ControlFlow;

use crate::consensus_checkpoints::ConsensusCheckpoints;
use crate::consensus_runs::{Group, Runs, run_options, runs};
use crate::run::Run;
use crate::watch::Watch;
use crate::{Error, Options, Progress};

/// Most runs that are in memory at once if the activations are. These cost little to read again, and the memory of a few runs is used again
/// by the next ones.
pub(crate) const RESIDENT_AT_ONCE: u32 = 10;

/// Computes runs of these seeds, as many at once as may be in memory, but at most `at_once`. Those that are done according to the checkpoints
/// are not computed again. If the caller stops, runs that did fewer iterations than others are left out.
pub(crate) async fn runs_in_groups<'a, P: FnMut(&Progress) -> ControlFlow<()>>(
    run: Run<'a>,
    options: &Options,
    (seeds, asked): (&[u64], u32),
    at_once: u32,
    checkpoints: &mut ConsensusCheckpoints,
    watch: &mut Watch<'_, P>,
) -> Result<Runs<'a>, Error> {
    let of_run = |seed: &u64| run_options(options, *seed, asked);
    let most = if run.activations.is_streamed() { u32::MAX } else { RESIDENT_AT_ONCE };
    let most = at_once.min(most) as usize;
    // Runs that go on do so in groups of the size of the last one. So the groups are as equal as possible.
    let at_once = seeds.len().div_ceil(seeds.len().div_ceil(most));
    let (mut features, mut iterations) = (checkpoints.features(run.activations.layout().neurons)?, asked);
    // If all runs are done, those of the last group are put in place again, because what follows needs their session.
    let mut next = features.len().min(seeds.len() - at_once);
    features.truncate(next);
    let mut before = None;
    loop {
        // The runs of a group are equally far.
        let is_alike = |other: &usize| checkpoints.iterations_of(*other) == checkpoints.iterations_of(next);
        let last = (next..(next + at_once).min(seeds.len())).take_while(is_alike).last().map_or(next, |run| run + 1);
        let batch = seeds[next..last].iter().map(of_run).collect();
        let group = Group { first: next, of: seeds.len() as u32, before: before.take() };
        let mut found = runs(run.clone(), batch, group, checkpoints, watch).await?;
        let is_whole = found.iterations == asked && found.features.len() == last - next;
        if found.iterations >= iterations || features.len() < 2 {
            iterations = iterations.min(found.iterations);
            features.append(&mut found.features);
        }
        if last == seeds.len() || (!is_whole && features.len() >= 2) {
            (found.features, found.iterations) = (features, iterations);
            found.release_coefficients();
            return Ok(found);
        }
        (next, before) = (last, Some(found));
    }
}
