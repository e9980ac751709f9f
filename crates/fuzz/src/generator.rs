//! Makes inputs from a seed and a number.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Target, mutate};

/// The longest input, which is made only now and then. If memory grows faster than the input, only a long one shows it.
const LONGEST_EVER: usize = 8 << 20;
/// One of this many inputs may get so long. Such an input takes as much time as thousands of others.
const RARELY: u32 = 4000;

/// Makes inputs for a target. A seed and a number always give the same input, so that it need not be kept.
#[derive(Debug)]
pub struct Generator {
    target: &'static Target,
    corpus: Vec<Vec<u8>>,
    seed: u64,
}

impl Generator {
    /// Inputs made from those of `corpus`, which must not be empty.
    pub fn new(target: &'static Target, corpus: Vec<Vec<u8>>, seed: u64) -> Generator {
        Generator { target, corpus, seed }
    }

    /// Input number `number`. The first ones are those of the corpus.
    pub fn input(&self, number: u64) -> Vec<u8> {
        if let Some(input) = usize::try_from(number).ok().and_then(|number| self.corpus.get(number)) {
            return input.clone();
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(number);
        let any = |random: &mut ChaCha8Rng| &self.corpus[random.random_range(0..self.corpus.len())];
        let (input, other) = (any(&mut random), any(&mut random));
        let longest = if random.random_ratio(1, RARELY) { LONGEST_EVER } else { crate::LONGEST };
        mutate(self.target, input, other, longest, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_can_be_made_again() {
        for target in Target::ALL {
            let made = |seed| Generator::new(target, crate::corpus(target).expect("a corpus"), seed);
            let (first, again, other) = (made(7), made(7), made(8));
            let inputs = |generator: &Generator| (0..200).map(|i| generator.input(i)).collect::<Vec<_>>();
            assert_eq!(inputs(&first), inputs(&again), "{}", target.name);
            assert_ne!(inputs(&first), inputs(&other), "{}", target.name);
        }
    }
}
