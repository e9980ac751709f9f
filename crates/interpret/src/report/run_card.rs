//! Where the features of a report come from.

use std::path::PathBuf;

use unmix_data::{FitRecord, Origin};

use super::RunCard;

/// The card of a fit.
pub(super) fn run_card(fit: &FitRecord) -> RunCard {
    let (run, summary) = (&fit.run, &fit.run.summary);
    let option = |name: &str, value: String| (name.to_owned(), value);
    let options = &summary.options;
    let mut shown = vec![
        option("rank", options.rank.to_string()),
        option("neurons a feature", format!("{} ({}%)", summary.kept_per_feature, options.sparsity * 100.0)),
        option("solver", options.solver.name().to_owned()),
        option("start", options.init.name().to_owned()),
        option("seed", options.seed.to_string()),
        option("most iterations", options.max_iterations.to_string()),
        option("tolerance", format!("{:e}", options.tolerance)),
    ];
    if options.solver == unmix::Solver::Hals {
        shown.push(option("penalty", options.penalty.to_string()));
    }
    shown.extend(place(&run.input.origin).map(|place| option("activations of", place)));
    let stored = run.input.stored_tokens;
    if stored > summary.tokens {
        shown.push(option("left out", format!("{} of {stored} tokens", stored - summary.tokens)));
    }
    let energy = summary.squared_norm;
    RunCard {
        data: files(&run.input.paths),
        tokens: summary.tokens,
        neurons: summary.neurons.into(),
        dtype: run.input.element.clone(),
        options: shown,
        engine: summary.engine.clone(),
        adapter: summary.adapter.clone(),
        // Of activations that are zero there is nothing to explain.
        relative_error: if energy > 0.0 { summary.relative_error } else { f64::NAN },
        loss_curve: summary.loss_curve.iter().map(|loss| if energy > 0.0 { loss / energy } else { 0.0 }).collect(),
        best_iteration: summary.best_iteration,
        stop_reason: summary.stop_reason.name().to_owned(),
        seconds: summary.seconds,
        runs: summary.consensus.as_ref().map(|consensus| consensus.runs),
        stability: summary.consensus.as_ref().map(|consensus| consensus.stability),
        version: run.unmix_version.clone(),
        date: None,
        dead_features: summary.dead_features.iter().map(|&k| k as usize).collect(),
    }
}

/// The names of the files: the only one, or the first and how many there are.
fn files(paths: &[PathBuf]) -> Option<String> {
    let first = paths.first()?.file_name()?.to_string_lossy().into_owned();
    Some(if paths.len() > 1 { format!("{first} and {} more", paths.len() - 1) } else { first })
}

/// The place in the model in words, as far as it is known.
fn place(origin: &Origin) -> Option<String> {
    let layer = origin.layer.map(|layer| format!("layer {layer}"));
    let parts: Vec<String> = [origin.model.clone(), layer, origin.site.clone()].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
