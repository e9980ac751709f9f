//! The header of a checkpoint: a summary of its fit, and the state of the iterations.

use serde::{Deserialize, Serialize};
use unmix_runtime::{Engine, PanelLayout};

use crate::checkpoint::CheckpointSummary;
use crate::distribution::Distribution;
use crate::iteration_state::IterationState;
use crate::panels::{Panel, panels_of};
use crate::{Error, Options};

/// Everything in a checkpoint except the buffers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CheckpointHeader {
    pub summary: CheckpointSummary,
    /// Number of rows in the first panel that the fit visits. Sums are taken panel by panel, so their bits depend on it.
    pub panel_rows: u32,
    /// Power of two by which the activations are multiplied.
    pub scale: f32,
    pub state: IterationState,
}

impl CheckpointHeader {
    /// Reads a header. A header of another version is an error.
    pub fn parse(header: &str) -> Result<Self, Error> {
        CheckpointSummary::of_header(header)?;
        serde_json::from_str(header)
            .map_err(|error| refusal(format!("its header cannot be read ({error}); start the fit anew")))
    }

    /// Returns an error if the options, the shape of the activations or the engine differ from those of the fit.
    /// `share` is the layout of the activations of this process.
    pub fn check(
        &self,
        options: &Options,
        distribution: &Distribution,
        share: &PanelLayout,
        engine: &dyn Engine,
    ) -> Result<(), Error> {
        let layout = &distribution.whole(share);
        let CheckpointSummary { tokens, neurons, element, .. } = &self.summary;
        let here = engine.kind().name();
        if self.summary.engine != here {
            let problem = format!(
                "it was written on the engine `{}`, and this is `{here}`; resume on that engine",
                self.summary.engine
            );
            return Err(refusal(problem));
        }
        if (*tokens, *neurons, element.as_str()) != (layout.tokens, layout.neurons, layout.element.name()) {
            return Err(refusal(format!(
                "it belongs to {tokens} tokens × {neurons} neurons in {element}, and these activations are {} × {} in {}; \
                 resume with the fit's own activations",
                layout.tokens, layout.neurons, layout.element
            )));
        }
        if self.summary.options != *options {
            return Err(refusal(
                "its fit has other options; resume with the options of the checkpoint, or start the fit anew"
                    .to_owned(),
            ));
        }
        if self.summary.segments != distribution.segments() {
            return Err(refusal(format!(
                "its fit took sums over {} segments of the tokens, and this one takes them over {}; resume with {0} segments",
                self.summary.segments,
                distribution.segments()
            )));
        }
        let panel_rows = panels_of(layout, 0, options, engine.limits()).first().map_or(0, Panel::rows);
        if self.panel_rows != panel_rows {
            return Err(refusal(format!(
                "its fit cut the activations into panels of {} tokens, and this engine cuts them into panels of {}; \
                 resume on a machine or device of the same kind",
                self.panel_rows, panel_rows
            )));
        }
        if self.summary.adapter != engine.adapter() {
            log::warn!(
                "the checkpoint was written on {}, and this is {}; the result may differ in its last digits",
                self.summary.adapter,
                engine.adapter()
            );
        }
        Ok(())
    }
}

fn refusal(problem: String) -> Error {
    Error::Checkpoint { problem }
}
