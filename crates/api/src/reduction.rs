//! Adds the sums over segments of tokens, over all ranks.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;
use unmix_kernels::{ReducedSum, SumKind};

use crate::distribution::Distribution;
use crate::segment_tree::{cover, sum};

/// Words that a thread adds at once, at least.
const WORDS_AT_ONCE: usize = 1 << 14;

/// The sums over some tokens: the words of several buffers, one after the other.
pub(crate) type Words = Vec<f32>;

/// Adds sums over segments. `segments` are those of this rank, with their sums. A segment that is missing has no tokens. Returns the sums
/// over the segments of all ranks.
pub(crate) fn reduce(distribution: &Distribution, sums: &[ReducedSum], segments: Vec<(u32, Words)>) -> Words {
    let words = sums.iter().map(|sum| sum.words as usize).sum();
    let (all, communicator) = (0..distribution.segments(), distribution.communicator());
    let ranks = communicator.ranks();
    let nodes_of = |rank: u32| cover(all.clone(), &distribution.segments_of(rank));
    let add = |a: Cow<'_, [f32]>, b: Cow<'_, [f32]>| Cow::from(added(a.into_owned(), &b, sums, 0));
    let leaf = |node: &Range<u32>| {
        let found = segments.iter().find(|(segment, _)| node.start == *segment);
        (node.len() == 1).then(|| found.map_or_else(|| Cow::from(vec![0.0; words]), |(_, own)| Cow::from(own)))
    };
    let own: Vec<Cow<'_, [f32]>> =
        nodes_of(communicator.rank()).into_iter().map(|node| sum(node, &leaf, &add)).collect();
    if let (1, [whole]) = (ranks, &own[..]) {
        return whole.to_vec();
    }
    // Each rank adds one range of the words over all nodes, and then all ranks exchange what they have added.
    let range = |rank: u32| {
        let bound = |rank: u32| words / 4 * rank as usize / ranks as usize * 4;
        bound(rank)..if rank + 1 == ranks { words } else { bound(rank + 1) }
    };
    let parts: Vec<Words> =
        (0..ranks).map(|rank| own.iter().flat_map(|node| &node[range(rank)]).copied().collect()).collect();
    let parts: Vec<&[u8]> = parts.iter().map(|part| bytemuck::cast_slice(part)).collect();
    let received: Vec<Words> =
        communicator.exchange(&parts).iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
    let mine = range(communicator.rank());
    let mut nodes = Vec::new();
    for (rank, words) in (0..ranks).zip(&received) {
        let own = nodes_of(rank);
        nodes.extend((0..).zip(own).map(|(place, node)| (node, &words[place * mine.len()..][..mine.len()])));
    }
    let known = |node: &Range<u32>| nodes.iter().find(|(own, _)| own == node).map(|(_, words)| Cow::from(*words));
    let add = |a: Cow<'_, [f32]>, b: Cow<'_, [f32]>| Cow::from(added(a.into_owned(), &b, sums, mine.start));
    communicator.joined(sum(all.clone(), &known, &add).into_owned())
}

/// a + b. Both begin at word `first` of the buffers.
fn added(mut a: Words, b: &[f32], sums: &[ReducedSum], first: usize) -> Words {
    let mut place = 0;
    for ReducedSum { words, kind, .. } in sums {
        let of_buffer = place..place + *words as usize;
        place = of_buffer.end;
        let (start, end) = (of_buffer.start.max(first), of_buffer.end.min(first + a.len()));
        if start < end {
            let (a, b) = (&mut a[start - first..end - first], &b[start - first..end - first]);
            let chunks = a.par_chunks_mut(WORDS_AT_ONCE).zip(b.par_chunks(WORDS_AT_ONCE));
            chunks.for_each(|(a, b)| add_to(a, b, *kind));
        }
    }
    a
}

fn add_to(a: &mut [f32], b: &[f32], kind: SumKind) {
    match kind {
        SumKind::Numbers => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
        SumKind::Pairs => {
            for (a, b) in a.chunks_exact_mut(2).zip(b.chunks_exact(2)) {
                let sum = [a[0], a[1], b[0], b[1]].map(f64::from).iter().sum::<f64>();
                a[0] = sum as f32;
                a[1] = (sum - f64::from(a[0])) as f32;
            }
        }
    }
}
