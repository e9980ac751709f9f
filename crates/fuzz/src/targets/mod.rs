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

pub use activations::{NPY, SAFETENSORS};
pub use fit_folder::FIT_FOLDER;
pub use labels::LABELS;
pub use lens::LENS;
pub use shards::SHARDS;
pub use token_columns::TOKEN_COLUMNS;
pub use token_texts::TOKEN_TEXTS;
pub use vocabulary::VOCABULARY;
pub use weights::WEIGHTS;

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
