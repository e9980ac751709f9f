//! Takes the checkpoints of a fit.

use std::ops::ControlFlow;

use crate::checkpoint::CheckpointSummary;
use crate::checkpoint_clock::{CheckpointClock, CheckpointSchedule};
use crate::checkpoint_handles::SharedWriter;
use crate::checkpoint_header::{CheckpointHeader, first_panel_rows};
use crate::fit::Fit;
use crate::iterations::Iterations;
use crate::saved_buffers::save;
use crate::watch::Watch;
use crate::{Error, Progress};

/// The checkpoints of a running fit.
pub(crate) struct Checkpoints {
    clock: CheckpointClock,
}

impl Checkpoints {
    /// The checkpoints of a fit that begins now.
    pub fn new(schedule: Option<CheckpointSchedule>) -> Self {
        Checkpoints { clock: CheckpointClock::new(schedule) }
    }

    /// Takes a checkpoint between two steps if one is due. When the caller has just asked to stop, the last one is due. A later fit can
    /// then continue from where the iterations end.
    pub async fn between_steps<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        iterations: &mut Iterations<'_>,
        watch: &Watch<'_, P>,
    ) -> Result<(), Error> {
        let Some(writer) = self.clock.writer() else { return Ok(()) };
        let interrupted = iterations.is_interrupted();
        // The clocks of the ranks differ.
        let communicator = iterations.fit().distribution.communicator();
        let due = interrupted || communicator.of_rank(0, vec![u8::from(self.clock.is_due())]) == [1];
        if due {
            take(iterations.fit(), iterations, watch.seconds(), writer).await?;
            self.clock.taken();
        }
        if interrupted {
            self.end();
        }
        Ok(())
    }

    /// From now on, no more checkpoints are taken.
    pub fn end(&mut self) {
        self.clock.end();
    }
}

async fn take(
    fit: &Fit<'_>,
    iterations: &mut Iterations<'_>,
    seconds: f64,
    writer: &SharedWriter,
) -> Result<(), Error> {
    let state = iterations.state().await?;
    let summary = CheckpointSummary {
        iterations: state.course.losses.len() as u32,
        seconds,
        ..CheckpointSummary::of(fit.engine, &fit.distribution, &fit.layout, &fit.options)
    };
    let panel_rows = first_panel_rows(fit.engine, &fit.distribution.whole(&fit.layout), &fit.options);
    let header = CheckpointHeader { summary, panel_rows, state };
    save(fit, &header.to_json()?, writer).await
}
