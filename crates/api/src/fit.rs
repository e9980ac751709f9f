//! What the stages of a fit work with: the session, its buffers, the options, and what was measured.

use unmix_kernels::Workspace;
use unmix_runtime::{Activations, Engine};

use crate::buffers::Buffers;
use crate::measuring::Measured;
use crate::panels::{Panel, panels_of};
use crate::session_io::SessionIo;
use crate::steps::Steps;
use crate::{Error, Options};

/// A fit whose buffers are allocated and whose activations are measured.
pub(crate) struct Fit<'a> {
    pub engine: &'a dyn Engine,
    pub io: SessionIo,
    pub panels: Vec<Panel>,
    pub buffers: Buffers,
    pub options: Options,
    pub tokens: u64,
    pub neurons: u32,
    pub measured: Measured,
}

impl<'a> Fit<'a> {
    /// Plans and allocates every buffer, and measures the activations.
    pub async fn open(engine: &'a dyn Engine, activations: &Activations, options: Options) -> Result<Self, Error> {
        let layout = activations.layout();
        let mut workspace = Workspace::default();
        let buffers = Buffers::plan(&mut workspace, layout, &options, engine.limits());
        let io = SessionIo::new(engine.open(&workspace, activations)?);
        let panels = panels_of(layout);
        let measured = Measured::of(&io, &panels, &buffers).await?;
        let (tokens, neurons) = (layout.tokens, layout.neurons);
        Ok(Fit { engine, io, panels, buffers, options, tokens, neurons, measured })
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
