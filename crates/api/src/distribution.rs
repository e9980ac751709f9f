//! How the tokens of a fit are divided among processes.

use std::ops::Range;
use std::sync::Arc;

use unmix_runtime::{ActivationSource, Engine, EngineKind, PanelLayout};

use crate::Error;
use crate::communicator::{Alone, Communicator};
use crate::panels::Panel;
use crate::segment_tree::{self, sum};
use crate::token_share::TokenShare;

/// Rows of the tiles of most kernels.
const TILE_ROWS: u64 = 64;

/// How the tokens of a fit are divided among the ranks of a [`Communicator`].
///
/// The tokens are cut into segments, whose bounds do not depend on the number of ranks. A rank has some segments that follow one another.
/// Sums over tokens are taken for each segment alone, and then added in a binary tree over the segments. So a fit ends with the same bits on
/// any number of ranks, if their engines are of the same kind and the number of segments is the same.
#[derive(Clone, Debug)]
pub struct Distribution {
    communicator: Arc<dyn Communicator>,
    /// Number of all tokens.
    tokens: u64,
    segments: u32,
    /// Number of tokens in every segment except the last, a multiple of `panel_rows`.
    segment_rows: u64,
    panel_rows: u32,
    /// Whether the ranks compute with different kinds of engines.
    engines_differ: bool,
}

impl Distribution {
    /// Number of segments for a number of ranks, if the caller does not care: 8, or the next power of two for more ranks.
    pub fn default_segments(ranks: u32) -> u32 {
        ranks.next_power_of_two().max(8)
    }

    /// Divides the tokens of `source`, which all ranks see in full. `engine` is the engine of this rank.
    ///
    /// # Errors
    /// [`Error::Option`] if there are more ranks than segments, or too few tokens for the ranks. [`Error::Runtime`] if the engine cannot have
    /// such activations.
    pub fn new(
        communicator: Arc<dyn Communicator>,
        engine: &dyn Engine,
        source: &dyn ActivationSource,
        segments: u32,
    ) -> Result<Self, Error> {
        let ranks = communicator.ranks();
        let refuse =
            |expected: String| Err(Error::Option { option: "segments", given: segments.to_string(), expected });
        if segments < ranks {
            return refuse(format!("{ranks} ranks need at least {ranks} segments"));
        }
        let layout = engine.layout(source)?;
        // Engines may differ in how many rows they like.
        let most = communicator.joined(vec![layout.panel_rows]).into_iter().min().unwrap_or(layout.panel_rows);
        let tokens = layout.tokens;
        if u32::try_from(tokens).is_err() {
            return refuse(format!("a fit takes at most {} tokens, and these are {tokens}", u32::MAX));
        }
        let panel_rows = panel_rows(tokens, segments.into(), most.into());
        let segment_rows = tokens.div_ceil(segments.into()).div_ceil(panel_rows) * panel_rows;
        let engines = communicator.of_each_rank(arithmetic(engine).as_bytes());
        let engines_differ = engines.iter().any(|other| *other != engines[0]);
        let panel_rows = panel_rows as u32;
        let divided = Distribution { communicator, tokens, segments, segment_rows, panel_rows, engines_differ };
        if divided.rows_of(ranks - 1).is_empty() {
            return refuse(format!("{tokens} tokens are too few for {ranks} ranks; use fewer ranks"));
        }
        Ok(divided)
    }

    /// All tokens, in the one segment of the only process.
    pub(crate) fn alone(layout: &PanelLayout) -> Self {
        let PanelLayout { tokens, panel_rows, .. } = *layout;
        let communicator = Arc::new(Alone);
        Distribution { communicator, tokens, segments: 1, segment_rows: tokens, panel_rows, engines_differ: false }
    }

    /// The connection to the other ranks.
    pub fn communicator(&self) -> &dyn Communicator {
        &*self.communicator
    }

    /// The same connection, to keep.
    pub(crate) fn shared_communicator(&self) -> Arc<dyn Communicator> {
        Arc::clone(&self.communicator)
    }

    /// Number of tokens of all ranks.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Number of segments.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// The tokens of this rank, by their numbers in the whole matrix.
    pub fn rows(&self) -> Range<u64> {
        self.rows_of(self.communicator.rank())
    }

    /// The tokens of rank `rank`.
    pub fn rows_of(&self, rank: u32) -> Range<u64> {
        let Range { start, end } = self.segments_of(rank);
        let first = |segment: u32| (u64::from(segment) * self.segment_rows).min(self.tokens);
        first(start)..first(end)
    }

