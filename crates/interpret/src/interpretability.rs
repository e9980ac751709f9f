//! How well a feature can be read: whether the contexts in which it is strongest agree on a subject or on a word, more
//! than contexts drawn at random do.

use std::collections::HashMap;
use std::sync::Mutex;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Activation, Text};

/// Most contexts of a feature that are looked at, strongest first. They are those at which the feature has at least half
/// of its largest coefficient.
pub const INTERPRETED_CONTEXTS: usize = 20;
/// Contexts that are looked at however weak they are.
const WEAK_CONTEXTS: usize = 8;
/// Fewer contexts than this say nothing.
const LEAST_CONTEXTS: usize = 5;
/// Contexts that are added to those that disagree, so that few contexts score less than many.
const DOUBT: f64 = 2.0;
/// What the score of a word is multiplied by. A word says less than a subject: it may be all that its contexts share.
const WORD_WEIGHT: f64 = 0.5;
/// How often as many words are drawn at random.
const DRAWS: usize = 999;
/// An agreement is beyond chance up to this p-value.
const BEYOND_CHANCE: f64 = 0.01;

/// What the strongest contexts of a feature have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interpretability {
    /// How well the feature can be read, 0..=1: the score of the agreement that more contexts have, or 0 without one. Of
    /// equals, that on the subject counts.
    pub score: f64,
    /// The subject of most contexts, if that is beyond chance.
    pub subject: Option<Agreement>,
    /// The word at which most contexts are strongest, if that is beyond chance.
    pub word: Option<Agreement>,
}

/// Something that many contexts have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The subject or the word.
    pub what: String,
    /// Contexts that have it.
    pub contexts: usize,
    /// Contexts that were looked at.
    pub of: usize,
    /// Share of as many random contexts that agree, on the mean of many draws.
    pub chance: f64,
    /// Share of the draws in which at least as many contexts agree.
    pub p_value: f64,
    /// 0..1: the contexts that agree beyond chance, over all that chance leaves and two more, so that few contexts score
    /// less than many. For words it is halved, because a word says less than a subject, and multiplied by their rarity,
    /// 1 − ln count / ln words of the text, because a frequent word says less than a rare one.
    pub score: f64,
}

/// The words and subjects of a text, and how far random contexts agree on them.
#[derive(Debug)]
pub struct Interpreter<'a> {
    text: &'a Text,
    words: Kind,
    subjects: Option<Kind>,
    seed: u64,
}

/// One thing that contexts can agree on.
#[derive(Debug)]
struct Kind {
    /// What each row has, as an index into `names`. Rows that have nothing agree with no other.
    of_row: Vec<Option<u32>>,
    names: Vec<String>,
    /// How many words of the text have each.
    counts: Vec<usize>,
    /// What each word of the text has.
    of_word: Vec<Option<u32>>,
    /// For each number of contexts, how many of them agree in each draw.
    draws: Mutex<HashMap<usize, Vec<usize>>>,
}

