//! Makes new inputs from old ones.

mod bytes;
mod consistency;
mod parts;
mod tokens;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::Target;
use crate::input::{join, split};
use parts::Parts;

/// The length of the longest ordinary input.
pub const LONGEST: usize = 1 << 16;

/// A new input of at most `longest` bytes, made from `input` and sometimes from files of `other`.
pub fn mutate(target: &Target, input: &[u8], other: &[u8], longest: usize, mut random: ChaCha8Rng) -> Vec<u8> {
    let count = target.files.len();
    let mut files: Vec<Vec<u8>> = split(input, count).into_iter().map(<[u8]>::to_vec).collect();
    if random.random_ratio(1, 8) {
        // A file of another input, if that input has one of the same kind.
        let others = split(other, count);
        let place = random.random_range(0..files.len());
        if let Some(file) = others.get(place) {
            files[place] = file.to_vec();
        }
    }
    if random.random_ratio(1, 64) {
        files.truncate(random.random_range(1..=files.len()));
    }
    let place = random.random_range(0..files.len());
    let room = longest.saturating_sub(files.iter().map(Vec::len).sum::<usize>());
    let mut change = Change { random, words: target.words, room };
    // Mostly few edits. With many, little is left of what the reader expects.
    let edits = 1 + change.random.random::<u8>().trailing_zeros();
    change.file(&mut files[place], target, place, edits);
    let mut made = join(&files);
    made.truncate(longest);
    made
}

/// Changes to one file.
struct Change {
    random: ChaCha8Rng,
    words: &'static [&'static str],
    /// How many bytes the file may still grow.
    room: usize,
}

impl Change {
    /// Makes some edits to a file.
    fn file(&mut self, file: &mut Vec<u8>, target: &Target, place: usize, edits: u32) {
        if self.random.random_ratio(1, 16) {
            // Edits plain bytes, so that lengths at the beginning are no longer true.
            (0..edits).for_each(|_| self.bytes(file));
            return;
        }
        let mut parts = Parts::of(target.files[place].form, file);
        for _ in 0..edits {
            match self.random.random_range(0..16) {
                0 => self.bytes(&mut parts.data),
                1 | 2 => self.bytes(&mut parts.text),
                _ => self.tokens(&mut parts.text),
            }
        }
        if self.random.random_ratio(1, 2) {
            parts.make_consistent();
        }
        *file = parts.into_file();
    }

    /// A place in something of that length, which may be its end.
    fn place(&mut self, length: usize) -> usize {
        self.random.random_range(0..=length)
    }

    /// A piece of something of that length. It is mostly short.
    fn piece(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.place(length);
        let most = 1 << self.random.random_range(0..16);
        start..start + self.place(most.min(length - start))
    }

    /// One of several.
    fn any<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.random.random_range(0..of.len())]
    }

    /// How often to repeat something of that length: a few times, or as often as there is room for.
    fn times(&mut self, length: usize) -> usize {
        // An input that may get very long is meant to get long.
        let fill = if self.room > LONGEST { 2 } else { 16 };
        let most = if self.random.random_ratio(1, fill) { usize::MAX } else { 1 << self.random.random_range(0..8) };
        most.min(self.room / length.max(1))
    }
}
