//! What fits that share a session allocate: the buffers of each, and samples of the activations.

use unmix_kernels::Workspace;
use unmix_runtime::{EngineLimits, PanelLayout};

use crate::buffers::Buffers;
use crate::distribution::Distribution;
use crate::panels::{Panel, panels_of};
use crate::sample::Samples;
use crate::{Error, Options};

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
    /// Plans fits with these options, of activations that are cut like this and are the share of this rank. If `copies_samples` is set, the
    /// samples have memory of their own. Fits that want the same samples share it.
    pub fn plan(
        distribution: &Distribution,
        layout: &PanelLayout,
        options: &[Options],
        limits: &EngineLimits,
        copies_samples: bool,
    ) -> Self {
        let (mut workspace, tokens) = (Workspace::default(), distribution.tokens());
        let mut fits: Vec<AllocatedFit> = Vec::with_capacity(options.len());
        for (number, own) in options.iter().enumerate() {
            let first = workspace.buffers.len();
            let panels = panels_of(layout, distribution.rows().start, own, limits);
            let others: Vec<&Buffers> = fits.iter().map(|fit| &fit.buffers).collect();
            let buffers = Buffers::plan_beside(&mut workspace, &panels, own, limits, &others);
            let same = options[..number].iter().position(|other| Samples::are_the_same(own, other));
            let samples = match same {
                Some(same) => fits[same].samples.shared(),
                None if copies_samples => Samples::of(&panels, tokens, own).copied(&mut workspace, own, layout.stride),
                None => Samples::of(&panels, tokens, own),
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

    /// Refuses ranks that have none of a sample's tokens. They would not know which sums the others take.
    pub fn check_samples(&self, distribution: &Distribution) -> Result<(), Error> {
        let lacks = |samples: &Samples| {
            let of_warm_up = samples.warm_up.as_ref().is_some_and(|sample| sample.panels.is_empty());
            samples.kmeans.panels.is_empty() || of_warm_up
        };
        let communicator = distribution.communicator();
        if communicator.any(self.fits.iter().any(|fit| lacks(&fit.samples))) {
            let ranks = communicator.ranks();
            let expected = format!("{ranks} ranks are too many for so few features; use fewer ranks");
            return Err(Error::Option { option: "segments", given: distribution.segments().to_string(), expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{ElementType, Matrix};
    use unmix_runtime::{CpuEngine, Engine, EngineLimits, PanelLayout};

    use super::*;
    use crate::SemiNmf;

    #[test]
    fn fits_with_as_many_features_share_what_they_need_only_during_a_visit_to_a_panel() {
        let layout = PanelLayout { tokens: 900, neurons: 40, element: ElementType::F16, panel_rows: 300, stride: 40 };
        let (distribution, engine) = (Distribution::alone(&layout), CpuEngine::new());
        let options: Vec<Options> = [6, 4, 6, 6].map(|rank| SemiNmf::new(rank).options(40)).into();
        // Fits with six features run one after the other, or two at a time.
        for (side_by_side, scratch) in [(1, 2), (2, 3)] {
            let limits = EngineLimits { side_by_side, ..engine.limits().clone() };
            let Allocation { workspace, fits } = Allocation::plan(&distribution, &layout, &options, &limits, false);
            let count = |name: &str| workspace.buffers.iter().filter(|spec| spec.name.starts_with(name)).count();
            // What is kept of the tokens belongs to each fit, for each of three panels.
            assert_eq!(
                (count("projections"), count("previous coefficients"), count("coefficients of panel")),
                (scratch, scratch, 12)
            );
            let projections: Vec<Matrix> = fits.iter().map(|fit| fit.buffers.projections(&fit.panels[0])).collect();
            assert_eq!(projections[0] == projections[2], side_by_side == 1);
            assert_eq!(projections[0], projections[3]);
            assert_eq!(
                projections.iter().map(|p| (p.rows, p.columns)).collect::<Vec<_>>(),
                [(300, 6), (300, 4), (300, 6), (300, 6)]
            );
        }
    }
}