impl<'a> Interpreter<'a> {
    /// Prepares the words of `text`, and the subject of each of its n rows, if these are known. A row without a subject
    /// is about nothing in particular. Random contexts are drawn from `seed`.
    ///
    /// # Panics
    /// If there is not one entry of `subjects` for each row.
    pub fn new(text: &'a Text, subjects: Option<&[Option<&str>]>, seed: u64) -> Interpreter<'a> {
        assert!(subjects.is_none_or(|subjects| subjects.len() == text.rows()), "one subject for each row");
        let mut of_row = vec![None; text.rows()];
        for word in text.words() {
            let name = text.spelling(word.clone());
            of_row[word].fill(Some(name));
        }
        let words = Kind::new(text, of_row.into_iter());
        let subjects = subjects.map(|subjects| Kind::new(text, subjects.iter().map(|name| name.map(str::to_owned))));
        Interpreter { text, words, subjects, seed }
    }

    /// What the contexts of one feature agree on, given the token at which each of them is strongest, strongest first.
    pub fn of(&self, contexts: &[Activation]) -> Interpretability {
        let half = contexts.first().map_or(0.0, |first| 0.5 * first.coefficient);
        let strong = contexts.iter().take_while(|context| context.coefficient >= half).count();
        let looked_at = strong.clamp(WEAK_CONTEXTS, INTERPRETED_CONTEXTS).min(contexts.len());
        let peaks: Vec<usize> = contexts[..looked_at].iter().map(|context| context.row).collect();
        let peaks = peaks.as_slice();
        let words = self.text.words().len().max(2) as f64;
        let weight = |count: usize| WORD_WEIGHT * (1.0 - (count.max(1) as f64).ln() / words.ln());
        let word = self.words.agreement(peaks, self.seed, weight).map(|(agreement, first)| {
            // The word as it is written at its strongest.
            Agreement { what: self.text.name(self.text.word(first)), ..agreement }
        });
        let subject = self.subjects.as_ref().and_then(|kind| kind.agreement(peaks, self.seed, |_| 1.0));
        let subject = subject.map(|(agreement, _)| agreement);
        let main = match (&subject, &word) {
            // A full stop at the end of most texts about a subject is a full stop before all.
            (Some(subject), Some(word)) => Some(if word.contexts > subject.contexts { word } else { subject }),
            (subject, word) => subject.as_ref().or(word.as_ref()),
        };
        Interpretability { score: main.map_or(0.0, |agreement| agreement.score), subject, word }
    }
}

impl Kind {
    fn new(text: &Text, names_of_rows: impl Iterator<Item = Option<String>>) -> Kind {
        let (mut names, mut places): (Vec<String>, HashMap<String, u32>) = (Vec::new(), HashMap::new());
        let of_row: Vec<Option<u32>> = names_of_rows
            .map(|name| {
                name.map(|name| {
                    *places.entry(name).or_insert_with_key(|name| {
                        names.push(name.clone());
                        names.len() as u32 - 1
                    })
                })
            })
            .collect();
        let of_word: Vec<Option<u32>> = text.words().map(|word| of_row[word.start]).collect();
        let mut counts = vec![0; names.len()];
        of_word.iter().flatten().for_each(|&place| counts[place as usize] += 1);
        Kind { of_row, names, counts, of_word, draws: Mutex::default() }
    }

    /// What most of the contexts at these rows agree on, if that is beyond chance, and the first row that has it.
    fn agreement(&self, peaks: &[usize], seed: u64, weight: impl Fn(usize) -> f64) -> Option<(Agreement, usize)> {
        let of = peaks.len();
        if of < LEAST_CONTEXTS {
            return None;
        }
        let (place, contexts) = commonest(peaks.iter().map(|&row| self.of_row[row]))?;
        let mut draws = self.draws.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let draws = draws.entry(of).or_insert_with(|| self.draw(of, seed));
        let reached = draws.iter().filter(|&&agreeing| agreeing >= contexts).count();
        let p_value = (1 + reached) as f64 / (1 + DRAWS) as f64;
        let chance = draws.iter().sum::<usize>() as f64 / (DRAWS * of) as f64;
        let expected = chance * of as f64;
        if p_value > BEYOND_CHANCE || contexts as f64 <= expected {
            return None;
        }
        let score = (contexts as f64 - expected) / (of as f64 - expected + DOUBT) * weight(self.counts[place as usize]);
        let what = self.names[place as usize].clone();
        let first = peaks.iter().copied().find(|&row| self.of_row[row] == Some(place))?;
        Some((Agreement { what, contexts, of, chance, p_value, score }, first))
    }

    /// How many of `of` random words agree, for each draw.
    fn draw(&self, of: usize, seed: u64) -> Vec<usize> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(of as u64);
        let mut draw = || {
            let drawn = (0..of).map(|_| self.of_word[random.random_range(0..self.of_word.len())]);
            commonest(drawn).map_or(0, |(_, count)| count)
        };
        (0..DRAWS).map(|_| draw()).collect()
    }
}

