//! The readers that are fuzzed: valid files, and what must hold of whatever is read.

mod activations;
mod fit_folder;
mod fixtures;
mod labels;
mod lens;
mod refusal;
mod shards;
mod token_columns;
mod token_texts;
mod vocabulary;
mod weights;

use crate::Target;

impl Target {
    /// All targets.
    pub const ALL: [&'static Target; 10] = [
        &activations::SAFETENSORS,
        &activations::NPY,
        &shards::SHARDS,
        &token_columns::TOKEN_COLUMNS,
        &token_texts::TOKEN_TEXTS,
        &vocabulary::VOCABULARY,
        &labels::LABELS,
        &fit_folder::FIT_FOLDER,
        &weights::WEIGHTS,
        &lens::LENS,
    ];

    /// The target of that name.
    pub fn named(name: &str) -> Option<&'static Target> {
        Target::ALL.into_iter().find(|target| target.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use crate::Target;

    #[test]
    fn every_target_has_its_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
        let files = std::fs::read_dir(&folder).expect("listed").map(|entry| entry.expect("an entry").path());
        let programs: BTreeSet<String> =
            files.map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
        let names: BTreeSet<String> = Target::ALL.iter().map(|target| target.name.to_owned()).collect();
        assert_eq!(programs, names);
    }
}
