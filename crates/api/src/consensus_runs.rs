//! The runs of a consensus: short fits from independent starts, of which only the features matter.
//!
//! Each run starts as a fit does. Then all runs iterate in lockstep over samples of the tokens, without losses and without reports.

use std::ops::ControlFlow;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unmix_kernels::Recording;

use crate::factors_in_place::features as features_in_place;
use crate::feature_cosines::unit_features;
use crate::fit::{Beginning, Fit};
use crate::panels::Panel;
use crate::run::{Run, random};
use crate::sample::Sample;
use crate::start::{Start, start};
use crate::steps::{Steps, sample_passes};
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Options, Progress, Stage, kmeans};

/// A run iterates over every second token if these are at least this many for each feature. The next run has the other half.
const FEWEST_TOKENS: u64 = 30;
/// The runs have a penalty that is larger by this factor. Their coefficients are sparser, and the runs agree better.
const PENALTY_FACTOR: f64 = 1.2;

/// The seed of a run. Runs of different seeds have different seeds, whatever their numbers.
pub(crate) fn run_seed(seed: u64, run: u32) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1 + u64::from(run));
    // Numbers of 53 bits are read exactly by programs that have no others than f64.
    rng.next_u64() >> 11
}

/// The options of a run with this seed.
pub(crate) fn run_options(of: &Options, seed: u64, iterations: u32) -> Options {
    Options {
        seed,
        penalty: of.penalty * PENALTY_FACTOR,
        max_iterations: iterations,
        tolerance: 0.0,
        warm_up: 0,
        revive: false,
        keep_best: false,
        debias: false,
        ..of.clone()
    }
}

/// Runs that were computed together.
pub(crate) struct Runs<'a> {
    /// The first run, whose session and buffers may be used for something else now.
    pub first: Fit<'a>,
    /// The features [K, d] of each run, scaled to unit norm.
    pub features: Vec<DenseMatrix>,
    /// Number of iterations of each run.
    pub iterations: u32,
}

/// Computes runs with these options in lockstep. `number` is the number of the first one, from 1, and `of` that of all runs. If the caller
/// stops, the runs after the second that have not started are left out, and the others do no more iterations than the first one.
pub(crate) async fn runs<'a, P: FnMut(&Progress) -> ControlFlow<()>>(
    run: Run<'a>,
    options: Vec<Options>,
    (number, of): (u32, u32),
    watch: &mut Watch<'_, P>,
) -> Result<Runs<'a>, Error> {
    let layout = run.activations.layout();
    let beginning = |options: Options| Beginning {
        gathered: kmeans::likely_tokens(&options, layout.tokens, random(&options)),
        options,
    };
    let mut fits =
        Fit::begin(run.engine, run.activations, options.into_iter().map(beginning).collect(), run.copies_samples)
            .await?;
    let iterations = fits[0].options.max_iterations;
    let mut samples = Vec::with_capacity(fits.len());
    for (fit, number) in fits.iter().zip(number..) {
        if !watch.stage(Stage::StartRun { run: number, of }) && samples.len() >= 2 {
            break;
        }
        let start = start(fit, None, &mut random(&fit.options), watch).await?;
        samples.push(sample(fit, start, number)?);
    }
    fits.iter().for_each(|fit| fit.samples.release(&fit.io));
    fits.truncate(samples.len());
    let last = number + fits.len() as u32 - 1;
    let steps: Vec<(Steps<'_>, &[Panel])> =
        fits.iter().zip(&samples).map(|(fit, sample)| (fit.steps(), &sample[..])).collect();
    let io = &fits[0].io;
    let pass = io.prepare(sample_passes(&steps))?;
    let update = |relaxation: &dyn Fn(&Options) -> f64| {
        let mut recording = Recording::new();
        steps.iter().for_each(|(steps, _)| recording.append(steps.features_step(relaxation(steps.options))));
        io.prepare(recording)
    };
    let (first_update, next_update) = (update(&|_| 0.0)?, update(&|options| options.relaxation)?);
    let mut done = 0;
    while done < iterations {
        let stage = Stage::Runs { first: number, last, of, iteration: done + 1, iterations };
        if !watch.stage(stage) && done > 0 {
            break;
        }
        pass.run()?;
        if done == 0 { &first_update } else { &next_update }.run()?;
        done += 1;
    }
    let mut features = Vec::with_capacity(fits.len());
    for fit in &fits {
        features.push(unit_features(&features_in_place(fit).await?));
    }
    for fit in &fits[1..] {
        fit.buffers.tokens.iter().for_each(|tokens| fit.io.release(tokens.coefficients.buffer()));
    }
    Ok(Runs { first: fits.swap_remove(0), features, iterations: done })
}

/// The panels that a run visits, and what its first pass needs: features, and the norms of the tokens. A start that gives features leaves the
/// run half of the tokens, if there are enough.
fn sample(fit: &Fit<'_>, start: Start, number: u32) -> Result<Vec<Panel>, Error> {
    if start == Start::Coefficients {
        let mut recording = fit.steps().start();
        recording.append(fit.steps().features_step(0.0));
        fit.io.run_once(recording)?;
        return Ok(fit.panels.clone());
    }
    if fit.tokens < 2 * FEWEST_TOKENS * u64::from(fit.options.rank) {
        return Ok(fit.panels.clone());
    }
    let panels = Sample::shifted(&fit.panels, 2, number % 2).panels;
    fit.measured.write_norms(&fit.io, &panels, &fit.buffers)?;
    Ok(panels)
}
