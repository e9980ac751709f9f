//! Which tokens are held out together.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Tokens cut into folds. Each fold is held out once while the others are fitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    fold_of_token: Vec<u32>,
    count: u32,
}

impl Folds {
    /// Number of folds.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// For each token, whether it is in fold `fold`.
    pub fn held_out(&self, fold: u32) -> Vec<bool> {
        self.fold_of_token.iter().map(|&of_token| of_token == fold).collect()
    }

    /// For each token, whether it is in another fold than `fold`.
    pub fn training(&self, fold: u32) -> Vec<bool> {
        self.fold_of_token.iter().map(|&of_token| of_token != fold).collect()
    }

    /// Fewest tokens that remain for training while a fold is held out.
    pub fn least_training_tokens(&self) -> u64 {
        let mut sizes = vec![0u64; self.count as usize];
        self.fold_of_token.iter().for_each(|&fold| sizes[fold as usize] += 1);
        self.fold_of_token.len() as u64 - sizes.into_iter().max().unwrap_or(0)
    }
}

/// Cuts tokens into `count` folds of about one size. All tokens of a prompt are in one fold, because tokens of a prompt
/// resemble one another. `prompt_ids` has the prompt of each token. Without it, or if all tokens are of one prompt, each
/// token is drawn by itself. With fewer prompts than folds, there is a fold for each prompt.
///
/// `seed` decides which prompts are held out together.
pub fn folds(tokens: usize, prompt_ids: Option<&[i64]>, count: u32, seed: u64) -> Folds {
    let mut number_of_prompt = HashMap::new();
    let mut group_of_token: Vec<usize> = match prompt_ids {
        Some(ids) => ids
            .iter()
            .map(|id| {
                let next = number_of_prompt.len();
                *number_of_prompt.entry(id).or_insert(next)
            })
            .collect(),
        None => Vec::new(),
    };
    let mut groups = number_of_prompt.len();
    if groups < 2 || group_of_token.len() != tokens {
        (group_of_token, groups) = ((0..tokens).collect(), tokens);
    }
    let count = (count as usize).min(groups).max(1);
    let mut fold_of_group: Vec<u32> = (0..groups).map(|group| (group % count) as u32).collect();
    fold_of_group.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    Folds { fold_of_token: group_of_token.into_iter().map(|group| fold_of_group[group]).collect(), count: count as u32 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prompt_is_in_one_fold_and_each_token_is_held_out_once(
            prompts in prop::collection::vec(0i64..9, 2..60),
            count in 2u32..6,
            seed in 0u64..9,
        ) {
            let found = folds(prompts.len(), Some(&prompts), count, seed);
            let held_out: Vec<Vec<bool>> = (0..found.count()).map(|fold| found.held_out(fold)).collect();
            for token in 0..prompts.len() {
                prop_assert_eq!(held_out.iter().filter(|fold| fold[token]).count(), 1);
            }
            for fold in 0..found.count() {
                prop_assert!(held_out[fold as usize].contains(&true));
                let others: Vec<bool> = held_out[fold as usize].iter().map(|held_out| !held_out).collect();
                prop_assert_eq!(found.training(fold), others);
            }
            let distinct = prompts.iter().collect::<std::collections::HashSet<_>>().len();
            if distinct > 1 {
                for (i, a) in prompts.iter().enumerate() {
                    for (j, b) in prompts.iter().enumerate().filter(|(_, b)| a == *b) {
                        prop_assert!(held_out.iter().all(|fold| fold[i] == fold[j]), "{a} {b}");
                    }
                }
                prop_assert_eq!(found.count() as usize, distinct.min(count as usize));
            }
            prop_assert_eq!(&found, &folds(prompts.len(), Some(&prompts), count, seed));
        }
    }

    #[test]
    fn without_prompts_tokens_are_drawn_one_by_one_into_folds_of_one_size() {
        for ids in [None, Some(&[7i64; 100][..])] {
            let found = folds(100, ids, 4, 1);
            assert_eq!((found.count(), found.least_training_tokens()), (4, 75));
            assert!((0..4).all(|fold| found.held_out(fold).iter().filter(|held_out| **held_out).count() == 25));
        }
    }
}
