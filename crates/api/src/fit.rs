//! What the stages of a fit work with: the session, its buffers, the options, and what was measured.

use std::sync::Arc;

use unmix_runtime::{Activations, Engine, PanelLayout};

use crate::allocation::{AllocatedFit, Allocation};
use crate::buffers::Buffers;
use crate::checkpoint::CheckpointReader;
use crate::distribution::Distribution;
use crate::gather::Gather;
use crate::measuring::Measured;
use crate::panels::Panel;
use crate::sample::Samples;
use crate::saved_buffers::restore;
use crate::session_io::SessionIo;
use crate::steps::Steps;
use crate::{Error, Options};

/// A fit whose buffers are allocated and whose activations are measured. Several fits may share a session.
#[derive(Clone)]
pub(crate) struct Fit<'a> {
    pub engine: &'a dyn Engine,
    pub io: Arc<SessionIo>,
    /// How the activations of this process are cut.
    pub layout: PanelLayout,
    /// Which tokens this process has.
    pub distribution: Arc<Distribution>,
    pub panels: Vec<Panel>,
    pub samples: Samples,
    pub buffers: Buffers,
    pub options: Options,
    /// Number of tokens of all processes.
    pub tokens: u64,
    pub neurons: u32,
    pub measured: Arc<Measured>,
    /// Tokens whose first activations are in the centroids, as k-means will want them most likely.
    pub gathered: Vec<u32>,
}

/// A fit that is to begin.
pub(crate) struct Beginning {
    pub options: Options,
    /// Tokens whose first activations go to the centroids in the pass that measures the activations, at most one a cluster.
    pub gathered: Vec<u32>,
}

/// A checkpoint's buffers, with the scale of the activations that they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'c> {
    pub buffers: &'c dyn CheckpointReader,
    pub scale: f32,
}

impl<'a> Fit<'a> {
    /// Plans and allocates every buffer of fits that share a session, and measures the activations once for all of them. If
    /// `copies_samples` is set, the samples of streamed activations that the starts need are copied on the way.
    pub async fn begin(
        engine: &'a dyn Engine,
        activations: &Activations,
        distribution: Arc<Distribution>,
        beginnings: Vec<Beginning>,
        copies_samples: bool,
    ) -> Result<Vec<Self>, Error> {
        let options: Vec<Options> = beginnings.iter().map(|beginning| beginning.options.clone()).collect();
        let copies_samples = copies_samples && activations.is_streamed();
        let layout = activations.layout();
        let allocation = Allocation::plan(&distribution, layout, &options, engine.limits(), copies_samples);
        allocation.check_samples(&distribution)?;
        let io = SessionIo::open(engine, &allocation.workspace, activations, Arc::clone(&distribution))?;
        let gathers: Vec<Gather<'_>> = beginnings
            .iter()
            .zip(&allocation.fits)
            .map(|(beginning, fit)| Gather::of_likely_tokens(&beginning.gathered, &fit.buffers))
            .collect();
        gathers.iter().try_for_each(|gather| gather.write_tokens(&io))?;
        let measured = Measured::of(&io, &distribution, &allocation, &gathers).await?;
        Ok(Fit::all(engine, activations, &distribution, io, allocation, measured, beginnings))
    }

    /// Begins other fits of the same activations in the buffers of `fits`. They have the same shape, and there are at most as many. Samples must not
    /// be copies. Memory that is used again costs less than memory that the system has to give.
    pub fn begin_again(mut fits: Vec<Self>, beginnings: Vec<Beginning>) -> Result<Vec<Self>, Error> {
        fits[0].io.clear()?;
        fits.truncate(beginnings.len());
        for (fit, Beginning { options, gathered }) in fits.iter_mut().zip(beginnings) {
            fit.measured.write_norms(&fit.io, &fit.panels, &fit.buffers)?;
            Gather::of_likely_tokens(&gathered, &fit.buffers).run(&fit.io, &fit.panels, fit.measured.scale)?;
            (fit.options, fit.gathered) = (options, gathered);
        }
        Ok(fits)
    }

    /// Plans and allocates every buffer of a fit, and brings the buffers to what a checkpoint says.
    pub async fn resume(
        engine: &'a dyn Engine,
        activations: &Activations,
        distribution: Arc<Distribution>,
        options: Options,
        saved: Saved<'_>,
    ) -> Result<Self, Error> {
        let (layout, only) = (activations.layout(), std::slice::from_ref(&options));
        let allocation = Allocation::plan(&distribution, layout, only, engine.limits(), false);
        let io = SessionIo::open(engine, &allocation.workspace, activations, Arc::clone(&distribution))?;
        let AllocatedFit { panels, buffers, .. } = &allocation.fits[0];
        restore(&io, &allocation.workspace, buffers, saved.buffers)?;
        let measured = Measured::in_buffers(&io, &distribution, panels, buffers, saved.scale).await?;
        let only = Beginning { options, gathered: Vec::new() };
        Ok(Fit::all(engine, activations, &distribution, io, allocation, measured, vec![only]).remove(0))
    }

    fn all(
        engine: &'a dyn Engine,
        activations: &Activations,
        distribution: &Arc<Distribution>,
        io: SessionIo,
        Allocation { fits, .. }: Allocation,
        measured: Measured,
        beginnings: Vec<Beginning>,
    ) -> Vec<Self> {
        let (io, measured) = (Arc::new(io), Arc::new(measured));
        let layout = activations.layout();
        let fit = |(AllocatedFit { panels, buffers, samples }, Beginning { options, gathered })| Fit {
            engine,
            io: Arc::clone(&io),
            layout: layout.clone(),
            distribution: Arc::clone(distribution),
            panels,
            samples,
            buffers,
            options,
            tokens: distribution.tokens(),
            neurons: layout.neurons,
            measured: Arc::clone(&measured),
            gathered,
        };
        fits.into_iter().zip(beginnings).map(fit).collect()
    }

    /// The same fit over the first neurons alone, in the same buffers. What it leaves in them, other than coefficients, is not what the whole fit
    /// would leave there.
    pub fn first_neurons(&self, neurons: u32) -> Self {
        Fit {
            panels: self.panels.iter().map(|panel| panel.first_neurons(neurons)).collect(),
            samples: self.samples.first_neurons(neurons),
            buffers: self.buffers.first_neurons(neurons, self.options.kept(neurons)),
            neurons,
            ..self.clone()
        }
    }

    /// The steps of an iteration.
    pub fn steps(&self) -> Steps<'_> {
        Steps {
            options: &self.options,
            panels: &self.panels,
            buffers: &self.buffers,
            scale: self.measured.scale,
            squared_norm: self.measured.squared_norm,
            distribution: &self.distribution,
        }
    }
}
