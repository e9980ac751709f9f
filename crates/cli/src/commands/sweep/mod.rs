//! `unmix sweep`: which number of features?

mod args;
mod folder;
mod layer;
mod reports;
mod summary;
mod unchanged;
mod watch;

use std::sync::Arc;

use unmix::{ActivationSource, Solver};
use unmix_data::{ActivationSet, InputRecord, OrdinaryReads, check_finite, fingerprint, fingerprint_of_numbers};
use unmix_fitting::{FitInput, plan, plan_batch};
use unmix_interpret::sweep::{LayerSweep, SweepData, SweepRecord};

pub use self::args::SweepArgs;
use self::folder::SweepFolder;
use self::layer::Layer;
use self::summary::summary;
use self::watch::Watch;
use crate::activation_args::left_out;
use crate::commands::fit::{InitOption, check_solver};
use crate::failure::Failure;
use crate::output::{self, thousands};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;
use crate::token_text::check_text;
use crate::{activation_args, engine, interrupt};

/// Runs the command.
pub fn run(args: &SweepArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    check(args)?;
    let layers = open(args)?.into_iter().map(|set| Layer::new(args, set)).collect::<Result<Vec<_>, _>>()?;
    let options = args.solver.options().builder(1).options(layers[0].neurons());
    let mut settings = SweepRecord::settings(&options, args.seeds, args.folds);
    if options.solver == Solver::Hals && args.solver.penalty.is_none() {
        settings.insert("penalty".to_owned(), "one by rank".into());
    }
    let earlier = SweepFolder::open(&args.out, &settings)?;
    if args.reports {
        layers.iter().try_for_each(|layer| check_text(&args.text, &layer.set))?;
    }
    let engine = engine::open(&shared.engine, reporter)?;
    let allowance = args.memory.allowance();
    let input = |layer: &Layer| FitInput::Files(layer.set.clone());
    // What does not fit is told before the first layer is swept. A fit with the largest rank takes the most memory.
    layers
        .iter()
        .try_for_each(|layer| plan(&layer.sweep.largest_fit(), engine.as_ref(), &input(layer), &allowance).map(drop))?;
    for layer in &layers {
        reporter.stage(&format!(
            "reading {}: {} tokens × {} neurons, {}",
            layer.set.names(),
            thousands(layer.set.tokens()),
            thousands(layer.set.neurons()),
            layer.set.element()
        ));
        if let Some(told) = left_out(layer.set.left_out(), layer.set.stored_tokens()) {
            reporter.stage(&format!("leaving out {told}"));
        }
    }
    let fresh = layers.iter().map(|layer| fresh(layer, args)).collect::<Result<Vec<_>, _>>()?;
    let keeps = args.keep_fits || args.reports;
    let mut folder = earlier.with_layers(fresh, keeps, reporter)?;
    interrupt::catch(reporter.interrupt_notice());

    let mut watch = Watch::new(reporter, layers.iter().map(|layer| layer.sweep.clone()), &folder.record);
    for (number, layer) in layers.iter().enumerate() {
        let source: Arc<dyn ActivationSource + Send> = Arc::new(OrdinaryReads(layer.set.clone()));
        while let Some(at) = layer.sweep.next(&folder.record.layers[number].points) {
            let (planned, at_once) = plan_batch(layer.sweep.fits(at), engine.as_ref(), &input(layer), &allowance)?;
            let data = SweepData::new(engine.as_ref(), source.clone(), layer.set.token_columns().prompt_ids.as_deref())
                .placement(planned.plan.placement)
                .at_once(at_once);
            let mut kept = folder.keeper(number, keeps, at, &layer.set);
            let measured = layer.sweep.measure(&data, at, &mut watch.fits(number, &mut kept));
            // If a file was changed, this explains a fit that failed, and makes one that did not fail worthless.
            layer.set.check_unchanged(&folder.record.layers[number].input.fingerprint)?;
            let measured = measured.map_err(|error| Failure::of_sweep(error, &layer.set))?;
            let fits = kept.finish()?;
            let Some(point) = measured else { return Err(stopped(&folder, &layers)) };
            watch.measured(number, &point);
            folder.add(number, point, fits)?;
        }
        folder.complete(number)?;
    }
    watch.end();
    if args.reports {
        reports::write(&mut folder, &args.text, reporter)?;
    }

    if shared.json {
        return output::print_json(&folder.record);
    }
    output::print(&summary(&folder))
}

/// Refuses options that contradict each other.
fn check(args: &SweepArgs) -> Result<(), Failure> {
    check_solver(&args.solver, false)?;
    if args.solver.init == Some(InitOption::Given) {
        return Err(Failure::Usage(
            "--init given: the fits of a sweep start from their seeds; choose another start or leave it out".to_owned(),
        ));
    }
    if !args.reports && (args.text.tokens.is_some() || args.text.vocabulary.is_some()) {
        return Err(Failure::Usage(
            "--vocabulary, --tokens: only reports show words; add --reports or leave them out".to_owned(),
        ));
    }
    if args.folds == 1 {
        return Err(Failure::Usage(
            "--folds 1: a fold is held out while the others are fitted, so at least 2 are needed; 0 holds nothing out"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The activations of each layer.
fn open(args: &SweepArgs) -> Result<Vec<ActivationSet>, Failure> {
    if !args.each {
        return Ok(vec![args.activations.open()?]);
    }
    let choice = &args.activations.choice;
    let filter = choice.filter().unwrap_or_default();
    let files = args.activations.files.iter();
    files.map(|file| activation_args::open(std::slice::from_ref(file), choice.tensor.as_deref(), &filter)).collect()
}

/// A record of a layer of which nothing is measured. It also refuses activations that are not finite.
fn fresh(layer: &Layer, args: &SweepArgs) -> Result<LayerSweep, Failure> {
    let source = OrdinaryReads(layer.set.clone());
    let fingerprint = fingerprint(&source)?;
    check_finite(&source).map_err(|error| Failure::in_files(error, &layer.set))?;
    let prompts = layer.prompts(args.folds).map(fingerprint_of_numbers);
    Ok(LayerSweep { prompts, ..LayerSweep::new(layer.name.clone(), InputRecord::new(&layer.set, fingerprint)) })
}

fn stopped(folder: &SweepFolder, layers: &[Layer]) -> Failure {
    let done: usize = folder.record.layers.iter().map(|layer| layer.points.len()).sum();
    let left: usize =
        folder.record.layers.iter().zip(layers).map(|(record, layer)| layer.sweep.left(&record.points)).sum();
    Failure::Interrupted(format!(
        "interrupted with {done} points measured and at most {left} to go; they are saved in {}, and the same command goes on \
         from there",
        folder.path().display()
    ))
}