    /// The share of this rank, for an engine to load or stream.
    pub fn share(&self, whole: Arc<dyn ActivationSource + Send>) -> TokenShare {
        TokenShare::new(whole, self.rows(), self.panel_rows)
    }

    /// The layout of the whole matrix, given that of the share.
    pub(crate) fn whole(&self, share: &PanelLayout) -> PanelLayout {
        PanelLayout { tokens: self.tokens, ..share.clone() }
    }

    /// Whether activations cut like this are the share of this rank.
    pub(crate) fn check_share(&self, layout: &PanelLayout) -> Result<(), Error> {
        let rows = self.rows();
        if (layout.tokens, layout.panel_rows) == (rows.end - rows.start, self.panel_rows) {
            return Ok(());
        }
        Err(Error::Option {
            option: "distribution",
            given: format!("{} tokens in panels of {}", layout.tokens, layout.panel_rows),
            expected: format!(
                "rank {} has the tokens {rows:?} in panels of {}",
                self.communicator.rank(),
                self.panel_rows
            ),
        })
    }

    /// Whether the ranks compute with different kinds of engines, which round differently.
    pub(crate) fn engines_differ(&self) -> bool {
        self.engines_differ
    }

    /// Whether the sums of a pass over the tokens are complete when the pass ends.
    pub(crate) fn is_whole(&self) -> bool {
        self.segments == 1
    }

    /// The rank that has a token.
    pub(crate) fn owner_of(&self, token: u32) -> u32 {
        let has = |rank: &u32| self.rows_of(*rank).contains(&u64::from(token));
        (0..self.communicator.ranks()).find(has).unwrap_or(0)
    }

    /// Whether this rank has a token.
    pub(crate) fn has(&self, token: u32) -> bool {
        self.rows().contains(&u64::from(token))
    }

    /// The segment that a panel is part of.
    pub(crate) fn segment_of(&self, panel: &Panel) -> u32 {
        (u64::from(panel.first_token) / self.segment_rows.max(1)) as u32
    }

    /// The panels of each segment of this rank. A segment may have none.
    pub(crate) fn by_segment<'p>(&self, panels: &'p [Panel]) -> Vec<&'p [Panel]> {
        let mut rest = panels;
        let of_segment = |segment| {
            let (own, after) = rest.split_at(rest.partition_point(|panel| self.segment_of(panel) <= segment));
            rest = after;
            own
        };
        self.segments_of(self.communicator.rank()).map(of_segment).collect()
    }

    /// Sums over all tokens, given those over each segment of this rank. They are the same on every rank.
    pub(crate) fn sums<const N: usize>(&self, own: Vec<[f64; N]>) -> [f64; N] {
        let own: Vec<f64> = own.into_iter().flatten().collect();
        let all = self.communicator.joined(own);
        let leaf = |range: &Range<u32>| {
            let first = range.start as usize * N;
            (range.len() == 1).then(|| std::array::from_fn(|place| all[first + place]))
        };
        sum(0..self.segments, &leaf, &|a: [f64; N], b| std::array::from_fn(|place| a[place] + b[place]))
    }

    /// The segments of rank `rank`.
    pub(crate) fn segments_of(&self, rank: u32) -> Range<u32> {
        segment_tree::share(self.segments, self.communicator.ranks(), rank)
    }
}

/// What decides how an engine rounds. The number of threads does not.
fn arithmetic(engine: &dyn Engine) -> String {
    if engine.kind() == EngineKind::Gpu {
        return engine.adapter().to_owned();
    }
    let adapter = engine.adapter().split(", ").next().unwrap_or_default().to_owned();
    #[cfg(target_arch = "x86_64")]
    let adapter = format!(
        "{adapter}, AVX2: {}, AVX-512: {}",
        is_x86_feature_detected!("avx2"),
        is_x86_feature_detected!("avx512f")
    );
    adapter
}

/// Rows of a panel, at most `most`, so that segments of whole panels have about the same size.
fn panel_rows(tokens: u64, segments: u64, most: u64) -> u64 {
    let each = tokens.div_ceil(segments).max(1);
    let count = each.div_ceil(most.max(1));
    let even = each.div_ceil(count);
    let tiled = even.next_multiple_of(TILE_ROWS);
    // What rounding adds to the other segments, the last one lacks.
    let lacking = (tiled * count - each) * (segments - 1);
    if even >= TILE_ROWS && tiled <= most && lacking * 10 <= each { tiled } else { even }
}
