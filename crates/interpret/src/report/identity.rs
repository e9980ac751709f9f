//! What tells the features of one fit from those of another.

use sha2::{Digest, Sha256};
use unmix::DenseMatrix;

/// What tells these features from others, in 16 hexadecimal digits.
pub(super) fn identity(features: &DenseMatrix) -> String {
    let mut digest = Sha256::new();
    digest.update((features.columns as u64).to_le_bytes());
    features.values.iter().for_each(|value| digest.update(value.to_le_bytes()));
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_known_again_and_told_from_others() {
        let features = |columns, value| DenseMatrix { rows: 6 / columns, columns, values: vec![value; 6] };
        let found = [features(3, 1.0), features(3, 1.0), features(3, 1.5), features(2, 1.0)].map(|f| identity(&f));
        assert_eq!(found[0], found[1]);
        assert!(found[0] != found[2] && found[0] != found[3] && found[0].len() == 16);
    }
}
