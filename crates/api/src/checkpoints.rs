//! Decides when a fit takes a checkpoint, and takes it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::checkpoint::CheckpointSummary;
use crate::checkpoint_handles::SharedWriter;
use crate::checkpoint_header::CheckpointHeader;
use crate::fit::Fit;
use crate::iterations::Iterations;
use crate::panels::Panel;
use crate::saved_buffers::save;
use crate::watch::Watch;
use crate::{Error, Progress};

/// How often checkpoints are taken, and the writer that stores them.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointSchedule {
    /// Least time between two checkpoints. If it is zero, no checkpoints are taken.
    pub every: Duration,
    pub writer: SharedWriter,
}

/// The checkpoints of a running fit.
pub(crate) struct Checkpoints {
    /// `None` if no more checkpoints are taken.
    schedule: Option<CheckpointSchedule>,
    /// When the last checkpoint was complete. Before the first one: when the fit began.
    last: Instant,
}

impl Checkpoints {
    /// The checkpoints of a fit that begins now.
    pub fn new(schedule: Option<CheckpointSchedule>) -> Self {
        Checkpoints { schedule: schedule.filter(|schedule| !schedule.every.is_zero()), last: Instant::now() }
    }

    /// Takes a checkpoint between two steps if one is due. When the caller has just asked to stop, the last one is due. A later fit can
    /// then continue from where the iterations end.
    pub async fn between_steps<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        iterations: &mut Iterations<'_>,
        watch: &Watch<'_, P>,
    ) -> Result<(), Error> {
        let interrupted = iterations.is_interrupted();
        let Some(schedule) = &self.schedule else { return Ok(()) };
        // The clocks of the ranks differ.
        let communicator = iterations.fit().distribution.communicator();
        let due = interrupted || communicator.of_rank(0, vec![u8::from(self.last.elapsed() >= schedule.every)]) == [1];
        if due {
            take(iterations.fit(), iterations, watch.seconds(), &schedule.writer).await?;
            self.last = Instant::now();
        }
        if interrupted {
            self.end();
        }
        Ok(())
    }

    /// From now on, no more checkpoints are taken.
    pub fn end(&mut self) {
        self.schedule = None;
    }
}

async fn take(
    fit: &Fit<'_>,
    iterations: &mut Iterations<'_>,
    seconds: f64,
    writer: &SharedWriter,
) -> Result<(), Error> {
    let state = iterations.state().await?;
    let layout = &fit.layout;
    let header = CheckpointHeader {
        summary: CheckpointSummary {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: fit.engine.kind().name().to_owned(),
            adapter: fit.engine.adapter().to_owned(),
            tokens: fit.tokens,
            neurons: layout.neurons,
            element: layout.element.name().to_owned(),
            options: fit.options.clone(),
            iterations: state.course.losses.len() as u32,
            seconds,
            segments: fit.distribution.segments(),
        },
        panel_rows: fit.panels.first().map_or(0, Panel::rows),
        scale: fit.measured.scale,
        state,
    };
    let header =
        serde_json::to_string(&header).map_err(|error| Error::CheckpointWrite { problem: error.to_string() })?;
    save(fit, &header, writer).await
}
