//! The runs of a consensus: short fits from independent starts, of which only the features matter.
//!
//! Each run starts as a fit does. Then all runs iterate in lockstep through their parts (`run_parts`), without losses and without reports. If
//! the first neurons stand for all of them, most iterations see these alone. Runs that agree too little go on from their features.

use std::ops::ControlFlow;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unmix_kernels::{Recording, squared_norm};

use crate::consensus_checkpoints::ConsensusCheckpoints;
use crate::factors_in_place::sparse_features;
use crate::fit::{Beginning, Fit};
use crate::likeness::{correlation, cosines};
use crate::panels::Panel;
use crate::refit::write_features;
use crate::revival::{Replacement, replacements};
use crate::run::{Run, random};
use crate::run_parts::{FIRST_NEURONS, Part, PartKind, Sampling, Settling, parts};
use crate::sparse_features::SparseFeatures;
use crate::start::{gives_features, start};
use crate::steps::{Steps, sample_passes, widening_passes};
use crate::token_rows::activations_of;
use crate::watch::Watch;
use crate::{Error, Options, Progress, Stage, kmeans};

/// Tokens whose cosines over the first neurons are compared with those over the others.
const COMPARED_TOKENS: u64 = 64;
/// The first neurons stand for all of them if these cosines have at least this correlation: 0.68 over neurons of many layers in random order,
/// and about 0 if the first neurons are noise, constants or copies. Otherwise all iterations see all neurons.
const LEAST_CORRELATION: f64 = 0.5;
/// Number of iterations that the runs do afterwards if they agree too little. More of them help less and less.
const MORE_ITERATIONS: u32 = 4;

/// The seed of a run. Runs of different seeds have different seeds, whatever their numbers.
pub(crate) fn run_seed(seed: u64, run: u32) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1 + u64::from(run));
    // Numbers of 53 bits are read exactly by programs that have no others than f64.
    rng.next_u64() >> 11
}

/// The options of a run with this seed. Its penalty is larger once it is known which neurons the runs see.
pub(crate) fn run_options(of: &Options, seed: u64, iterations: u32) -> Options {
    Options {
        seed,
        max_iterations: iterations,
        tolerance: 0.0,
        warm_up: 0,
        keep_best: false,
        debias: false,
        ..of.clone()
    }
}

/// Runs whose iterations are over.
pub(crate) struct Runs<'a> {
    /// The runs that were computed together last. Their session and buffers may be used for something else now.
    fits: Vec<Fit<'a>>,
    /// The features of each run.
    pub features: Vec<SparseFeatures>,
    /// Number of iterations of each run.
    pub iterations: u32,
    /// Whether all iterations saw all neurons.
    pub saw_all_neurons: bool,
    /// The tokens that the last iterations saw, if the runs can go on from their features alone.
    last_sampling: Option<Sampling>,
}

/// Runs that are computed together: so many of all runs, from a number on.
pub(crate) struct Group<'a> {
    /// Number of the first run, from 0.
    pub first: usize,
    /// Number of all runs.
    pub of: u32,
    /// The runs of the group before, whose buffers are used again if they suffice.
    pub before: Option<Runs<'a>>,
}

