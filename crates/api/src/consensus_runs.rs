//! The runs of a consensus: short fits from independent starts, of which only the features matter.
//!
//! Each run starts as a fit does. Then all runs iterate in lockstep, without losses and without reports. The first iterations see samples of
//! the tokens, and revive dead features. The last ones see all tokens, and let the features settle. If there are many neurons, most iterations
//! see the first ones alone, if these stand for the others. Then the last iterations see half of the tokens. Runs that agree too little go on
//! from their features.

use std::ops::ControlFlow;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unmix_kernels::{Recording, squared_norm};

use crate::factors_in_place::sparse_features;
use crate::fit::{Beginning, Fit};
use crate::likeness::{correlation, cosines};
use crate::panels::Panel;
use crate::refit::write_features;
use crate::revival::{Replacement, replacements};
use crate::run::{Run, random};
use crate::sample::{COMPARED_NEURONS, Sample};
use crate::sparse_features::SparseFeatures;
use crate::start::{gives_features, start};
use crate::steps::{Steps, sample_passes, widening_passes};
use crate::token_rows::activations_of;
use crate::watch::Watch;
use crate::{Error, Options, Progress, Stage, kmeans};

/// The first iterations of a run.
const FIRST: Sampling = Sampling { every: 5, fewest: 15 };
/// Runs that see all neurons in all iterations.
const OF_ALL_NEURONS: Settling = Settling { sampling: Sampling { every: 1, fewest: 0 }, penalty_factor: 1.4 };
/// Runs that see the first neurons alone in most iterations. With a larger penalty, the error of the result would be above that of one run.
const OF_FIRST_NEURONS: Settling = Settling { sampling: Sampling { every: 2, fewest: 30 }, penalty_factor: 1.2 };
/// Neurons that the first iterations see: the first ones, which need no copy. In a model, the order of neurons means nothing.
const FIRST_NEURONS: u32 = COMPARED_NEURONS;
/// Tokens whose cosines over the first neurons are compared with those over the others.
const COMPARED_TOKENS: u64 = 64;
/// The first neurons stand for all of them if these cosines have at least this correlation: 0.68 over neurons of many layers in random order,
/// and about 0 if the first neurons are noise, constants or copies. Otherwise all iterations see all neurons.
const LEAST_CORRELATION: f64 = 0.5;
/// Number of the last iterations. With more of them features come back a little more often, and a run takes longer.
const LAST_ITERATIONS: u32 = 3;
/// Number of iterations that the runs do afterwards if they agree too little. More of them help less and less.
const MORE_ITERATIONS: u32 = 4;
/// Number of iterations in which the runs see all neurons, the first of which still projects the tokens on features of some.
const WHOLE_ITERATIONS: u32 = 2;

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

/// Which tokens the iterations of a run see.
#[derive(Clone, Copy)]
struct Sampling {
    /// One token of every so many. Consecutive runs have different ones.
    every: u32,
    /// All tokens are seen if the sample would have fewer than this number for each feature.
    fewest: u64,
}

