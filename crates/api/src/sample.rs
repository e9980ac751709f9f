//! Samples of the tokens, for what comes before the iterations. A sample is taken by the tokens' numbers, so that it does not
//! depend on how the activations are cut into panels.

use unmix_kernels::{Matrix, Recording, Workspace, copy_rows};

use crate::panels::Panel;
use crate::session_io::SessionIo;
use crate::{Init, Options};

/// Neurons by which k-means compares tokens: the first ones, since the order of neurons means nothing.
pub(crate) const COMPARED_NEURONS: u32 = 2048;
/// Tokens for each cluster in the sample of k-means.
const TOKENS_PER_CLUSTER: u64 = 16;
/// The sample of the warm-up takes at most every fifth token: its iterations together cost a pass or two.
const WARM_UP_EVERY: u32 = 5;
/// Fewest tokens for each feature in the sample of the warm-up. Features that come from fewer stand for single tokens more often.
const FEWEST_WARM_UP_TOKENS: u64 = 15;
/// Most tokens for each feature in the sample of the warm-up; more teach nothing new.
const MOST_WARM_UP_TOKENS: u64 = 64;

/// The samples of a fit.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    /// For k-means.
    pub kmeans: Sample,
    /// For the warm-up; `None` if there are too few tokens for one.
    pub warm_up: Option<Sample>,
    /// What must be copied before they can be read: the rows as they lie in the panels, and where they go.
    copies: Vec<(Panel, Matrix)>,
}

impl Samples {
    /// Samples of rows that are read where they lie in the panels. `tokens` is the number of tokens of all ranks.
    pub fn of(panels: &[Panel], tokens: u64, options: &Options) -> Self {
        Samples {
            kmeans: Sample::of(panels, kmeans_every(tokens, options.rank)),
            warm_up: warm_up_every(tokens, options).map(|every| Sample::of(panels, every)),
            copies: Vec::new(),
        }
    }

    /// The same samples, in memory of their own among the buffers of `w`, where the fit needs them. Activations that are streamed
    /// are then not read for them again. `stride` is the distance of rows of the panels, in elements.
    pub fn copied(mut self, w: &mut Workspace, options: &Options, stride: u32) -> Self {
        if options.init == Init::Kmeans {
            self.copies.extend(self.kmeans.move_to(w, "k-means", stride));
        }
        if let Some(sample) = self.warm_up.as_mut().filter(|_| options.warm_up > 0) {
            self.copies.extend(sample.move_to(w, "the warm-up", stride));
        }
        self
    }

    /// Whether fits with these options want the same samples.
    pub fn are_the_same(one: &Options, other: &Options) -> bool {
        // The rank decides into which parts panels are cut.
        let wanted = |options: &Options| {
            (options.rank, options.init == Init::Kmeans, options.warm_up > 0, is_penalized(options))
        };
        wanted(one) == wanted(other)
    }

    /// The same samples for another fit. Those that must be copied are copied for this one.
    pub fn shared(&self) -> Self {
        Samples { copies: Vec::new(), ..self.clone() }
    }

    /// The same samples with their first `neurons` neurons alone.
    pub fn first_neurons(&self, neurons: u32) -> Self {
        Samples {
            kmeans: self.kmeans.first_neurons(neurons),
            warm_up: self.warm_up.as_ref().map(|sample| sample.first_neurons(neurons)),
            copies: self.copies.clone(),
        }
    }

    /// Records the copies of the rows of the engine's panel `whole`.
    pub fn record_copies(&self, r: &mut Recording, whole: u32) {
        for (from, to) in self.copies.iter().filter(|(from, _)| from.whole == whole) {
            copy_rows(r, from.activations, *to);
        }
    }

    /// Gives the memory of the copies back.
    pub fn release(&self, io: &SessionIo) {
        self.copies.iter().for_each(|(_, copy)| io.release(copy.buffer()));
    }
}

/// The sampled rows of each panel that has some.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub panels: Vec<Panel>,
}

impl Sample {
    /// One token of every so many.
    pub fn of(panels: &[Panel], every: u32) -> Self {
        Self::shifted(panels, every, 0)
    }

    /// The same for tokens whose number is a multiple of `every` after `shift` is added.
    pub fn shifted(panels: &[Panel], every: u32, shift: u32) -> Self {
        let sampled = |panel: &Panel| {
            let first_token = panel.first_token + shift;
            let activations = panel.activations.sampled(first_token, every)?;
            Some(Panel { first_token: first_token.next_multiple_of(every) - shift, every, activations, ..*panel })
        };
        Sample { panels: panels.iter().filter_map(sampled).collect() }
    }

