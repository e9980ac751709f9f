//! What the stages of a fit work with: the session, its buffers, the options, and what was measured.

use unmix_kernels::Workspace;
use unmix_runtime::{Activations, Engine};

use crate::buffers::Buffers;
use crate::gather::Gather;
use crate::measuring::Measured;
use crate::panels::{Panel, panels_of};
use crate::sample::Samples;
use crate::session_io::SessionIo;
use crate::steps::Steps;
use crate::{Error, Options};

/// A fit whose buffers are allocated and whose activations are measured.
pub(crate) struct Fit<'a> {
    pub engine: &'a dyn Engine,
    pub io: SessionIo,
    pub panels: Vec<Panel>,
    pub samples: Samples,
    pub buffers: Buffers,
    pub options: Options,
    pub tokens: u64,
    pub neurons: u32,
    pub measured: Measured,
    /// Tokens whose first activations are in the centroids, as k-means will want them most likely.
    pub gathered: Vec<u32>,
}

impl<'a> Fit<'a> {
    /// Plans and allocates every buffer, and measures the activations. In the same pass, activations of the tokens `gathered`, at
    /// most one a cluster, go to the centroids, and samples of streamed activations to memory of their own.
    pub async fn open(
        engine: &'a dyn Engine,
        activations: &Activations,
        options: Options,
        gathered: Vec<u32>,
    ) -> Result<Self, Error> {
        let layout = activations.layout();
        let mut workspace = Workspace::default();
        let buffers = Buffers::plan(&mut workspace, layout, &options, engine.limits());
        let panels = panels_of(layout);
        let mut samples = Samples::of(&panels, &options);
        if activations.is_streamed() {
            samples = samples.copied(&mut workspace, &options, layout.stride);
        }
        let io = SessionIo::new(engine.open(&workspace, activations)?);
        let gather = Gather {
            tokens: &gathered,
            indices: buffers.gathered_tokens,
            out: buffers.compared_centroids().first_rows(gathered.len() as u32),
        };
        gather.write_tokens(&io)?;
        let measured = Measured::of(&io, &panels, &buffers, &samples, &gather).await?;
        let (tokens, neurons) = (layout.tokens, layout.neurons);
        Ok(Fit { engine, io, panels, samples, buffers, options, tokens, neurons, measured, gathered })
    }

    /// The steps of an iteration.
    pub fn steps(&self) -> Steps<'_> {
        Steps {
            options: &self.options,
            panels: &self.panels,
            buffers: &self.buffers,
            scale: self.measured.scale,
            squared_norm: self.measured.squared_norm,
        }
    }
}