/// Computes the runs of a group with these options in lockstep, from where the checkpoints say that they are. If the caller stops, the runs
/// after the second that have not started are left out, and the others do no more iterations than the first one.
pub(crate) async fn runs<'a, P: FnMut(&Progress) -> ControlFlow<()>>(
    run: Run<'a>,
    options: Vec<Options>,
    Group { first, of, before }: Group<'a>,
    checkpoints: &mut ConsensusCheckpoints,
    watch: &mut Watch<'_, P>,
) -> Result<Runs<'a>, Error> {
    let beginning = |options: Options| Beginning {
        gathered: kmeans::likely_tokens(&options, run.distribution.tokens(), random(&options)),
        options,
    };
    let beginnings: Vec<Beginning> = options.into_iter().map(beginning).collect();
    let before = before.map_or_else(Vec::new, |before| before.fits);
    let mut fits = if before.len() >= beginnings.len() && !run.activations.is_streamed() {
        Fit::begin_again(before, beginnings)?
    } else {
        drop(before);
        Fit::begin(run.engine, run.activations, Arc::clone(&run.distribution), beginnings, run.copies_samples).await?
    };
    let iterations = fits[0].options.max_iterations;
    let gives_features = gives_features(&fits[0].options);
    let neurons = first_neurons(&fits[0]).await?;
    let is_narrow = neurons < fits[0].neurons;
    let settling = Settling::of(is_narrow);
    fits.iter_mut().for_each(|fit| fit.options.penalty *= settling.penalty_factor);
    let mut narrow: Vec<Fit<'_>> = fits.iter().map(|fit| fit.first_neurons(neurons)).collect();
    let parts = if gives_features { parts(iterations, is_narrow) } else { Vec::new() };
    let number = first as u32 + 1;
    let (mut done, mut rngs) = match checkpoints.iterations_of(first) {
        Some(done) => (done, checkpoints.restore(first, between_parts(&parts, done, &narrow, &fits))?),
        None => (0, start_all(&narrow, number, of, watch).await?),
    };
    fits.iter().for_each(|fit| fit.samples.release(&fit.io));
    fits.truncate(rngs.len());
    narrow.truncate(rngs.len());
    if gives_features && done == 0 {
        checkpoints.are_at(first, &narrow, done, &rngs, watch).await?;
    }
    let last = number + fits.len() as u32 - 1;
    let may_go_on = |checkpoints: &mut ConsensusCheckpoints, watch: &mut Watch<'_, P>, iteration| {
        let goes_on = watch.stage(Stage::Runs { first: number, last, of, iteration, iterations });
        checkpoints.keep_up(watch).map(|()| goes_on)
    };
    let mut goes_on = true;
    for &Part { kind, sampling, until } in &parts {
        // Runs that were stopped need features over all neurons as well.
        if done >= until || !(goes_on || kind == PartKind::Widening) {
            continue;
        }
        let seen = if kind == PartKind::Whole { &fits } else { &narrow };
        let samples = sampling.panels_of(if kind == PartKind::Widening { &fits } else { seen }, number);
        prepare(seen, &samples)?;
        if kind == PartKind::Widening {
            goes_on &= may_go_on(checkpoints, watch, done + 1)?;
            widen(&narrow, &fits, &samples)?;
            done += 1;
        } else {
            let rngs = if kind == PartKind::Reviving { &mut rngs[..] } else { &mut [] };
            let may_go_on = |iteration| may_go_on(checkpoints, watch, iteration);
            goes_on = iterate(seen, &samples, rngs, &mut done, until, may_go_on).await?;
        }
        if goes_on {
            checkpoints.are_at(first, between_parts(&parts, done, &narrow, &fits), done, &rngs, watch).await?;
        }
    }
    if !gives_features && done < iterations {
        fits.iter().try_for_each(first_features)?;
        let all: Vec<_> = fits.iter().map(|fit| fit.panels.clone()).collect();
        let may_go_on = |iteration| may_go_on(checkpoints, watch, iteration);
        if iterate(&fits, &all, &mut [], &mut done, iterations, may_go_on).await? {
            checkpoints.are_at(first, &fits, done, &[], watch).await?;
        }
    }
    let mut features = Vec::with_capacity(fits.len());
    for fit in &fits {
        features.push(sparse_features(fit).await?);
    }
    let last_sampling = gives_features.then_some(settling.sampling);
    Ok(Runs { fits, features, iterations: done, saw_all_neurons: !is_narrow, last_sampling })
}

