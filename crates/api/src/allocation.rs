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
    pub fits: Vec<AllocatedFit>,
}

/// What one of the fits has.
pub(crate) struct AllocatedFit {
    /// The panels that it visits.
    pub panels: Vec<Panel>,
    pub buffers: Buffers,
    pub samples: Samples,
}

impl Allocation {
    /// Plans fits with these options. If `copies_samples` is set, the samples have memory of their own. Fits that want the same samples
    /// share it.
    pub fn plan(layout: &PanelLayout, options: &[Options], limits: &EngineLimits, copies_samples: bool) -> Self {
        let mut workspace = Workspace::default();
        let mut fits: Vec<AllocatedFit> = Vec::with_capacity(options.len());
        for (number, own) in options.iter().enumerate() {
            let first = workspace.buffers.len();
            let panels = panels_of(layout, own, limits);
            let buffers = Buffers::plan(&mut workspace, &panels, own, limits);
            let same = options[..number].iter().position(|other| Samples::are_the_same(own, other));
            let samples = match same {
                Some(same) => fits[same].samples.shared(),
                None if copies_samples => Samples::of(&panels, own).copied(&mut workspace, own, layout.stride),
                None => Samples::of(&panels, own),
            };
            if options.len() > 1 {
                for spec in &mut workspace.buffers[first..] {
                    spec.name = format!("{} of fit {number}", spec.name);
                }
            }
            fits.push(AllocatedFit { panels, buffers, samples });
        }
        Allocation { workspace, fits }
    }
}
