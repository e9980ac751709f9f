//! The columns of tokens of several files, joined.

use std::path::Path;

use unmix::ActivationSource;

use crate::{ActivationFile, Error, TokenColumns, prompt_numbers};

/// What is stored beside the activations of several files, with an entry for each of their rows.
pub(crate) struct Joined {
    pub columns: TokenColumns,
    /// Which rows are not padding, if a file has a mask.
    pub mask: Option<Vec<bool>>,
    /// Whether prompts of different files had the same numbers and got new ones.
    pub renumbered: bool,
}

/// Reads and joins the columns.
///
/// # Errors
/// If a column or a mask does not fit its activations, a file lacks a column that another one has, or prompts of different files
/// cannot be told apart.
pub(crate) fn read(files: &[ActivationFile]) -> Result<Joined, Error> {
    let mut masks = Vec::with_capacity(files.len());
    let mut columns = Vec::with_capacity(files.len());
    for file in files {
        let mask = file.attention_mask()?;
        columns.push(of_file(file, mask.as_deref())?);
        masks.push(mask);
    }
    let names = |columns: &TokenColumns| match columns.names().as_slice() {
        [] => "has no columns of tokens".to_owned(),
        names => format!("has the columns {}", names.join(", ")),
    };
    for (file, own) in files.iter().zip(&columns) {
        let (found, expected) = (names(own), names(&columns[0]));
        if found != expected {
            return Err(Error::differs(file.path(), &found, files[0].path(), &expected));
        }
    }
    let renumbered = separate_prompts(files, &mut columns)?;
    let mask = masks.iter().any(Option::is_some).then(|| {
        let of_file = |(file, mask): (&ActivationFile, Option<Vec<bool>>)| {
            mask.unwrap_or_else(|| vec![true; file.tokens() as usize])
        };
        files.iter().zip(masks).flat_map(of_file).collect()
    });
    let mut columns = columns.into_iter();
    let mut joined = columns.next().unwrap_or_default();
    for next in columns {
        let TokenColumns { token_ids, prompt_ids, positions, rows } = next;
        for (column, more) in joined.all_mut().into_iter().zip([token_ids, prompt_ids, positions, rows]) {
            if let (Some(column), Some(more)) = (column, more) {
                column.extend(more);
            }
        }
    }
    Ok(Joined { columns: joined, mask, renumbered })
}

/// The columns of one file. In a batch, each sequence is a prompt unless the file says otherwise, and positions are
/// counted over what the mask keeps, whichever side the padding is on.
fn of_file(file: &ActivationFile, mask: Option<&[bool]>) -> Result<TokenColumns, Error> {
    let mut columns = file.token_columns()?;
    if let Some([sequences, length]) = file.batch() {
        let of_each = |sequence| std::iter::repeat_n(sequence as i64, length as usize);
        columns.prompt_ids.get_or_insert_with(|| (0..sequences).flat_map(of_each).collect());
        columns.positions.get_or_insert_with(|| {
            let mut position = 0;
            let mut count = |row: u64| {
                if row.is_multiple_of(length) {
                    position = 0;
                }
                let own = position;
                position += i64::from(mask.is_none_or(|mask| mask[row as usize]));
                own
            };
            (0..sequences * length).map(&mut count).collect()
        });
    }
    Ok(columns)
}

/// Gives prompts of different files different numbers.
fn separate_prompts(files: &[ActivationFile], columns: &mut [TokenColumns]) -> Result<bool, Error> {
    let mut ids: Vec<(&Path, Vec<i64>)> = files
        .iter()
        .zip(columns.iter_mut())
        .filter_map(|(file, columns)| Some((file.path(), columns.prompt_ids.take()?)))
        .collect();
    let changed = prompt_numbers::separate(&mut ids)?;
    // All files have the same columns.
    for (columns, (_, ids)) in columns.iter_mut().zip(ids) {
        columns.prompt_ids = Some(ids);
    }
    Ok(changed)
}
