//! What the stages of a fit work with: the session, its buffers, the options, and what was measured.

use unmix_kernels::Workspace;
use unmix_runtime::{Activations, Engine, PanelLayout};

use crate::buffers::Buffers;
use crate::checkpoint::CheckpointReader;
use crate::measuring::Measured;
use crate::panels::{Panel, panels_of};
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
    pub buffers: Buffers,
    pub options: Options,
    pub tokens: u64,
    pub neurons: u32,
    pub measured: Measured,
}

/// A checkpoint's buffers, with the scale of the activations that they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'c> {
    pub buffers: &'c dyn CheckpointReader,
    pub scale: f32,
}

impl<'a> Fit<'a> {
    /// Plans and allocates every buffer. Then the activations are measured, or the buffers are brought to what was saved.
    pub async fn open(
        engine: &'a dyn Engine,
        activations: &Activations,
        options: Options,
        saved: Option<Saved<'_>>,
    ) -> Result<Self, Error> {
        let layout = activations.layout().clone();
        let mut workspace = Workspace::default();
        let buffers = Buffers::plan(&mut workspace, &layout, &options, engine.limits());
        let io = SessionIo::new(engine.open(&workspace, activations)?);
        let panels = panels_of(&layout);
        let measured = match saved {
            Some(saved) => {
                restore(&io, &workspace, &buffers, saved.buffers)?;
                Measured::again(&io, &panels, &buffers, saved.scale).await?
            }
            None => Measured::of(&io, &panels, &buffers).await?,
        };
        let (tokens, neurons) = (layout.tokens, layout.neurons);
        Ok(Fit { engine, workspace, io, layout, panels, buffers, options, tokens, neurons, measured })
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