/// How runs differ from fits, and how they end.
#[derive(Clone, Copy)]
struct Settling {
    /// What the last iterations see. With all tokens, features come back more often than with half of them.
    sampling: Sampling,
    /// The runs have a penalty that is larger by this factor. Their coefficients are sparser, and `reproducibility` says better how well a
    /// feature comes back.
    penalty_factor: f64,
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

/// Computes runs with these options in lockstep. `number` is the number of the first one, from 1, and `of` that of all runs. If the caller
/// stops, the runs after the second that have not started are left out, and the others do no more iterations than the first one.
pub(crate) async fn runs<'a, P: FnMut(&Progress) -> ControlFlow<()>>(
    run: Run<'a>,
    options: Vec<Options>,
    (number, of): (u32, u32),
    watch: &mut Watch<'_, P>,
) -> Result<Runs<'a>, Error> {
    let beginning = |options: Options| Beginning {
        gathered: kmeans::likely_tokens(&options, run.distribution.tokens(), random(&options)),
        options,
    };
    let beginnings = options.into_iter().map(beginning).collect();
    let mut fits =
        Fit::begin(run.engine, run.activations, Arc::clone(&run.distribution), beginnings, run.copies_samples).await?;
    let iterations = fits[0].options.max_iterations;
    let gives_features = gives_features(&fits[0].options);
    let neurons = first_neurons(&fits[0]).await?;
    let is_narrow = neurons < fits[0].neurons;
    let settling = if is_narrow { OF_FIRST_NEURONS } else { OF_ALL_NEURONS };
    fits.iter_mut().for_each(|fit| fit.options.penalty *= settling.penalty_factor);
    let mut narrow: Vec<Fit<'_>> = fits.iter().map(|fit| fit.first_neurons(neurons)).collect();
    let mut rngs = Vec::with_capacity(fits.len());
    for (fit, number) in narrow.iter().zip(number..) {
        if !watch.stage(Stage::StartRun { run: number, of }) && rngs.len() >= 2 {
            break;
        }
        let mut rng = random(&fit.options);
        start(fit, None, &mut rng, watch).await?;
        rngs.push(rng);
    }
    fits.iter().for_each(|fit| fit.samples.release(&fit.io));
    fits.truncate(rngs.len());
    narrow.truncate(rngs.len());
    let last = number + rngs.len() as u32 - 1;
    let mut may_go_on = |iteration| watch.stage(Stage::Runs { first: number, last, of, iteration, iterations });
    let mut done = 0;
    if gives_features {
        let first_until = iterations.saturating_sub(LAST_ITERATIONS);
        let narrow_until = if is_narrow { iterations.saturating_sub(WHOLE_ITERATIONS) } else { iterations };
        let mut goes_on = true;
        // The last iterations begin with coefficients of zero as well, even if all iterations see the same tokens: where the features have much in
        // common, coefficients that went on would leave some features to few tokens.
        for (sampling, rngs, until) in
            [(FIRST, &mut rngs[..], first_until), (settling.sampling, &mut [][..], narrow_until)]
        {
            if goes_on && done < until {
                let samples = sampling.panels_of(&narrow, number);
                prepare(&narrow, &samples)?;
                goes_on = iterate(&narrow, &samples, rngs, &mut done, until, &mut may_go_on).await?;
            }
        }
        // Runs that were stopped need features over all neurons as well.
        if is_narrow {
            let samples = settling.sampling.panels_of(&fits, number);
            goes_on &= may_go_on(done + 1);
            prepare(&narrow, &samples)?;
            widen(&narrow, &fits, &samples)?;
            done += 1;
            if goes_on {
                prepare(&fits, &samples)?;
                iterate(&fits, &samples, &mut [], &mut done, iterations, &mut may_go_on).await?;
            }
        }
    } else {
        fits.iter().try_for_each(first_features)?;
        let all: Vec<_> = fits.iter().map(|fit| fit.panels.clone()).collect();
        iterate(&fits, &all, &mut [], &mut done, iterations, &mut may_go_on).await?;
    }
    let mut features = Vec::with_capacity(fits.len());
    for fit in &fits {
        features.push(sparse_features(fit).await?);
    }
    release_coefficients(&fits[1..]);
    let last_sampling = gives_features.then_some(settling.sampling);
    Ok(Runs { fits, features, iterations: done, saw_all_neurons: !is_narrow, last_sampling })
}

impl<'a> Runs<'a> {
    /// One of the runs, for its session, its buffers and what it has measured.
    pub fn any(&self) -> &Fit<'a> {
        &self.fits[0]
    }

    /// Has all runs do more iterations, which begin with coefficients of zero, as the last ones did. As many runs as were computed together last
    /// are now. Returns whether the runs went on: they do not if they need more than their features to, and not if the caller stops.
    pub async fn go_on<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        watch: &mut Watch<'_, P>,
    ) -> Result<bool, Error> {
        let Some(sampling) = self.last_sampling else { return Ok(false) };
        let (of, iterations) = (self.features.len() as u32, self.iterations + MORE_ITERATIONS);
        let mut features = Vec::with_capacity(self.features.len());
        for group in self.features.chunks(self.fits.len()) {
            let fits = &self.fits[..group.len()];
            fits.iter().zip(group).try_for_each(|(fit, features)| write_features(fit, features))?;
            let first = features.len() as u32 + 1;
            let last = first + group.len() as u32 - 1;
            let samples = sampling.panels_of(fits, first);
            prepare(fits, &samples)?;
            let may_go_on = |iteration| watch.stage(Stage::Runs { first, last, of, iteration, iterations });
            if !iterate(fits, &samples, &mut [], &mut self.iterations.clone(), iterations, may_go_on).await? {
                return Ok(false);
            }
            for fit in fits {
                features.push(sparse_features(fit).await?);
            }
        }
        (self.features, self.iterations) = (features, iterations);
        Ok(true)
    }

    /// One of the runs, which has its session for itself, and the features of all.
    pub fn end(mut self) -> (Fit<'a>, Vec<SparseFeatures>) {
        release_coefficients(&self.fits[1..]);
        (self.fits.swap_remove(0), self.features)
    }
}

/// Gives back the memory of coefficients that nobody needs. Runs that go on begin with zeros.
fn release_coefficients(fits: &[Fit<'_>]) {
    let all = fits.iter().flat_map(|fit| fit.buffers.tokens.iter().map(move |tokens| (fit, tokens)));
    all.for_each(|(fit, tokens)| fit.io.release(tokens.coefficients.buffer()));
}

impl Sampling {
    /// What each of some runs sees, the first of which is run `number`.
    fn panels_of(self, fits: &[Fit<'_>], number: u32) -> Vec<Vec<Panel>> {
        fits.iter().zip(number..).map(|(fit, number)| self.panels(fit, number)).collect()
    }

    /// The panels of a run, or samples of their rows if there are tokens enough.
    fn panels(self, fit: &Fit<'_>, number: u32) -> Vec<Panel> {
        if fit.tokens >= u64::from(self.every) * self.fewest * u64::from(fit.options.rank) {
            Sample::shifted(&fit.panels, self.every, number % self.every).panels
        } else {
            fit.panels.clone()
        }
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
    mut may_go_on: impl FnMut(u32) -> bool,
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
        if !may_go_on(*done + 1) && *done > 0 {
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
