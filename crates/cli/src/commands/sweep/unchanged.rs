//! What must be unchanged so that a sweep can go on: its options and its activations.

use std::path::Path;

use serde_json::{Map, Value};
use unmix_data::InputRecord;
use unmix_interpret::sweep::LayerSweep;

use crate::failure::Failure;

/// Refuses options of the fits that are not those of the earlier points.
pub fn check_settings(path: &Path, stored: &Map<String, Value>, given: &Map<String, Value>) -> Result<(), Failure> {
    // The other settings follow from these, or are less often the cause.
    let first = ["solver", "seeds", "folds", "seed"].map(str::to_owned);
    let differs = |name: &&String| stored.get(*name) != given.get(*name);
    // No option sets it: it follows from the solver.
    let is_option = |name: &&String| *name != "keep_best";
    let names = || first.iter().chain(given.keys()).chain(stored.keys()).filter(differs);
    match names().find(is_option).or_else(|| names().next()) {
        None => Ok(()),
        Some(name) => {
            let shown = |value: Option<&Value>| match value {
                None => "nothing".to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            };
            Err(Failure::Usage(format!(
                "--{} {}: the sweep in {} has {}, and its points could not be compared; give the same options, or name another \
                 folder with --out",
                name.replace('_', "-"),
                shown(given.get(name)),
                path.display(),
                shown(stored.get(name))
            )))
        }
    }
}

/// Refuses activations that are not those of the earlier points, with the option that makes them others.
pub fn check_activations(path: &Path, earlier: &LayerSweep, now: &LayerSweep) -> Result<(), Failure> {
    let name = &now.name;
    if earlier.input.fingerprint != now.input.fingerprint {
        return Err(Failure::Usage(match other_choice(&earlier.input, &now.input) {
            Some(option) => format!(
                "{option}: the sweep in {} has other tokens of {name}, because it was begun with another {option}; give the same \
                 options, or name another folder with --out",
                path.display()
            ),
            None => format!(
                "{name}: its activations have changed since the sweep in {} began (their fingerprint is another), so it cannot go \
                 on; put them back, or name another folder with --out",
                path.display()
            ),
        }));
    }
    if earlier.prompts != now.prompts {
        return Err(Failure::Usage(format!(
            "{name}: its prompt_ids have changed since the sweep in {} began, so other tokens would be held out together; put them \
             back, or name another folder with --out",
            path.display()
        )));
    }
    Ok(())
}

/// The first option that chooses other activations of the files than before.
fn other_choice(earlier: &InputRecord, now: &InputRecord) -> Option<&'static str> {
    let (before, after) = (&earlier.filter, &now.filter);
    let options = [
        ("--tensor", earlier.tensor != now.tensor),
        ("--skip-token-ids", before.skip_token_ids != after.skip_token_ids),
        ("--skip-first", before.skip_first != after.skip_first),
        ("--max-norm", before.max_norm != after.max_norm),
        ("--keep", before.keep != after.keep),
    ];
    options.into_iter().find(|(_, differs)| *differs).map(|(option, _)| option)
}
