//! Features of unit norm as their nonzeros. Most places of a feature are zero, so this takes less memory and time than all of its places.

use crate::{DenseMatrix, Error};

/// A nonzero of a feature: its neuron and its value.
pub(crate) type Nonzero = (u32, f32);

/// Features of unit norm over some neurons, each as its nonzeros in ascending order of neurons. A feature of zeros has none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SparseFeatures {
    /// Number of neurons.
    pub neurons: usize,
    pub rows: Vec<Vec<Nonzero>>,
}

impl SparseFeatures {
    /// The features in the rows of a matrix [K, d], divided by their norms.
    pub fn of(features: &DenseMatrix) -> Self {
        let rows = (0..features.rows).map(|k| unit_nonzeros(features.row(k)).collect()).collect();
        SparseFeatures { neurons: features.columns, rows }
    }

    /// The directions of features over so many neurons, from their kept entries, of which each feature has `kept`.
    ///
    /// # Errors
    /// [`Error::Unsound`] if a value is not finite.
    pub fn of_entries(neurons: u32, kept: u32, indices: &[u32], values: &[f32]) -> Result<Self, Error> {
        let kept = kept as usize;
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!("feature {} of a run has the value {}", place / kept, values[place]);
            return Err(Error::Unsound { problem });
        }
        let row = |(indices, values): (&[u32], &[f32])| {
            // Entries beyond those of a feature are zeros, at a neuron that may have a value already.
            let nonzeros = indices.iter().zip(values).filter(|(_, value)| **value != 0.0);
            cut(&mut nonzeros.map(|(&neuron, &value)| (neuron, value.into())).collect(), kept)
        };
        let rows = indices.chunks_exact(kept).zip(values.chunks_exact(kept)).map(row).collect();
        Ok(SparseFeatures { neurons: neurons as usize, rows })
    }

    /// Number of features that are not zero.
    pub fn living(&self) -> usize {
        self.rows.iter().filter(|row| !row.is_empty()).count()
    }

    /// Cosines [A, B] of these features with `others`, which are over the same neurons. A cosine is 0 if one of the features is all zero.
    pub fn cosines(&self, others: &SparseFeatures) -> DenseMatrix {
        let users = NeuronUsers::of(self.neurons, others.rows.iter().map(Vec::as_slice));
        let mut values = Vec::with_capacity(self.rows.len() * others.rows.len());
        let mut cosines = vec![0f64; others.rows.len()];
        for row in &self.rows {
            cosines.fill(0.0);
            users.add_cosines(row, 0, &mut cosines);
            // Rounding may take the cosine of a feature with itself above 1.
            values.extend(cosines.iter().map(|&cosine| cosine.clamp(-1.0, 1.0) as f32));
        }
        DenseMatrix { rows: self.rows.len(), columns: others.rows.len(), values }
    }
}

/// For each neuron: the features that have it. So a feature is met with those alone that have a neuron in common with it.
pub(crate) struct NeuronUsers {
    /// Where the users of each neuron end.
    ends: Vec<u32>,
    /// Neuron after neuron: the features that have it, in their order, and their values.
    users: Vec<(u32, f32)>,
}

impl NeuronUsers {
    /// The users of `neurons` neurons among some features.
    pub fn of<'f>(neurons: usize, features: impl Iterator<Item = &'f [Nonzero]> + Clone) -> Self {
        let mut ends = vec![0u32; neurons];
        features.clone().flatten().for_each(|&(neuron, _)| ends[neuron as usize] += 1);
        let mut total = 0;
        for end in &mut ends {
            let start = total;
            total += *end;
            *end = start;
        }
        let mut users = vec![(0, 0.0); total as usize];
        for (feature, nonzeros) in (0..).zip(features) {
            for &(neuron, value) in nonzeros {
                let end = &mut ends[neuron as usize];
                users[*end as usize] = (feature, value);
                *end += 1;
            }
        }
        NeuronUsers { ends, users }
    }

    /// Adds the products of a feature with those from `first` on to `cosines`, which has one for each of the features.
    pub fn add_cosines(&self, feature: &[Nonzero], first: u32, cosines: &mut [f64]) {
        for &(neuron, value) in feature {
            let start = if neuron == 0 { 0 } else { self.ends[neuron as usize - 1] };
            let users = &self.users[start as usize..self.ends[neuron as usize] as usize];
            let skipped = if first == 0 { 0 } else { users.partition_point(|&(other, _)| other < first) };
            let value = f64::from(value);
            users[skipped..].iter().for_each(|&(other, z)| cosines[other as usize] += value * f64::from(z));
        }
    }
}

