//! The row panels of the activations, as operands of recordings. They depend on the activations alone, not on a fit.

use unmix_kernels::Matrix;
use unmix_runtime::PanelLayout;

/// A row panel of the activations, or a sample of its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    /// Number of the panel among those of this process, from 0.
    pub index: usize,
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

/// All panels of activations of this layout, the first of which begins with token `first_token` of the whole matrix.
pub(crate) fn panels_of(layout: &PanelLayout, first_token: u64) -> Vec<Panel> {
    let panel = |index: u32| Panel {
        index: index as usize,
        first_token: (first_token + layout.rows(index).start) as u32,
        every: 1,
        activations: layout.panel(index),
    };
    (0..layout.panels()).map(panel).collect()
}
