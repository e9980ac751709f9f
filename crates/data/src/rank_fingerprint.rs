//! The fingerprint of activations that several ranks read together, each its own share.

use std::ops::Range;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use unmix::{ActivationSource, Distribution};

use crate::Error;
use crate::fingerprint::{beginning, fingerprint, hashed_text};

/// Bytes of a leaf of BLAKE3's tree.
const CHUNK: u64 = 1024;
/// Bytes that are hashed at a time.
const PIECE: u64 = 16 << 20;
/// Bytes of the description of a node that a rank sends: where it begins and ends, and its value.
const NODE: usize = 16 + blake3::OUT_LEN;

/// The [`fingerprint()`] of `source`, of which each rank reads about its own share. All ranks call it at once. BLAKE3 hashes bytes in a
/// binary tree, so each rank hashes the largest subtrees that begin in its share, and the rest is put together on every rank.
///
/// # Errors
/// If the source cannot be read.
pub fn fingerprint_of_ranks(source: &dyn ActivationSource, distribution: &Distribution) -> Result<String, Error> {
    let communicator = distribution.communicator();
    if communicator.ranks() == 1 {
        return fingerprint(source);
    }
    let beginning = beginning(source);
    let bytes = Bytes { row_bytes: source.neurons() * source.element().bytes() as u64, source, beginning };
    let all = 0..bytes.beginning.len() as u64 + source.tokens() * bytes.row_bytes;
    if all.end <= CHUNK {
        return fingerprint(source);
    }
    let own = bytes.chunks_of(distribution.rows(), &all);
    let mut described = Vec::new();
    // The root has another kind of value, so it is no subtree, even if one rank has all of it.
    for node in halves(&all).into_iter().flat_map(|half| subtrees(half, &own)) {
        let value = bytes.value(&node)?;
        described.extend(node.start.to_le_bytes().into_iter().chain(node.end.to_le_bytes()).chain(value));
    }
    let described = communicator.exchange(&vec![&described[..]; communicator.ranks() as usize]).concat();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let known = |node: &Range<u64>| {
        let of_node =
            described.chunks_exact(NODE).find(|d| number(&d[..8]) == node.start && number(&d[8..16]) == node.end);
        of_node.and_then(|described| described[16..].try_into().ok())
    };
    let [left, right] = halves(&all);
    Ok(hashed_text(merge_subtrees_root(&merged(left, &known), &merged(right, &known), Mode::Hash)))
}

/// The value of a node, from those that are known.
fn merged(node: Range<u64>, known: &dyn Fn(&Range<u64>) -> Option<ChainingValue>) -> ChainingValue {
    known(&node).unwrap_or_else(|| {
        let [left, right] = halves(&node);
        merge_subtrees_non_root(&merged(left, known), &merged(right, known), Mode::Hash)
    })
}

fn halves(node: &Range<u64>) -> [Range<u64>; 2] {
    let middle = node.start + left_subtree_len(node.end - node.start);
    [node.start..middle, middle..node.end]
}

/// The largest subtrees below `node` that lie in `own`.
fn subtrees(node: Range<u64>, own: &Range<u64>) -> Vec<Range<u64>> {
    if node.start >= own.end || node.end <= own.start {
        return Vec::new();
    }
    if own.start <= node.start && node.end <= own.end {
        return vec![node];
    }
    halves(&node).into_iter().flat_map(|half| subtrees(half, own)).collect()
}

/// The bytes that are hashed: a beginning, then the rows.
struct Bytes<'s> {
    source: &'s dyn ActivationSource,
    row_bytes: u64,
    beginning: Vec<u8>,
}

impl Bytes<'_> {
    /// The bytes of the chunks that begin in these rows. The beginning belongs to the first rows.
    fn chunks_of(&self, rows: Range<u64>, all: &Range<u64>) -> Range<u64> {
        let first = |row: u64| match row {
            0 => 0,
            row => (self.beginning.len() as u64 + row * self.row_bytes).next_multiple_of(CHUNK).min(all.end),
        };
        first(rows.start)..if rows.end == self.source.tokens() { all.end } else { first(rows.end) }
    }

    /// The value of a subtree.
    fn value(&self, node: &Range<u64>) -> Result<ChainingValue, Error> {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(node.start);
        let before = self.beginning.len() as u64;
        let mut at = node.start;
        if at < before {
            let end = node.end.min(before);
            hasher.update(&self.beginning[at as usize..end as usize]);
            at = end;
        }
        let mut buffer = Vec::new();
        while at < node.end {
            let end = node.end.min(at + PIECE.max(self.row_bytes));
            // The rows that hold these bytes.
            let rows = (at - before) / self.row_bytes..(end - before).div_ceil(self.row_bytes);
            let skipped = (at - before - rows.start * self.row_bytes) as usize;
            let length = (end - at) as usize;
            if let Some(bytes) = self.source.shared_rows(rows.clone()) {
                hasher.update_rayon(&bytes[skipped..][..length]);
            } else {
                buffer.resize(((rows.end - rows.start) * self.row_bytes) as usize, 0);
                self.source.read_rows(rows, &mut buffer).map_err(Error::from_read)?;
                hasher.update_rayon(&buffer[skipped..][..length]);
            }
            at = end;
        }
        Ok(hasher.finalize_non_root())
    }
}
