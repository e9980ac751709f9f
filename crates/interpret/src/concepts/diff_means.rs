//! The difference of means: for each concept, the direction from other activations to its own. It shows what
//! supervision gives without any training.

use rayon::prelude::*;
use unmix::{ActivationSource, DenseMatrix};
use unmix_data::{PanelBuffer, Panels};

use super::{ConceptError, Labelling};
use crate::cosine::check_rows;

/// Directions \[concepts, d\]: for each concept, the mean activation over the tokens of its prompts minus the mean over
/// the tokens of neutral prompts. If there are no neutral prompts, the second mean is over all other tokens. Only
/// prompts of the half for choosing count. A direction is zero if one of the means has no tokens. Sums are in f64, in
/// the order of the rows.
///
/// # Errors
/// If the source cannot be read, or its number of rows differs from that of the labelling.
pub fn diff_means(source: &dyn ActivationSource, labelling: &Labelling) -> Result<DenseMatrix, ConceptError> {
    check_rows(source, labelling.prompt_of_row())?;
    let (concepts, panels) = (labelling.concepts().len(), Panels::new(source));
    let neurons = panels.neurons();
    let group = |row: usize| {
        let prompt = labelling.prompt_of_row()[row] as usize;
        labelling.choosing()[prompt].then(|| labelling.groups()[prompt])
    };
    let mut sums = vec![0f64; (concepts + 1) * neurons];
    let mut counts = vec![0usize; concepts + 1];
    let mut buffer = PanelBuffer::default();
    for panel in 0..panels.count() {
        let range = panels.range(panel);
        let values = &*panels.values(range.clone(), &mut buffer)?;
        let mut rows = vec![Vec::new(); concepts + 1];
        for (row, values) in range.zip(values.chunks_exact(neurons)) {
            if let Some(group) = group(row) {
                rows[group].push(values);
                counts[group] += 1;
            }
        }
        // Each sum belongs to one core, so it is taken in the order of the rows.
        sums.par_chunks_mut(neurons).zip(&rows).for_each(|(sum, rows)| {
            for row in rows {
                sum.iter_mut().zip(*row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        });
    }
    let all: usize = counts.iter().sum();
    let total: Vec<f64> = (0..neurons).map(|j| sums.iter().skip(j).step_by(neurons).sum()).collect();
    let mut values = Vec::with_capacity(concepts * neurons);
    for concept in 0..concepts {
        let own = &sums[concept * neurons..][..neurons];
        let neutral = &sums[concepts * neurons..];
        let others = if counts[concepts] > 0 { counts[concepts] } else { all - counts[concept] };
        values.extend((0..neurons).map(|j| {
            if counts[concept] == 0 || others == 0 {
                return 0.0;
            }
            let other = if counts[concepts] > 0 { neutral[j] } else { total[j] - own[j] };
            (own[j] / counts[concept] as f64 - other / others as f64) as f32
        }));
    }
    Ok(DenseMatrix { rows: concepts, columns: neurons, values })
}
