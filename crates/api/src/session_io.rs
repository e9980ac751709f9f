//! Reads and writes the buffers of a session.

use std::sync::Arc;

use unmix_kernels::{BufferId, Features, Matrix, Recording, Workspace};
use unmix_runtime::{Activations, Engine, Pending, Session};

use crate::distribution::Distribution;
use crate::kept_entries::KeptEntries;
use crate::prepared_steps::PreparedSteps;
use crate::{DenseMatrix, Error};

/// Number of bytes of a matrix that are read at once. A copy of the whole matrix would take memory that nothing else needs.
const READ_BYTES: usize = 1 << 18;

/// If the stride of a matrix is larger than its columns by at least this number of elements, the matrix is part of a wider one, and the
/// other columns must not be written. If the difference is smaller, the elements are padding.
const PADDING: usize = 4;

/// A session of an engine, with methods that read and write matrices and features.
pub(crate) struct SessionIo {
    session: Arc<dyn Session>,
    /// The ranks over which recordings reduce.
    distribution: Arc<Distribution>,
    /// Number of buffers.
    buffers: u32,
}

impl SessionIo {
    /// Opens a session on an engine, with the buffers of `workspace`.
    pub fn open(
        engine: &dyn Engine,
        workspace: &Workspace,
        activations: &Activations,
        distribution: Arc<Distribution>,
    ) -> Result<Self, Error> {
        let session = engine.open(workspace, activations)?.into();
        Ok(SessionIo { session, distribution, buffers: workspace.buffers.len() as u32 })
    }

    /// Fills all buffers with zeros, as they were when the session was opened.
    pub fn clear(&self) -> Result<(), Error> {
        let mut recording = Recording::new();
        (0..self.buffers).for_each(|buffer| recording.clear(BufferId(buffer)));
        self.run_once(recording)
    }

    /// Prepares a recording that is run many times.
    pub fn prepare(&self, recording: Recording) -> Result<PreparedSteps, Error> {
        PreparedSteps::new(Arc::clone(&self.session), Arc::clone(&self.distribution), recording)
    }

    /// Prepares and runs a recording that is run once.
    pub fn run_once(&self, recording: Recording) -> Result<(), Error> {
        self.prepare(recording)?.run()
    }

    /// Tells the engine that the content of a buffer is no longer needed.
    pub fn release(&self, buffer: BufferId) {
        self.session.release(buffer);
    }

    /// Starts reading `count` 32-bit values of a buffer, from its word `first` on.
    pub fn read_later<T: bytemuck::Pod + Send>(&self, buffer: BufferId, first: u64, count: u64) -> Pending<Vec<T>> {
        let bytes = self.session.read(buffer, first * 4, count * 4);
        Box::pin(async { Ok(words(&bytes.await?)) })
    }

    /// Reads the first `count` 32-bit values of a buffer.
    pub async fn read<T: bytemuck::Pod>(&self, buffer: BufferId, count: u64) -> Result<Vec<T>, Error> {
        Ok(words(&self.session.read(buffer, 0, count * 4).await?))
    }

    /// Writes values to the start of a buffer.
    pub fn write<T: bytemuck::NoUninit>(&self, buffer: BufferId, values: &[T]) -> Result<(), Error> {
        self.write_at(buffer, 0, values)
    }

    /// Writes values to a buffer, from its 32-bit word `first` on.
    pub fn write_at<T: bytemuck::NoUninit>(&self, buffer: BufferId, first: u64, values: &[T]) -> Result<(), Error> {
        Ok(self.session.write(buffer, first * 4, bytemuck::cast_slice(values))?)
    }

    /// Reads bytes of a buffer.
    pub async fn read_bytes(&self, buffer: BufferId, offset: u64, bytes: u64) -> Result<Vec<u8>, Error> {
        Ok(self.session.read(buffer, offset, bytes).await?)
    }

