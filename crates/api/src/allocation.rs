//! What fits that share a session allocate: the buffers of each, and samples of the activations.

use unmix_kernels::Workspace;
use unmix_runtime::{EngineLimits, PanelLayout};

use crate::Options;
use crate::buffers::Buffers;
use crate::panels::{Panel, panels_of};
use crate::sample::Samples;

/// Every buffer of fits that share a session, planned before anything is allocated.
pub(crate) struct Allocation {
    pub workspace: Workspace,
    pub panels: Vec<Panel>,
    /// The buffers and the samples of each fit.
    pub fits: Vec<(Buffers, Samples)>,
}

impl Allocation {
    /// Plans fits with these options. If `copies_samples` is set, the samples have memory of their own. Fits that want the same samples
    /// share it.
    pub fn plan(layout: &PanelLayout, options: &[Options], limits: &EngineLimits, copies_samples: bool) -> Self {
        let (mut workspace, panels) = (Workspace::default(), panels_of(layout));
        let mut fits: Vec<(Buffers, Samples)> = Vec::with_capacity(options.len());
        for (number, own) in options.iter().enumerate() {
            let first = workspace.buffers.len();
            let buffers = Buffers::plan(&mut workspace, layout, own, limits);
            let same = options[..number].iter().position(|other| Samples::are_the_same(own, other));
            let samples = match same {
                Some(same) => fits[same].1.shared(),
                None if copies_samples => Samples::of(&panels, own).copied(&mut workspace, own, layout.stride),
                None => Samples::of(&panels, own),
            };
            if options.len() > 1 {
                for spec in &mut workspace.buffers[first..] {
                    spec.name = format!("{} of fit {number}", spec.name);
                }
            }
            fits.push((buffers, samples));
        }
        Allocation { workspace, panels, fits }
    }
}
