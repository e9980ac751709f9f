//! Evidence that the device carried out what was submitted. Some drivers drop a submission without an error (on Metal one that
//! failed or took too long counts as finished), and then buffers keep what they had, or read as zeros.
//!
//! Each submission ends with a copy of a mark to a place of its own, and each read brings the marks along.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::lock;

/// Number of places. Submission i has place i modulo this number, so a read vouches for as many submissions before it.
const PLACES: u64 = 256;

/// Bytes of all marks.
pub(super) const BYTES: u64 = PLACES * 4;

/// The marks of a device.
pub(super) struct Marks {
    places: wgpu::Buffer,
    /// What is copied: the mark of even rounds through the places, and that of odd ones.
    sources: wgpu::Buffer,
    /// Number of submissions so far. It is locked from the encoding of a mark to its submission, so that numbers are in the order
    /// of the queue.
    submitted: Mutex<u64>,
    /// Number of submissions for which a read has vouched.
    seen: AtomicU64,
}

impl Marks {
    pub fn new(device: &wgpu::Device) -> Self {
        let sources = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("marks to copy"),
            size: 8,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        // It is mapped unless the device is lost, which the first call will say.
        if let Ok(mut view) = sources.get_mapped_range_mut(..) {
            let marks = [mark(0), mark(PLACES)];
            view.copy_from_slice(bytemuck::cast_slice(&marks));
        }
        sources.unmap();
        let places = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("marks"),
            size: BYTES,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Marks { places, sources, submitted: Mutex::default(), seen: AtomicU64::default() }
    }

    /// Calls `submit` with the number of the next submission, which counts if it succeeds.
    pub fn number<T, E>(&self, submit: impl FnOnce(u64) -> Result<T, E>) -> Result<T, E> {
        let mut submitted = lock(&self.submitted);
        let result = submit(*submitted);
        *submitted += u64::from(result.is_ok());
        result
    }

    /// Encodes the mark of a submission, as its last command.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, number: u64) {
        let source = number / PLACES % 2 * 4;
        encoder.copy_buffer_to_buffer(&self.sources, source, &self.places, number % PLACES * 4, 4);
    }

    /// Encodes a copy of all marks to the end of a buffer that is read.
    pub fn bring(&self, encoder: &mut wgpu::CommandEncoder, to: &wgpu::Buffer) {
        encoder.copy_buffer_to_buffer(&self.places, 0, to, to.size() - BYTES, BYTES);
    }

    /// Whether the device carried out submission `number` and those before it, by the marks that the read in this submission
    /// has brought.
    pub fn vouch(&self, marks: &[u8], number: u64) -> bool {
        let marks: Vec<u32> = bytemuck::pod_collect_to_vec(marks);
        let seen = self.seen.load(Ordering::Relaxed);
        let all_there = are_there(&marks, seen, number);
        if all_there {
            self.seen.fetch_max(number + 1, Ordering::Relaxed);
        }
        all_there
    }

    /// Takes a mark away, as if the device had dropped the submission.
    #[cfg(test)]
    pub fn forget(&self, queue: &wgpu::Queue, number: u64) {
        queue.write_buffer(&self.places, number % PLACES * 4, &[0; 4]);
    }
}

/// The mark of a submission. It differs from that of the submission that had the place before, and from zero.
fn mark(number: u64) -> u32 {
    if (number / PLACES).is_multiple_of(2) { 0x5eed_0001 } else { 0x5eed_0002 }
}

/// Whether the submissions from `seen` to `number` have left their marks, as far as there are places for them.
fn are_there(marks: &[u32], seen: u64, number: u64) -> bool {
    let first = seen.max((number + 1).saturating_sub(PLACES));
    (first..=number).all(|number| marks.get((number % PLACES) as usize) == Some(&mark(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The marks after so many submissions.
    fn after(submissions: u64) -> Vec<u32> {
        let mut marks = vec![0; PLACES as usize];
        (0..submissions).for_each(|number| marks[(number % PLACES) as usize] = mark(number));
        marks
    }

    #[test]
    fn a_submission_that_left_no_mark_is_noticed() {
        for submissions in [1, 2, PLACES - 1, PLACES, PLACES + 1, 3 * PLACES + 7] {
            let marks = after(submissions);
            assert!(are_there(&marks, 0, submissions - 1), "{submissions}");
            let checked = submissions.min(PLACES);
            for missing in submissions - checked..submissions {
                let mut marks = marks.clone();
                let place = &mut marks[(missing % PLACES) as usize];
                *place = missing.checked_sub(PLACES).map_or(0, mark);
                assert!(!are_there(&marks, 0, submissions - 1), "{missing} of {submissions}");
                // A read has seen it before.
                assert!(are_there(&marks, missing + 1, submissions - 1), "{missing} of {submissions}");
            }
        }
        assert!(!are_there(&[0; PLACES as usize], 5, 5));
        assert!(!are_there(&[], 0, 0));
    }
}