/// Starts runs, the first of which has this number, and returns their random numbers. If the caller stops, two start at least.
async fn start_all<P: FnMut(&Progress) -> ControlFlow<()>>(
    fits: &[Fit<'_>],
    first: u32,
    of: u32,
    watch: &mut Watch<'_, P>,
) -> Result<Vec<ChaCha8Rng>, Error> {
    let last = first + fits.len() as u32 - 1;
    let goes_on = watch.stage(Stage::StartRuns { first, last, of });
    let fits = if goes_on { fits } else { &fits[..fits.len().min(2)] };
    let mut rngs: Vec<ChaCha8Rng> = fits.iter().map(|fit| random(&fit.options)).collect();
    if gives_features(&fits[0].options) {
        kmeans::features(fits, &mut rngs, watch).await?;
        return Ok(rngs);
    }
    for (started, fit) in fits.iter().enumerate() {
        if started >= 2 && watch.is_interrupted() {
            rngs.truncate(started);
            break;
        }
        start(fit, None, &mut rngs[started], watch).await?;
    }
    Ok(rngs)
}

/// The fits that the features belong to between two parts, when so many iterations are done.
fn between_parts<'f, 'a>(parts: &[Part], done: u32, narrow: &'f [Fit<'a>], fits: &'f [Fit<'a>]) -> &'f [Fit<'a>] {
    if parts.iter().any(|part| part.kind == PartKind::Widening && done < part.until) { narrow } else { fits }
}

impl<'a> Runs<'a> {
    /// One of the runs, for its session, its buffers and what it has measured.
    pub fn any(&self) -> &Fit<'a> {
        &self.fits[0]
    }

    /// Gives back the memory of coefficients that nobody needs. Runs that go on begin with zeros.
    pub fn release_coefficients(&self) {
        let others = self.fits[1..].iter();
        let all = others.flat_map(|fit| fit.buffers.tokens.iter().map(move |tokens| (fit, tokens)));
        all.for_each(|(fit, tokens)| fit.io.release(tokens.coefficients.buffer()));
    }

    /// Has all runs do more iterations, which begin with coefficients of zero, as the last ones did. As many runs as were computed together last
    /// are now. Those that have gone on before the checkpoint do not again. Returns whether the runs went on: they do not if they need more
    /// than their features to, and not if the caller stops.
    pub async fn go_on<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        checkpoints: &mut ConsensusCheckpoints,
        watch: &mut Watch<'_, P>,
    ) -> Result<bool, Error> {
        let Some(sampling) = self.last_sampling else { return Ok(false) };
        let (of, iterations) = (self.features.len() as u32, self.iterations + MORE_ITERATIONS);
        let mut features = checkpoints.gone_on(self.fits[0].neurons)?;
        for group in self.features[features.len()..].chunks(self.fits.len()) {
            let fits = &self.fits[..group.len()];
            fits.iter().zip(group).try_for_each(|(fit, features)| write_features(fit, features))?;
            let first = features.len() as u32 + 1;
            let last = first + group.len() as u32 - 1;
            let samples = sampling.panels_of(fits, first);
            prepare(fits, &samples)?;
            let may_go_on = |iteration| {
                let goes_on = watch.stage(Stage::Runs { first, last, of, iteration, iterations });
                checkpoints.keep_up(watch).map(|()| goes_on)
            };
            if !iterate(fits, &samples, &mut [], &mut self.iterations.clone(), iterations, may_go_on).await? {
                return Ok(false);
            }
            for fit in fits {
                features.push(sparse_features(fit).await?);
            }
            checkpoints.went_on(fits, watch).await?;
        }
        (self.features, self.iterations) = (features, iterations);
        Ok(true)
    }

    /// One of the runs, which has its session for itself, and the features of all.
    pub fn end(mut self) -> (Fit<'a>, Vec<SparseFeatures>) {
        self.release_coefficients();
        (self.fits.swap_remove(0), self.features)
    }
}

/// How many of the first neurons the first iterations see. It is the same for all runs of a consensus.
async fn first_neurons(fit: &Fit<'_>) -> Result<u32, Error> {
    if !gives_features(&fit.options) || fit.neurons <= FIRST_NEURONS {
        return Ok(fit.neurons);
    }
    let count = fit.tokens.min(COMPARED_TOKENS);
    let mut tokens = Vec::with_capacity(count as usize);
    for number in 0..count {
        tokens.push(activations_of(fit, (number * fit.tokens / count) as u32, fit.neurons).await?);
    }
    let parts: Vec<_> = tokens.iter().map(|token| token.split_at(FIRST_NEURONS as usize)).collect();
    let (first, others): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let stand_for_all = correlation(&cosines(&first), &cosines(&others)) >= LEAST_CORRELATION;
    Ok(if stand_for_all { FIRST_NEURONS } else { fit.neurons })
}

