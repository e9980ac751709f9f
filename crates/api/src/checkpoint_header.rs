//! The header of a checkpoint: a summary of what it belongs to, and the state of that.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use unmix_runtime::{Engine, PanelLayout};

use crate::checkpoint::CheckpointSummary;
use crate::distribution::Distribution;
use crate::panels::{Panel, panels_of};
use crate::{Error, Options};

/// Everything in a checkpoint except the buffers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CheckpointHeader<S> {
    pub summary: CheckpointSummary,
    /// Number of rows in the first panel that the fit visits. Sums are taken panel by panel, so their bits depend on it.
    pub panel_rows: u32,
    pub state: S,
}

impl CheckpointSummary {
    /// Describes a fit with these options that has done nothing yet. `share` is the layout of the activations of this process.
    pub(crate) fn of(engine: &dyn Engine, distribution: &Distribution, share: &PanelLayout, options: &Options) -> Self {
        CheckpointSummary {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: engine.kind().name().to_owned(),
            adapter: engine.adapter().to_owned(),
            tokens: distribution.tokens(),
            neurons: share.neurons,
            element: share.element.name().to_owned(),
            options: options.clone(),
            iterations: 0,
            seconds: 0.0,
            segments: distribution.segments(),
            runs: None,
        }
    }
}

impl<S: Serialize + DeserializeOwned> CheckpointHeader<S> {
    /// Reads a header, whose summary has been read.
    pub fn parse(header: &str) -> Result<Self, Error> {
        serde_json::from_str(header)
            .map_err(|error| refusal(format!("its header cannot be read ({error}); start the fit anew")))
    }

    /// The header as JSON.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| Error::CheckpointWrite { problem: error.to_string() })
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
        let panel_rows = first_panel_rows(engine, layout, options);
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

/// Number of rows in the first panel that a fit with these options visits.
pub(crate) fn first_panel_rows(engine: &dyn Engine, layout: &PanelLayout, options: &Options) -> u32 {
    panels_of(layout, 0, options, engine.limits()).first().map_or(0, Panel::rows)
}

fn refusal(problem: String) -> Error {
    Error::Checkpoint { problem }
}
