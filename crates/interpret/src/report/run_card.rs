//! Where the features of a report come from.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

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

/// The place in the model in words, as far as it is known. Of a model in a folder it has the folder's name, because others read the page.
fn place(origin: &Origin) -> Option<String> {
    let model = origin.model.as_deref().map(|model| match Path::new(model) {
        path if path.is_absolute() => path.file_name().map_or_else(|| model.into(), |name| name.to_string_lossy()),
        _ => Cow::Borrowed(model),
    });
    let layer = origin.layer.map(|layer| Cow::Owned(format!("layer {layer}")));
    let parts: Vec<_> = [model, layer, origin.site.as_deref().map(Cow::Borrowed)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_the_folder_of_a_model_and_not_the_way_to_it() {
        let place = |model: &str| {
            place(&Origin { model: Some(model.to_owned()), layer: Some(12), site: Some("neurons".to_owned()) })
        };
        assert_eq!(place("someone/model").as_deref(), Some("someone/model, layer 12, neurons"));
        let folder = std::env::current_dir().expect("a folder").join("model");
        assert_eq!(place(folder.to_str().expect("UTF-8")).as_deref(), Some("model, layer 12, neurons"));
        assert_eq!(super::place(&Origin::default()), None);
    }
}
