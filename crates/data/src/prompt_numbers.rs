//! Numbers of prompts over several files.

use std::collections::HashSet;
use std::path::Path;

use crate::Error;

/// Makes sure that prompts of different files have different numbers, so that they are never merged. `files` are the
/// prompt ids of each file, in order. Returns whether any were changed.
///
/// A file keeps its numbers if no earlier file has any of them. It may be that the only shared number is that of the
/// last prompt before the file and of the file's own first prompt. That prompt was cut in two, and its second part gets
/// a number beyond those of all files. Otherwise the file counts its prompts by itself, and all its numbers are moved
/// beyond those of all files, in their order.
///
/// # Errors
/// [`Error::PromptNumbers`] if there are no numbers beyond.
pub(crate) fn separate(files: &mut [(&Path, Vec<i64>)]) -> Result<bool, Error> {
    let largest = files.iter().flat_map(|(_, ids)| ids.iter().copied()).max().unwrap_or(0);
    let mut next = largest.checked_add(1);
    let mut taken: HashSet<i64> = HashSet::new();
    let (mut before, mut changed) = (None, false);
    for (path, ids) in files {
        let own: HashSet<i64> = ids.iter().copied().collect();
        let shared: Vec<i64> = own.intersection(&taken).take(2).copied().collect();
        let was_cut = before.is_some() && shared == [before.unwrap_or(0)] && ids.first().copied() == before;
        before = ids.last().copied();
        taken.extend(&own);
        if shared.is_empty() {
            continue;
        }
        changed = true;
        let (least, most) = match was_cut {
            true => (shared[0], shared[0]),
            false => (own.iter().min().copied().unwrap_or(0), own.iter().max().copied().unwrap_or(0)),
        };
        let moved = next.zip(most.checked_sub(least)).and_then(|(first, span)| Some((first, first.checked_add(span)?)));
        let (first, last) = moved.ok_or_else(|| Error::PromptNumbers(path.to_path_buf()))?;
        ids.iter_mut().filter(|id| (least..=most).contains(*id)).for_each(|id| *id = first + (*id - least));
        next = last.checked_add(1);
        before = ids.last().copied();
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separated(files: &[&[i64]]) -> Option<Vec<Vec<i64>>> {
        let mut named: Vec<_> = files.iter().map(|ids| (Path::new("x"), ids.to_vec())).collect();
        separate(&mut named).ok()?;
        Some(named.into_iter().map(|(_, ids)| ids).collect())
    }

    #[test]
    fn files_that_count_by_themselves_go_on_where_the_others_end() {
        let found = separated(&[&[0, 0, 1], &[0, 1, 1], &[0]]).expect("separated");
        assert_eq!(found, [vec![0, 0, 1], vec![2, 3, 3], vec![4]]);
    }

    #[test]
    fn numbers_that_are_different_already_are_kept() {
        let files: [&[i64]; 3] = [&[7, 7, 3], &[-1, 12], &[8]];
        assert_eq!(separated(&files).expect("separated"), files);
    }

    #[test]
    fn only_the_second_part_of_a_prompt_that_was_cut_gets_another_number() {
        let found = separated(&[&[0, 1], &[1, 2, 2], &[2, 3]]).expect("separated");
        assert_eq!(found, [vec![0, 1], vec![4, 2, 2], vec![5, 3]]);
    }

    #[test]
    fn numbers_at_the_end_of_their_range_are_an_error() {
        assert_eq!(separated(&[&[i64::MAX], &[i64::MAX]]), None);
        assert_eq!(separated(&[&[0, i64::MIN], &[0, i64::MIN]]), None);
    }
}
