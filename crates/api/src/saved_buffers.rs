//! Writes the buffers that carry the state of a fit between iterations to a checkpoint, and reads them back. A checkpoint has the buffers of
//! all ranks, under the names that they would have on one rank. So a fit can go on with another number of ranks.

use unmix_kernels::{BufferId, Workspace};

use crate::Error;
use crate::buffers::Buffers;
use crate::checkpoint::{CheckpointBuffer, CheckpointReader};
use crate::checkpoint_handles::{SharedWriter, read};
use crate::fit::Fit;
use crate::panels::panels_of;
use crate::session_io::SessionIo;

/// Number of bytes that are moved at once.
const PIECE: u64 = 4 << 20;

/// A buffer of a checkpoint.
struct Saved {
    described: CheckpointBuffer,
    /// The rank that has it.
    owner: u32,
    /// The buffer, on that rank.
    own: Option<BufferId>,
}

/// Writes a checkpoint with the given header. Rank 0 writes, and the others send what they have.
pub(crate) async fn save(fit: &Fit<'_>, header: &str, writer: &SharedWriter) -> Result<(), Error> {
    let communicator = fit.distribution.communicator();
    let rank = communicator.rank();
    let saved = saved(fit);
    if rank == 0 {
        let described: Vec<CheckpointBuffer> = saved.iter().map(|saved| saved.described.clone()).collect();
        writer.call(|writer| writer.begin(header, &described))?;
    }
    for Saved { described, owner, own } in saved {
        for (first, length) in pieces(described.bytes) {
            let mut piece = match own {
                Some(buffer) => fit.io.read_bytes(buffer, first, length).await?,
                None => Vec::new(),
            };
            if owner != 0 {
                piece = communicator.sent_to(0, piece)[owner as usize].clone();
            }
            if rank == 0 {
                writer.call(|writer| writer.write(&piece))?;
            }
        }
    }
    if rank == 0 {
        writer.call(|writer| writer.finish())?;
    }
    Ok(())
}

/// All buffers of a checkpoint, in their order.
fn saved(fit: &Fit<'_>) -> Vec<Saved> {
    let Fit { distribution, buffers, options, engine, .. } = fit;
    let rank = distribution.communicator().rank();
    let (layout, mut workspace) = (distribution.whole(&fit.layout), Workspace::default());
    let panels = panels_of(&layout, 0, options, engine.limits());
    let whole = Buffers::plan(&mut workspace, &panels, options, engine.limits());
    let first = fit.panels.first().map_or(0, |panel| panel.number);
    let mut saved = Vec::new();
    for panel in &panels {
        let owner = distribution.owner_of(panel.first_token);
        let own = (owner == rank).then(|| buffers.carried_of_panel(panel.number - first));
        for (place, buffer) in whole.carried_of_panel(panel.index).into_iter().enumerate() {
            let own = own.as_ref().map(|own| own[place]);
            saved.push(Saved { described: described(&workspace, buffer), owner, own });
        }
    }
    for (buffer, own) in whole.carried_of_fit().into_iter().zip(buffers.carried_of_fit()) {
        let own = (rank == 0).then_some(own);
        saved.push(Saved { described: described(&workspace, buffer), owner: 0, own });
    }
    saved
}

/// Fills the buffers from a checkpoint.
pub(crate) fn restore(
    io: &SessionIo,
    workspace: &Workspace,
    buffers: &Buffers,
    checkpoint: &dyn CheckpointReader,
) -> Result<(), Error> {
    let of_panels = (0..buffers.tokens.len()).flat_map(|panel| buffers.carried_of_panel(panel));
    for buffer in of_panels.chain(buffers.carried_of_fit()) {
        let CheckpointBuffer { name, bytes } = described(workspace, buffer);
        for (first, length) in pieces(bytes) {
            let mut piece = vec![0; length as usize];
            read(checkpoint, &name, first, &mut piece)?;
            io.write_bytes(buffer, first, &piece)?;
        }
    }
    Ok(())
}

fn described(workspace: &Workspace, buffer: BufferId) -> CheckpointBuffer {
    let spec = &workspace.buffers[buffer.0 as usize];
    CheckpointBuffer { name: spec.name.clone(), bytes: spec.bytes }
}

/// The offset and the length of each piece of `bytes` bytes.
fn pieces(bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..bytes).step_by(PIECE as usize).map(move |first| (first, PIECE.min(bytes - first)))
}