/// Finds features for coefficients of which only the sums are known.
fn first_features(fit: &Fit<'_>) -> Result<(), Error> {
    let mut recording = fit.steps().start();
    recording.append(fit.steps().features_step(0.0));
    fit.io.run_once(recording)
}

/// Brings the norms of the samples' tokens, over the neurons that the runs see, to their places, and sets the coefficients to zero.
fn prepare(fits: &[Fit<'_>], samples: &[Vec<Panel>]) -> Result<(), Error> {
    let mut recording = Recording::new();
    for (fit, panels) in fits.iter().zip(samples) {
        if fit.neurons == fit.layout.neurons {
            fit.measured.write_norms(&fit.io, panels, &fit.buffers)?;
        } else {
            for panel in panels {
                let seen = panel.first_neurons(fit.neurons).activations;
                squared_norm(&mut recording, seen, fit.buffers.squared_norms(panel), fit.measured.scale);
            }
        }
        panels.iter().for_each(|panel| recording.clear(fit.buffers.coefficients(panel).buffer()));
    }
    fits[0].io.run_once(recording)
}

/// An iteration after which runs that have seen their first neurons alone have features over all neurons. `samples` have all neurons.
fn widen(narrow: &[Fit<'_>], fits: &[Fit<'_>], samples: &[Vec<Panel>]) -> Result<(), Error> {
    let runs = narrow.iter().zip(fits).zip(samples);
    let steps: Vec<_> = runs.map(|((narrow, fit), sample)| (narrow.steps(), fit.steps(), &sample[..])).collect();
    fits[0].io.run_once(widening_passes(&steps))?;
    fits.iter().try_for_each(first_features)?;
    // The norms over the first neurons may be where those over all neurons were.
    fits.iter().try_for_each(|fit| fit.measured.write_norms(&fit.io, &fit.panels, &fit.buffers))
}

/// Iterates over the samples until `until` iterations are done. If there are random numbers for each fit, dead features are revived.
/// `may_go_on` is asked before each iteration. Returns false if it ends them, which it cannot before the first one.
async fn iterate(
    fits: &[Fit<'_>],
    samples: &[Vec<Panel>],
    rngs: &mut [ChaCha8Rng],
    done: &mut u32,
    until: u32,
    mut may_go_on: impl FnMut(u32) -> Result<bool, Error>,
) -> Result<bool, Error> {
    if *done >= until {
        return Ok(true);
    }
    let steps: Vec<(Steps<'_>, &[Panel])> =
        fits.iter().zip(samples).map(|(fit, sample)| (fit.steps(), &sample[..])).collect();
    let io = &fits[0].io;
    let pass = io.prepare(sample_passes(&steps))?;
    let update = |relaxation: &dyn Fn(&Options) -> f64| {
        let mut recording = Recording::new();
        steps.iter().for_each(|(steps, _)| recording.append(steps.features_step(relaxation(steps.options))));
        io.prepare(recording)
    };
    let (first_update, next_update) = (update(&|_| 0.0)?, update(&|options| options.relaxation)?);
    while *done < until {
        if !may_go_on(*done + 1)? && *done > 0 {
            return Ok(false);
        }
        pass.run()?;
        let mut revived = Vec::new();
        for ((fit, sample), rng) in fits.iter().zip(samples).zip(&mut *rngs).filter(|((fit, _), _)| fit.options.revive)
        {
            let new = replacements(fit, sample, &dead(fit).await?, rng).await?;
            revived.extend(new.into_iter().map(|(feature, replacement)| (fit, feature, replacement)));
        }
        if *done == 0 { &first_update } else { &next_update }.run()?;
        for (fit, feature, Replacement { neurons, values }) in revived {
            fit.io.write_feature(&fit.buffers.features, feature, &neurons, &values)?;
        }
        *done += 1;
    }
    Ok(true)
}

/// The features that no token of the last pass uses.
async fn dead(fit: &Fit<'_>) -> Result<Vec<u32>, Error> {
    let gram = fit.io.read_matrix(fit.buffers.sums.gram).await?;
    Ok((0..gram.rows).filter(|&k| gram.row(k)[k] == 0.0).map(|k| k as u32).collect())
}