/// ‖row‖, in f64, because squares of small and large f32 numbers leave the range of f32.
pub(crate) fn norm(row: &[f32]) -> f64 {
    row.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>().sqrt()
}

/// The nonzeros of a row divided by its norm, each rounded to f32.
fn unit_nonzeros(row: &[f32]) -> impl Iterator<Item = Nonzero> {
    let norm = norm(row);
    (0..).zip(row).filter(|(_, z)| **z != 0.0).map(move |(neuron, &z)| (neuron, (f64::from(z) / norm) as f32))
}

/// The `kept` nonzeros of largest magnitude, divided by their norm. `nonzeros` are neurons in ascending order with their values. They are
/// left in disorder. Of equal magnitudes the lower neuron is kept.
pub(crate) fn cut(nonzeros: &mut Vec<(u32, f64)>, kept: usize) -> Vec<Nonzero> {
    if nonzeros.len() > kept {
        nonzeros.select_nth_unstable_by(kept, |a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        nonzeros.truncate(kept);
        nonzeros.sort_unstable_by_key(|&(neuron, _)| neuron);
    }
    let norm = nonzeros.iter().map(|(_, z)| z * z).sum::<f64>().sqrt();
    nonzeros.iter().map(|&(neuron, z)| (neuron, (z / norm) as f32)).filter(|(_, z)| *z != 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_the_largest_magnitudes_in_order_and_of_equal_ones_the_lower_neuron() {
        let of_four = vec![(1, -2.0), (4, 1.0), (5, 2.0), (9, -1.0)];
        let found = cut(&mut of_four.clone(), 3);
        assert_eq!(found.iter().map(|(neuron, _)| *neuron).collect::<Vec<_>>(), [1, 4, 5]);
        for ((_, value), expected) in found.iter().zip([-2.0, 1.0, 2.0]) {
            assert!((value - expected / 3.0).abs() < 1e-7, "{value}");
        }
        assert_eq!(cut(&mut of_four.clone(), 9).len(), 4);
        assert_eq!(cut(&mut Vec::new(), 3), []);
        // A value that vanishes beside the others is no nonzero.
        assert_eq!(cut(&mut vec![(0, 1e-60), (3, 1.0)], 2), [(3, 1.0)]);
    }

    #[test]
    fn a_feature_meets_those_alone_that_have_a_neuron_in_common_with_it() {
        let features = DenseMatrix { rows: 3, columns: 3, values: vec![3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0] };
        let features = SparseFeatures::of(&features);
        assert_eq!((features.living(), features.rows[1].len()), (2, 0));
        let users = NeuronUsers::of(3, features.rows.iter().map(Vec::as_slice));
        let mut cosines = [0.0; 3];
        users.add_cosines(&[(1, 1.0), (2, 1.0)], 0, &mut cosines);
        assert!((cosines[0] - 0.8).abs() < 1e-6 && cosines[1..] == [0.0, -1.0], "{cosines:?}");
        let mut later = [0.0; 3];
        users.add_cosines(&[(1, 1.0), (2, 1.0)], 1, &mut later);
        assert_eq!(later, [0.0, 0.0, -1.0]);
    }
}
