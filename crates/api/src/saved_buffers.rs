//! Writes the buffers that carry the state of a fit between iterations to a checkpoint, and reads them back.

use std::sync::PoisonError;

use unmix_kernels::{BufferId, Workspace};

use crate::Error;
use crate::buffers::Buffers;
use crate::checkpoint::{CheckpointBuffer, CheckpointReader};
use crate::checkpoint_handles::SharedWriter;
use crate::session_io::SessionIo;

/// Number of bytes that are moved at once.
const PIECE: u64 = 4 << 20;

/// Writes a checkpoint with the given header.
pub(crate) async fn save(
    io: &SessionIo,
    workspace: &Workspace,
    buffers: &Buffers,
    header: &str,
    writer: &SharedWriter,
) -> Result<(), Error> {
    let saved = buffers.carried();
    let named: Vec<CheckpointBuffer> = saved.iter().map(|&buffer| named(workspace, buffer)).collect();
    let failed = |error: std::io::Error| Error::CheckpointWrite { problem: error.to_string() };
    let lock = || writer.0.lock().unwrap_or_else(PoisonError::into_inner);
    lock().begin(header, &named).map_err(failed)?;
    for (&buffer, CheckpointBuffer { bytes, .. }) in saved.iter().zip(&named) {
        for (first, length) in pieces(*bytes) {
            let piece = io.read_bytes(buffer, first, length).await?;
            lock().write(&piece).map_err(failed)?;
        }
    }
    lock().finish().map_err(failed)
}

/// Fills the buffers from a checkpoint.
pub(crate) fn restore(
    io: &SessionIo,
    workspace: &Workspace,
    buffers: &Buffers,
    checkpoint: &dyn CheckpointReader,
) -> Result<(), Error> {
    for buffer in buffers.carried() {
        let CheckpointBuffer { name, bytes } = named(workspace, buffer);
        for (first, length) in pieces(bytes) {
            let mut piece = vec![0; length as usize];
            checkpoint.read(&name, first, &mut piece).map_err(|error| Error::Checkpoint {
                problem: format!("`{name}` cannot be read from it ({error}); start the fit anew"),
            })?;
            io.write_bytes(buffer, first, &piece)?;
        }
    }
    Ok(())
}

fn named(workspace: &Workspace, buffer: BufferId) -> CheckpointBuffer {
    let spec = &workspace.buffers[buffer.0 as usize];
    CheckpointBuffer { name: spec.name.clone(), bytes: spec.bytes }
}

/// The offset and the length of each piece of `bytes` bytes.
fn pieces(bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..bytes).step_by(PIECE as usize).map(move |first| (first, PIECE.min(bytes - first)))
}
