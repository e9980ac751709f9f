//! The row panels of the activations, as operands of recordings. If a visit to a whole panel would keep the device busy for too long, the
//! fit visits parts of it, and each part is a panel of its own here.

use unmix_kernels::Matrix;
use unmix_runtime::{EngineLimits, PanelLayout};

use crate::Options;

/// Tokens of the largest tile of a kernel. Parts of panels have a multiple of it, and at least one tile.
const TILE_ROWS: u64 = 64;
/// The largest number of sweeps over the coefficients in a dispatch, unless the options ask for more.
const MOST_SWEEPS: u64 = 8;

/// A row panel of the activations or a part of one, or a sample of its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    /// Number of the panel among those of this process, from 0.
    pub index: usize,
    /// Number of the panel among those of all processes, from 0.
    pub number: usize,
    /// Number of the engine's panel that has its rows, from 0.
    pub whole: u32,
    /// Number of the first row's token in the whole matrix.
    pub first_token: u32,
    /// Distance between the tokens of two consecutive rows: 1, or more in a sample.
    pub every: u32,
    /// X [rows, d].
    pub activations: Matrix,
}

impl Panel {
    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.activations.rows
    }

    /// Whether the engine's panel begins with this one. It must not be a sample.
    pub fn is_first_part(&self) -> bool {
        self.activations.first == 0
    }

    /// The panel with only its first `neurons` neurons.
    pub fn first_neurons(self, neurons: u32) -> Panel {
        Panel { activations: self.activations.first_columns(neurons), ..self }
    }

    /// Whether `token` is a row of this panel. The panel must not be a sample.
    pub fn contains(&self, token: u32) -> bool {
        (self.first_token..self.first_token + self.rows()).contains(&token)
    }

    /// The values of this panel's rows. `values` has one value for each token of the whole matrix.
    pub fn of_tokens<'v>(&self, values: &'v [f32]) -> impl Iterator<Item = f32> + use<'v> {
        let values = values[self.first_token as usize..].iter().step_by(self.every as usize);
        values.take(self.rows() as usize).copied()
    }
}

/// All panels of activations of this layout, the first of which begins with token `first_token` of the whole matrix, for a fit with these
/// options.
pub(crate) fn panels_of(
    layout: &PanelLayout,
    first_token: u64,
    options: &Options,
    limits: &EngineLimits,
) -> Vec<Panel> {
    let rows = part_rows(layout.panel_rows, most_rows(options, layout.neurons, limits));
    let of_whole = layout.panel_rows.div_ceil(rows) as usize;
    let first_number = (first_token / u64::from(layout.panel_rows)) as usize * of_whole;
    let parts = (0..layout.panels()).flat_map(|whole| {
        let all = layout.panel(whole);
        (0..all.rows)
            .step_by(rows as usize)
            .map(move |first| (whole, first, all.part(first, rows.min(all.rows - first))))
    });
    let panel = |(index, (whole, first, activations))| Panel {
        index,
        number: first_number + index,
        whole,
        first_token: (first_token + layout.rows(whole).start) as u32 + first,
        every: 1,
        activations,
    };
    parts.enumerate().map(panel).collect()
}

/// Most tokens of a visit: as many as the engine takes in one dispatch, whose coefficients it can bind.
fn most_rows(options: &Options, neurons: u32, limits: &EngineLimits) -> u64 {
    let (rank, neurons) = (u64::from(options.rank), u64::from(neurons));
    // The first pass after a warm-up does twice as many sweeps.
    let sweeps = MOST_SWEEPS.max(2 * u64::from(options.sweeps));
    // A visit's longest dispatches are products of [tokens, K] and [tokens, d] matrices, and sweeps over the coefficients.
    let flops = 2 * (rank + 1) * neurons.max(sweeps.saturating_mul(rank));
    let of_flops = (limits.dispatch_flops / flops).max(TILE_ROWS);
    let of_binding = limits.max_binding_bytes / (rank.next_multiple_of(4) * 4);
    of_flops.min(of_binding).min(limits.dispatch_rows.into()).max(1)
}

/// Tokens of a part, if a panel of `rows` tokens is cut into parts of about one size that have at most `most` tokens.
fn part_rows(rows: u32, most: u64) -> u32 {
    let rows = u64::from(rows.max(1));
    let even = rows.div_ceil(rows.div_ceil(most));
    let tiled = even.next_multiple_of(TILE_ROWS);
    // A panel that is not cut keeps its size.
    let part = if even < rows && tiled <= most { tiled } else { even };
    part as u32
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{ElementType, Resource};

    use super::*;
    use crate::SemiNmf;

    fn layout(tokens: u64, neurons: u32) -> PanelLayout {
        PanelLayout::new(tokens, neurons, ElementType::F16, true, 256 << 20)
    }

    #[test]
    fn a_panel_is_cut_only_if_a_dispatch_would_be_too_long() {
        let limits = EngineLimits::of_gpu(1 << 31);
        let rows =
            |rank, layout: &PanelLayout| panels_of(layout, 0, &SemiNmf::new(rank).options(layout.neurons), &limits);
        let wide = layout(100_000, 14_336);
        assert_eq!(rows(400, &wide).len() as u32, wide.panels());
        assert!(rows(4_096, &wide).len() as u32 > 3 * wide.panels());
        let narrow = layout(200_000, 8);
        assert_eq!((narrow.panels(), rows(4, &narrow).len()), (1, 4));
    }

    #[test]
    fn the_parts_of_panels_are_all_rows_in_order() {
        let layout = PanelLayout { tokens: 1_000, neurons: 9, element: ElementType::F32, panel_rows: 300, stride: 12 };
        let limits = EngineLimits { dispatch_rows: 128, ..EngineLimits::of_gpu(1 << 31) };
        let panels = panels_of(&layout, 0, &SemiNmf::new(3).options(9), &limits);
        let mut token = 0;
        for (number, panel) in panels.iter().enumerate() {
            let x = panel.activations;
            assert_eq!((panel.index, panel.first_token, x.resource), (number, token, Resource::Panel(token / 300)));
            assert_eq!((panel.whole, x.first, x.stride), (token / 300, token % 300 * 12, 12));
            assert!(x.rows <= 128);
            token += x.rows;
        }
        assert_eq!((token, panels.len()), (1_000, 10));
    }

    #[test]
    fn parts_have_whole_tiles() {
        assert_eq!(
            [(300, 500), (300, 200), (9_362, 704), (65, 64), (100, 1)].map(|(rows, most)| part_rows(rows, most)),
            [300, 192, 704, 64, 1]
        );
    }
}