    /// Writes bytes to a buffer.
    pub fn write_bytes(&self, buffer: BufferId, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.session.write(buffer, offset, bytes)?)
    }

    /// Reads a matrix without its padding.
    pub async fn read_matrix(&self, matrix: Matrix) -> Result<DenseMatrix, Error> {
        let (rows, columns) = (matrix.rows as usize, matrix.columns as usize);
        let mut values = Vec::with_capacity(rows * columns);
        for first in (0..matrix.rows).step_by(rows_at_once(matrix)) {
            let padded = self.read_rows(matrix, first).await?;
            padded.chunks_exact(matrix.stride as usize).for_each(|row| values.extend_from_slice(&row[..columns]));
        }
        Ok(DenseMatrix { rows, columns, values })
    }

    /// Reads row `row` of a matrix without its padding.
    pub async fn read_row(&self, matrix: Matrix, row: u32) -> Result<Vec<f32>, Error> {
        let offset = u64::from(row) * u64::from(matrix.stride) * 4;
        Ok(words(&self.session.read(matrix.buffer(), offset, u64::from(matrix.columns) * 4).await?))
    }

    /// Reads up to [`rows_at_once`] rows of a matrix, beginning with row `first`, with their padding.
    pub async fn read_rows(&self, matrix: Matrix, first: u32) -> Result<Vec<f32>, Error> {
        let rows = (rows_at_once(matrix) as u64).min(u64::from(matrix.rows - first));
        let row_bytes = u64::from(matrix.stride) * 4;
        Ok(words(&self.session.read(matrix.buffer(), u64::from(first) * row_bytes, rows * row_bytes).await?))
    }

    /// Writes rows without padding to a matrix, beginning with its row `first`.
    pub fn write_rows(&self, matrix: Matrix, first: u32, values: &[f32]) -> Result<(), Error> {
        let (columns, stride) = (matrix.columns as usize, matrix.stride as usize);
        let offset = u64::from(first) * stride as u64;
        if columns == stride {
            return self.write_at(matrix.buffer(), offset, values);
        }
        if stride - columns >= PADDING {
            for (row, values) in (u64::from(first)..).zip(values.chunks_exact(columns)) {
                self.write_at(matrix.buffer(), row * stride as u64, values)?;
            }
            return Ok(());
        }
        let mut padded = vec![0f32; values.len() / columns * stride];
        for (padded, row) in padded.chunks_exact_mut(stride).zip(values.chunks_exact(columns)) {
            padded[..columns].copy_from_slice(row);
        }
        self.write_at(matrix.buffer(), offset, &padded)
    }

    /// Reads the kept neurons and the values of all features.
    pub async fn read_entries(&self, kept: KeptEntries) -> Result<(Vec<u32>, Vec<f32>), Error> {
        let count = u64::from(kept.indices.columns);
        Ok((self.read(kept.indices.buffer(), count).await?, self.read(kept.values.buffer(), count).await?))
    }

    /// Writes feature `feature` of `features`: its kept neurons in ascending order, and their values. If there are fewer entries than
    /// features keep, the others are zeros.
    pub fn write_feature(
        &self,
        features: &Features,
        feature: u32,
        neurons: &[u32],
        values: &[f32],
    ) -> Result<(), Error> {
        let mut dense = vec![0f32; features.dense.columns as usize];
        for (&neuron, &value) in neurons.iter().zip(values) {
            dense[neuron as usize] = value;
        }
        self.write_rows(features.dense, feature, &dense)?;
        let first = u64::from(feature) * u64::from(features.kept);
        let (mut neurons, mut values) = (neurons.to_vec(), values.to_vec());
        neurons.resize(features.kept as usize, neurons.last().copied().unwrap_or(0));
        values.resize(features.kept as usize, 0.0);
        self.write_at(features.indices, first, &neurons)?;
        self.write_at(features.values, first, &values)
    }
}

/// Number of rows of a matrix that are read at once.
pub(crate) fn rows_at_once(matrix: Matrix) -> usize {
    (READ_BYTES / (matrix.stride as usize * 4)).max(1)
}

/// Bytes that an engine has read, as 32-bit values.
fn words<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
    bytemuck::pod_collect_to_vec(bytes)
}
