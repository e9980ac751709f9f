//! Gathering the activations of single tokens.

use unmix_kernels::{BufferId, Matrix, Recording, gather_rows};

use crate::Error;
use crate::buffers::Buffers;
use crate::panels::Panel;
use crate::session_io::SessionIo;

/// Copies the first activations of some tokens, scaled, to one row for each token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather<'a> {
    pub tokens: &'a [u32],
    /// Buffer for the tokens' numbers on the device.
    pub indices: BufferId,
    /// The matrix [tokens, gathered neurons] that the rows go to.
    pub out: Matrix,
}

impl<'a> Gather<'a> {
    /// Copies the first activations of tokens that k-means will most likely want to the centroids.
    pub fn of_likely_tokens(tokens: &'a [u32], buffers: &Buffers) -> Self {
        let out = buffers.compared_centroids().first_rows(tokens.len() as u32);
        Gather { tokens, indices: buffers.gathered_tokens, out }
    }

    /// Writes the tokens' numbers, which the recorded commands read.
    pub fn write_tokens(&self, io: &SessionIo) -> Result<(), Error> {
        io.write(self.indices, self.tokens)
    }

    /// Records the gathering of a panel's tokens. A panel that has none of them is not visited.
    pub fn record(&self, r: &mut Recording, panel: &Panel, scale: f32) {
        if self.tokens.iter().any(|&token| panel.contains(token)) {
            let activations = panel.first_neurons(self.out.columns).activations;
            gather_rows(r, activations, panel.first_token, self.indices, self.out, scale);
        }
    }

    /// Gathers the tokens from all panels.
    pub fn run(&self, io: &SessionIo, panels: &[Panel], scale: f32) -> Result<(), Error> {
        self.write_tokens(io)?;
        let mut recording = Recording::new();
        panels.iter().for_each(|panel| self.record(&mut recording, panel, scale));
        io.run_once(recording)
    }
}
