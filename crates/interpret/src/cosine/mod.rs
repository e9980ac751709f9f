//! Cosines between tokens' activations and directions in neuron space.

mod directions;

use std::sync::Mutex;

use rayon::prelude::*;
use unmix::{ActivationSource, DenseMatrix};
use unmix_data::{Error, PanelBuffer, Panels};

use directions::Directions;

/// The cosine of each token with each direction: \[n tokens, K\] for `directions` \[K, d\]. Each is in -1 to 1, up to
/// rounding.
///
/// A token or direction that is all zero has no direction, and its cosines are 0. Activations must be finite
/// ([`check_finite`](unmix_data::check_finite)). Products are taken in f32, norms in f64.
///
/// # Errors
/// If the directions do not have an entry for each neuron, or the source cannot be read.
pub fn cosines(source: &dyn ActivationSource, directions: &DenseMatrix) -> Result<DenseMatrix, Error> {
    let (directions, panels) = open(source, directions)?;
    let (tokens, count) = (source.tokens() as usize, directions.count());
    let mut values = vec![0f32; tokens * count];
    if !values.is_empty() {
        values.par_chunks_mut(panels.rows() * count).enumerate().try_for_each_init(
            PanelBuffer::default,
            |buffer, (panel, out)| {
                directions.cosines(panels.values(panels.range(panel), buffer)?, out);
                Ok(())
            },
        )?;
    }
    Ok(DenseMatrix { rows: tokens, columns: count, values })
}

/// The largest cosine of each prompt's tokens with each direction: \[prompts, K\] for `directions` \[K, d\].
/// `prompt_of_row` has the number of each row's prompt, below `prompts`. The rows of a prompt need not follow one
/// another. A prompt without tokens has `f32::NEG_INFINITY`.
///
/// The cosines of all tokens are never held at once. Beside the result, this takes the memory of a few panels of rows.
///
/// # Errors
/// As [`cosines`], and if `prompt_of_row` does not have an entry for each token, or an entry is not below `prompts`.
pub fn prompt_maxima(
    source: &dyn ActivationSource,
    directions: &DenseMatrix,
    prompt_of_row: &[u32],
    prompts: usize,
) -> Result<DenseMatrix, Error> {
    let (directions, panels) = open(source, directions)?;
    check_rows(source, prompt_of_row)?;
    if let Some(prompt) = prompt_of_row.iter().find(|&&prompt| prompt as usize >= prompts) {
        return Err(Error::Inconsistent {
            what: "the prompt of a row".to_owned(),
            found: format!("number {prompt}"),
            expected: format!("there are {prompts} prompts, numbered from 0"),
        });
    }
    let count = directions.count();
    let maxima = Mutex::new(vec![f32::NEG_INFINITY; prompts * count]);
    if count > 0 {
        (0..panels.count()).into_par_iter().try_for_each_init(
            <(PanelBuffer, Vec<f32>)>::default,
            |(buffer, cosines), panel| {
                let values = panels.values(panels.range(panel), buffer)?;
                let rows = &prompt_of_row[panels.range(panel)];
                cosines.resize(rows.len() * count, 0.0);
                directions.cosines(values, cosines);
                // A maximum does not depend on the order in which panels arrive.
                let mut maxima = maxima.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                for (&prompt, row) in rows.iter().zip(cosines.chunks_exact(count)) {
                    let of_prompt = &mut maxima[prompt as usize * count..][..count];
                    of_prompt.iter_mut().zip(row).for_each(|(most, &cosine)| *most = most.max(cosine));
                }
                Ok(())
            },
        )?;
    }
    let values = maxima.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(DenseMatrix { rows: prompts, columns: count, values })
}

fn open<'a>(source: &'a dyn ActivationSource, directions: &DenseMatrix) -> Result<(Directions, Panels<'a>), Error> {
    if directions.columns as u64 != source.neurons() || directions.values.len() != directions.rows * directions.columns
    {
        return Err(Error::Inconsistent {
            what: "the matrix of directions".to_owned(),
            found: format!("{} × {}", directions.rows, directions.columns),
            expected: format!("the activations have {} neurons", source.neurons()),
        });
    }
    Ok((Directions::new(directions), Panels::new(source)))
}

/// Refuses a column of prompts that does not have one entry for each token.
pub(crate) fn check_rows(source: &dyn ActivationSource, prompt_of_row: &[u32]) -> Result<(), Error> {
    if prompt_of_row.len() as u64 == source.tokens() {
        return Ok(());
    }
    Err(Error::Inconsistent {
        what: "the column of prompts".to_owned(),
        found: format!("{} entries long", prompt_of_row.len()),
        expected: format!("there are {} tokens", source.tokens()),
    })
}