/// The most common of the entries, and how often it occurs. Of equals, the one that was met first.
fn commonest(entries: impl Iterator<Item = Option<u32>>) -> Option<(u32, usize)> {
    let mut counts: Vec<(u32, usize)> = Vec::new();
    for entry in entries.flatten() {
        match counts.iter_mut().find(|(known, _)| *known == entry) {
            Some((_, count)) => *count += 1,
            None => counts.push((entry, 1)),
        }
    }
    // `max_by_key` takes the last of equals, which is the first one in this reversed order.
    counts.into_iter().rev().max_by_key(|&(_, count)| count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prompts;

    /// Contexts around these rows, all as strong as one another.
    fn at(rows: &[usize]) -> Vec<Activation> {
        rows.iter().map(|&row| Activation { row, coefficient: 1.0 }).collect()
    }

    /// 400 words: “the” at every fourth place, and else one of 50 words. Every 40 words are a prompt.
    fn text() -> Text {
        let word = |i: usize| if i.is_multiple_of(4) { " the".to_owned() } else { format!(" w{}", (i * 7) % 50) };
        let words: Vec<String> = (0..400).map(word).collect();
        let ids: Vec<i64> = (0..400).map(|i| i / 40).collect();
        Text::new(&words, Prompts::new(400, Some(&ids), None))
    }

    fn subjects() -> Vec<Option<&'static str>> {
        (0..400).map(|i| [Some("months"), Some("rivers"), None, Some("bread"), Some("law")][i / 40 % 5]).collect()
    }

    #[test]
    fn contexts_of_one_subject_can_be_read_and_random_ones_cannot() {
        let text = text();
        let subjects = subjects();
        let interpreter = Interpreter::new(&text, Some(&subjects), 0);
        // Different words of the prompts about months.
        let months: Vec<usize> = (0..40).chain(200..240).filter(|i| i % 4 != 0).step_by(3).collect();
        let found = interpreter.of(&at(&months));
        let subject = found.subject.as_ref().expect("a subject");
        assert_eq!((subject.what.as_str(), subject.contexts, subject.of), ("months", 20, 20));
        assert!(subject.p_value == 0.001 && (0.2..0.5).contains(&subject.chance), "{subject:?}");
        assert!((0.85..1.0).contains(&found.score) && found.word.is_none(), "{found:?}");
        // Words from everywhere.
        let anywhere: Vec<usize> = (0..20).map(|i| (i * 83 + 1) % 400).collect();
        assert_eq!(interpreter.of(&at(&anywhere)), Interpretability::default());
        // Prompts about nothing in particular are no subject.
        let neutral: Vec<usize> = (80..120).filter(|i| i % 4 != 0).take(20).collect();
        assert_eq!(interpreter.of(&at(&neutral)).subject, None);
    }

    #[test]
    fn weak_contexts_do_not_count_if_there_are_strong_ones() {
        let text = text();
        let interpreter = Interpreter::new(&text, None, 0);
        // Ten strong contexts at “the”, and as many weak ones elsewhere.
        let rows: Vec<usize> = (0..10).map(|i| 4 * i).chain((0..10).map(|i| 12 * i + 41)).collect();
        let mut contexts = at(&rows);
        contexts[10..].iter_mut().for_each(|context| context.coefficient = 0.3);
        let word = interpreter.of(&contexts).word.expect("a word");
        assert_eq!((word.contexts, word.of), (10, 10));
    }

    #[test]
    fn a_rare_word_says_more_than_a_frequent_one() {
        let text = text();
        let interpreter = Interpreter::new(&text, None, 0);
        let the: Vec<usize> = (0..80).step_by(4).collect();
        let frequent = interpreter.of(&at(&the)).word.expect("a word");
        assert_eq!((frequent.what.as_str(), frequent.contexts), ("the", 20));
        let same = text.spelling(1..2);
        let rare: Vec<usize> = (0..400).filter(|&i| text.spelling(i..i + 1) == same).collect();
        assert!(rare.len() < 20 && rare.len() >= LEAST_CONTEXTS, "{}", rare.len());
        let rare = interpreter.of(&at(&rare)).word.expect("a word");
        assert!(rare.score > 1.5 * frequent.score && frequent.score > 0.0, "{rare:?} {frequent:?}");
    }

    #[test]
    fn few_contexts_say_nothing_and_the_same_seed_says_the_same() {
        let text = text();
        let subjects = subjects();
        let interpreter = Interpreter::new(&text, Some(&subjects), 3);
        assert_eq!(interpreter.of(&at(&[0, 4, 8, 12])), Interpretability::default());
        assert_eq!(interpreter.of(&[]), Interpretability::default());
        let peaks = at(&(0..7).map(|i| 4 * i).collect::<Vec<_>>());
        assert_eq!(interpreter.of(&peaks), Interpreter::new(&text, Some(&subjects), 3).of(&peaks));
    }
}
