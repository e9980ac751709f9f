//! A recording ready to be run, with the reductions over all ranks in it.

use std::sync::Arc;

use unmix_kernels::{Command, Recording, ReducedSum, Reduction};
use unmix_runtime::{Pending, Prepared, Session, block_on};

use crate::Error;
use crate::distribution::Distribution;
use crate::reduction::{Words, reduce};

/// A recording ready to be run many times.
pub(crate) struct PreparedSteps {
    session: Arc<dyn Session>,
    distribution: Arc<Distribution>,
    parts: Vec<Part>,
}

/// Part of a recording.
enum Part {
    /// Commands for the engine.
    Commands(Box<dyn Prepared>),
    /// A reduction.
    Reduction(Reduction),
}

/// The sums of a segment, on their way to the host.
type Arriving = Vec<Pending<Vec<u8>>>;

impl PreparedSteps {
    pub fn new(
        session: Arc<dyn Session>,
        distribution: Arc<Distribution>,
        recording: Recording,
    ) -> Result<Self, Error> {
        let (mut parts, mut open) = (Vec::new(), Recording::new());
        for command in recording.commands {
            match command {
                Command::Reduce(reduction) => {
                    parts.push(Part::Commands(session.prepare(std::mem::take(&mut open))?));
                    parts.push(Part::Reduction(reduction));
                }
                command => open.commands.push(command),
            }
        }
        if !open.commands.is_empty() {
            parts.push(Part::Commands(session.prepare(open)?));
        }
        Ok(PreparedSteps { session, distribution, parts })
    }

    /// Runs it. On a GPU it is only submitted, up to the last reduction.
    pub fn run(&self) -> Result<(), Error> {
        let mut arriving: Vec<(&Reduction, Arriving)> = Vec::new();
        for part in &self.parts {
            match part {
                Part::Commands(commands) => commands.run()?,
                Part::Reduction(reduction) => {
                    // What arrives is what the commands so far leave. So the next segment begins without waiting.
                    let read = |sum: &ReducedSum| self.session.read(sum.buffer, 0, sum.words * 4);
                    arriving.push((reduction, reduction.sums.iter().map(read).collect()));
                    if reduction.last {
                        // Passes of several fits may alternate.
                        let of_pass = arriving.extract_if(.., |(other, _)| other.sums == reduction.sums).collect();
                        self.reduce(reduction, of_pass)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn reduce(&self, reduction: &Reduction, arriving: Vec<(&Reduction, Arriving)>) -> Result<(), Error> {
        let mut segments: Vec<(u32, Words)> = Vec::with_capacity(arriving.len());
        for (Reduction { segment, .. }, buffers) in arriving {
            let mut words = Vec::with_capacity((reduction.bytes() / 4) as usize);
            for bytes in buffers {
                words.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&block_on(bytes)?));
            }
            segments.push((*segment, words));
        }
        let mut rest = &reduce(&self.distribution, &reduction.sums, segments)[..];
        for sum in &reduction.sums {
            let (own, after) = rest.split_at(sum.words as usize);
            self.session.write(sum.buffer, 0, bytemuck::cast_slice(own))?;
            rest = after;
        }
        Ok(())
    }
}