    /// Has the rows of each panel read from a matrix of their own. Gives what must be copied, and where to.
    fn move_to(&mut self, w: &mut Workspace, name: &str, stride: u32) -> Vec<(Panel, Matrix)> {
        let move_panel = |panel: &mut Panel| {
            let from = *panel;
            let Matrix { element, rows, columns, .. } = from.activations;
            let name = format!("sample for {name} of panel {}", panel.index);
            panel.activations = w.elements(name, element, rows, columns, stride);
            (from, panel.activations)
        };
        self.panels.iter_mut().map(move_panel).collect()
    }

    /// The same tokens with their first `neurons` neurons alone.
    pub fn first_neurons(&self, neurons: u32) -> Self {
        Sample { panels: self.panels.iter().map(|panel| panel.first_neurons(neurons)).collect() }
    }
}

/// The sample of k-means into `rank` clusters takes one token of every so many.
fn kmeans_every(tokens: u64, rank: u32) -> u32 {
    largest_prime(tokens / (TOKENS_PER_CLUSTER * u64::from(rank)))
}

/// The sample of the warm-up takes one token of every so many. If there are too few tokens for a sample, it takes all of them for a penalty
/// that falls, and `None` without one, because then an iteration of the warm-up does no more than one of the fit.
fn warm_up_every(tokens: u64, options: &Options) -> Option<u32> {
    let rank = u64::from(options.rank);
    if tokens / u64::from(WARM_UP_EVERY) >= FEWEST_WARM_UP_TOKENS * rank {
        Some(largest_prime(tokens / (MOST_WARM_UP_TOKENS * rank)).max(WARM_UP_EVERY))
    } else {
        is_penalized(options).then_some(1)
    }
}

fn is_penalized(options: &Options) -> bool {
    options.solver.updates().penalize(options)
}

/// The largest prime up to `most`, or 1. Where all prompts have one length, a distance that has a divisor in common with that
/// length would meet the same few positions again and again.
fn largest_prime(most: u64) -> u32 {
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let is_prime = |n: &u32| (2..).take_while(|d| d * d <= u64::from(*n)).all(|d| !u64::from(*n).is_multiple_of(d));
    (2..=most).rev().find(is_prime).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use unmix_kernels::ElementType;
    use unmix_runtime::{CpuEngine, Engine, PanelLayout};

    use super::*;
    use crate::SemiNmf;
    use crate::panels::panels_of;

    #[test]
    fn shifted_samples_share_the_tokens_among_them() {
        let layout = PanelLayout { tokens: 103, neurons: 8, element: ElementType::F32, panel_rows: 10, stride: 8 };
        let panels = panels_of(&layout, 0, &SemiNmf::new(3).options(8), CpuEngine::new().limits());
        let tokens: Vec<f32> = (0..103).map(|token| token as f32).collect();
        let mut met: Vec<f32> = (0..3)
            .flat_map(|shift| Sample::shifted(&panels, 3, shift).panels)
            .flat_map(|panel| panel.of_tokens(&tokens).collect::<Vec<_>>())
            .collect();
        met.sort_by(f32::total_cmp);
        assert_eq!(met, tokens);
        let shifted = Sample::shifted(&panels, 3, 1).panels;
        assert_eq!(shifted.iter().map(|panel| panel.first_token).collect::<Vec<_>>()[..3], [2, 11, 20]);
        assert_eq!(shifted[1].activations.first, 8);
    }

    #[test]
    fn a_sample_meets_every_position_of_prompts_of_one_length() {
        assert_eq!([0, 1, 2, 3, 4, 9, 64, 625].map(largest_prime), [1, 1, 2, 3, 3, 7, 61, 619]);
        for length in [128, 512, 625] {
            let every = largest_prime(625) as usize;
            let positions: std::collections::HashSet<usize> = (0..length).map(|i| i * every % length).collect();
            assert_eq!(positions.len(), length);
        }
    }

    #[test]
    fn the_sample_of_the_warm_up_has_tokens_enough_for_its_features_and_not_too_many() {
        let every =
            |fit: SemiNmf| [7_499, 7_500, 9_256, 1_000_000].map(|tokens| warm_up_every(tokens, &fit.options(64)));
        assert_eq!(every(SemiNmf::new(100).penalty(0.0)), [None, Some(5), Some(5), Some(151)]);
        assert_eq!(every(SemiNmf::new(100)), [Some(1), Some(5), Some(5), Some(151)]);
    }
}
