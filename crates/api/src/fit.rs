//! What the stages of a fit work with: the session, its buffers, the options, and what was measured.

use unmix_kernels::Workspace;
use unmix_runtime::{Activations, Engine, PanelLayout};

use crate::buffers::Buffers;
use crate::checkpoint::CheckpointReader;
use crate::gather::Gather;
use crate::measuring::Measured;
use crate::panels::{Panel, panels_of};
use crate::sample::Samples;
use crate::saved_buffers::restore;
use crate::session_io::SessionIo;
use crate::steps::Steps;
use crate::{Error, Options};

/// A fit whose buffers are allocated and whose activations are measured.
pub(crate) struct Fit<'a> {
    pub engine: &'a dyn Engine,
    pub workspace: Workspace,
    pub io: SessionIo,
    pub layout: PanelLayout,
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

/// A checkpoint's buffers, with the scale of the activations that they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'c> {
    pub buffers: &'c dyn CheckpointReader,
    pub scale: f32,
}

/// What a fit is opened with.
pub(crate) enum Opening<'c> {
    /// It begins. In the pass that measures the activations, those of the tokens `gathered`, at most one a cluster, go to the
    /// centroids, and samples of streamed activations to memory of their own.
    Anew { gathered: Vec<u32> },
    /// It goes on.
    Saved(Saved<'c>),
}

impl<'a> Fit<'a> {
    /// Plans and allocates every buffer. Then the activations of a fit that begins are measured, or the buffers are brought to what
    /// a checkpoint says.
    pub async fn open(
        engine: &'a dyn Engine,
        activations: &Activations,
        options: Options,
        from: Opening<'_>,
    ) -> Result<Self, Error> {
        let layout = activations.layout().clone();
        let mut workspace = Workspace::default();
        let buffers = Buffers::plan(&mut workspace, &layout, &options, engine.limits());
        let panels = panels_of(&layout);
        let mut samples = Samples::of(&panels, &options);
        if activations.is_streamed() && matches!(from, Opening::Anew { .. }) {
            samples = samples.copied(&mut workspace, &options, layout.stride);
        }
        let io = SessionIo::new(engine.open(&workspace, activations)?);
        let (measured, gathered) = match from {
            Opening::Anew { gathered } => {
                let gather = Gather {
                    tokens: &gathered,
                    indices: buffers.gathered_tokens,
                    out: buffers.compared_centroids().first_rows(gathered.len() as u32),
                };
                gather.write_tokens(&io)?;
                (Measured::of(&io, &panels, &buffers, &samples, &gather).await?, gathered)
            }
            Opening::Saved(saved) => {
                restore(&io, &workspace, &buffers, saved.buffers)?;
                (Measured::again(&io, &panels, &buffers, saved.scale).await?, Vec::new())
            }
        };
        let (tokens, neurons) = (layout.tokens, layout.neurons);
        Ok(Fit {
            engine,
            workspace,
            io,
            layout,
            panels,
            samples,
            buffers,
            options,
            tokens,
            neurons,
            measured,
            gathered,
        })
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
