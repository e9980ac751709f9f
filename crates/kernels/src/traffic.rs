//! Which bytes of a recording come from memory, and which from cache. The commands run through a model of a device's
//! last-level cache.
//!
//! The cache holds byte ranges of operands, and drops the range that was not used for the longest time. A range larger
//! than the cache always comes from memory, and leaves nothing else in the cache. Written bytes stay in the cache until
//! they are dropped, and only then go to memory. If they are written again before that, the first write never goes to
//! memory.

use std::collections::VecDeque;
use std::ops::Range;

use crate::{Command, Moved, Recording, Resource, Workspace};

/// Bytes that a command moves of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperandTraffic {
    /// The operand.
    pub resource: Resource,
    /// Bytes read from memory.
    pub from_memory: u64,
    /// Bytes read from cache.
    pub from_cache: u64,
    /// Bytes written that eventually reach memory.
    pub to_memory: u64,
}

/// What a command moves, operand by operand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The operands in the order of the bindings. For a copy, source and destination.
    pub operands: Vec<OperandTraffic>,
}

impl Traffic {
    /// Bytes read from memory.
    pub fn from_memory(&self) -> u64 {
        self.operands.iter().map(|operand| operand.from_memory).sum()
    }

    /// Bytes read from cache.
    pub fn from_cache(&self) -> u64 {
        self.operands.iter().map(|operand| operand.from_cache).sum()
    }

    /// Bytes written that reach memory.
    pub fn to_memory(&self) -> u64 {
        self.operands.iter().map(|operand| operand.to_memory).sum()
    }

    /// Bytes of the activations read from memory.
    pub fn activations_from_memory(&self) -> u64 {
        let panels = self.operands.iter().filter(|operand| matches!(operand.resource, Resource::Panel(_)));
        panels.map(|operand| operand.from_memory).sum()
    }
}

impl Recording {
    /// The traffic of each command, beginning with an empty cache of `cache_bytes`. The recording's buffers belong to
    /// `workspace`. Bytes that only the cache holds at the end count as written to memory.
    pub fn traffic(&self, workspace: &Workspace, cache_bytes: u64) -> Vec<Traffic> {
        let mut model = CacheModel::new(cache_bytes);
        model.run(self, workspace);
        model.finish()
    }

    /// The same in the middle of many runs of the recording. Each run finds in the cache what the one before left
    /// there.
    pub fn steady_traffic(&self, workspace: &Workspace, cache_bytes: u64) -> Vec<Traffic> {
        let mut model = CacheModel::new(cache_bytes);
        for _ in 0..3 {
            model.run(self, workspace);
        }
        let mut log = model.finish();
        log.truncate(2 * self.commands.len());
        log.split_off(self.commands.len())
    }
}

/// A last-level cache, and what the commands that ran with it have moved.
#[derive(Clone, Debug)]
pub struct CacheModel {
    capacity: u64,
    /// What the cache holds. No byte of an operand is in it twice. The entry that was not used for the longest time
    /// comes first.
    entries: VecDeque<Entry>,
    log: Vec<Traffic>,
}

#[derive(Clone, Debug)]
struct Entry {
    resource: Resource,
    range: Range<u64>,
    /// The command that wrote this, and its operand, if memory does not have it yet.
    writer: Option<(usize, usize)>,
}

impl CacheModel {
    /// An empty cache of `bytes`.
    pub fn new(bytes: u64) -> Self {
        CacheModel { capacity: bytes, entries: VecDeque::new(), log: Vec::new() }
    }

    /// Runs the commands of a recording over buffers of `workspace`.
    ///
    /// # Panics
    /// If the recording clears a buffer that the workspace lacks.
    pub fn run(&mut self, recording: &Recording, workspace: &Workspace) {
        for command in &recording.commands {
            match command {
                Command::Dispatch(dispatch) => {
                    let moved = dispatch.bindings.iter().copied().zip(&dispatch.cost.moved);
                    self.step(&moved.map(|(resource, moved)| (resource, moved.clone())).collect::<Vec<_>>());
                }
                Command::Clear(id) => {
                    let bytes = workspace.buffers[id.0 as usize].bytes;
                    self.step(&[((*id).into(), Moved::written(bytes))]);
                }
                Command::Copy { from, to, bytes } => {
                    self.step(&[((*from).into(), Moved::read(*bytes)), ((*to).into(), Moved::written(*bytes))]);
                }
                Command::Reduce(reduction) => {
                    let sums = reduction.sums.iter();
                    self.step(&sums.map(|sum| (sum.buffer.into(), Moved::updated(sum.words * 4))).collect::<Vec<_>>());
                }
            }
        }
    }

    /// Writes back what only the cache holds, and returns the traffic of every command that ran, in order.
    pub fn finish(mut self) -> Vec<Traffic> {
        self.flush();
        self.log
    }

    fn step(&mut self, operands: &[(Resource, Moved)]) {
        let command = self.log.len();
        let traffic = operands.iter().enumerate().map(|(index, (resource, moved))| {
            let bytes = length(&moved.read);
            let mut from_cache = if bytes > self.capacity { 0 } else { self.held(*resource, &moved.read) };
            // If a kernel reads an operand through two bindings, it reads it for both at the same time.
            let twice = operands[..index].iter().filter(|(other, _)| other == resource);
            from_cache = twice.map(|(_, other)| length(&common(&other.read, &moved.read))).fold(from_cache, u64::max);
            OperandTraffic { resource: *resource, from_memory: bytes - from_cache, from_cache, to_memory: 0 }
        });
        let operands_traffic = traffic.collect();
        self.log.push(Traffic { operands: operands_traffic });
        let parts = operands.iter().enumerate().flat_map(|(index, (resource, moved))| {
            [(*resource, &moved.read, None), (*resource, &moved.written, Some((command, index)))]
        });
        let (large, small): (Vec<_>, Vec<_>) = parts.partition(|(_, range, _)| length(range) > self.capacity);
        // Operands that stream past leave nothing. The dispatch's other operands are used beside them, so these stay.
        for (_, range, writer) in large {
            self.flush();
            self.wrote(writer, length(range));
        }
        for (resource, range, writer) in small {
            self.touch(resource, range, writer);
        }
    }

    /// Bytes of a range that the cache holds.
    fn held(&self, resource: Resource, range: &Range<u64>) -> u64 {
        let own = self.entries.iter().filter(|entry| entry.resource == resource);
        own.map(|entry| length(&common(&entry.range, range))).sum()
    }

    /// Marks a range as the last one used, and drops what no longer fits.
    fn touch(&mut self, resource: Resource, range: &Range<u64>, writer: Option<(usize, usize)>) {
        if range.is_empty() {
            return;
        }
        let (mut kept, mut unwritten) = (VecDeque::new(), Vec::new());
        for entry in self.entries.drain(..) {
            let shared = common(&entry.range, range);
            if entry.resource != resource || shared.is_empty() {
                kept.push_back(entry);
                continue;
            }
            for rest in [entry.range.start..shared.start, shared.end..entry.range.end] {
                if !rest.is_empty() {
                    kept.push_back(Entry { resource, range: rest, writer: entry.writer });
                }
            }
            // Reading does not bring to memory what an earlier command wrote. Writing makes that unnecessary.
            if writer.is_none() && entry.writer.is_some() {
                unwritten.push(Entry { range: shared, ..entry });
            }
        }
        self.entries = kept;
        unwritten.sort_by_key(|entry| entry.range.start);
        let mut next = range.start;
        for entry in unwritten {
            let (start, end) = (entry.range.start, entry.range.end);
            if next < start {
                self.entries.push_back(Entry { resource, range: next..start, writer });
            }
            self.entries.push_back(entry);
            next = end;
        }
        if next < range.end {
            self.entries.push_back(Entry { resource, range: next..range.end, writer });
        }
        let mut used: u64 = self.entries.iter().map(|entry| length(&entry.range)).sum();
        while used > self.capacity {
            let Some(dropped) = self.entries.pop_front() else { break };
            used -= length(&dropped.range);
            self.wrote(dropped.writer, length(&dropped.range));
        }
    }

    fn flush(&mut self) {
        for entry in std::mem::take(&mut self.entries) {
            self.wrote(entry.writer, length(&entry.range));
        }
    }

    /// Counts bytes that reach memory, for the command that wrote them, if there is one.
    fn wrote(&mut self, writer: Option<(usize, usize)>, bytes: u64) {
        if let Some((command, operand)) = writer {
            self.log[command].operands[operand].to_memory += bytes;
        }
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

fn common(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    a.start.max(b.start)..a.end.min(b.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BufferId, Matrix};

    const A: Resource = Resource::Buffer(BufferId(0));
    const B: Resource = Resource::Buffer(BufferId(1));
    const C: Resource = Resource::Panel(0);

    /// (from memory, from cache, to memory) for each step.
    fn walk(capacity: u64, steps: &[&[(Resource, Moved)]]) -> Vec<(u64, u64, u64)> {
        let mut model = CacheModel::new(capacity);
        steps.iter().for_each(|operands| model.step(operands));
        model.finish().iter().map(|t| (t.from_memory(), t.from_cache(), t.to_memory())).collect()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let read = |resource, bytes| [(resource, Moved::read(bytes))];
        let (a, b, c) = (read(A, 40), read(B, 40), read(C, 40));
        let seen = walk(100, &[&a, &b, &a, &c, &b, &a]);
        // C drops B, and B drops A.
        assert_eq!(seen, [(40, 0, 0), (40, 0, 0), (0, 40, 0), (40, 0, 0), (40, 0, 0), (40, 0, 0)]);
    }

    #[test]
    fn what_is_larger_than_the_cache_always_comes_from_memory() {
        let large = [(C, Moved::read(101)), (A, Moved::read(10))];
        assert_eq!(walk(100, &[&large, &large]), [(111, 0, 0), (101, 10, 0)]);
        let fits = [(C, Moved::read(90)), (A, Moved::read(10))];
        assert_eq!(walk(100, &[&fits, &fits]), [(100, 0, 0), (0, 100, 0)]);
        assert_eq!(walk(0, &[&fits, &fits]), [(100, 0, 0), (100, 0, 0)]);
        assert_eq!(walk(100, &[&[(A, Moved::written(101))], &[(A, Moved::written(99))]]), [(0, 0, 101), (0, 0, 99)]);
    }

    #[test]
    fn what_is_written_again_in_time_never_reaches_memory() {
        let write = [(A, Moved::written(60))];
        let read = [(A, Moved::read(60))];
        let other = [(B, Moved::read(60))];
        // Written, read from the cache, and written again. Another operand drops it, and only then is it in memory.
        let seen = walk(100, &[&write, &read, &write, &other, &read]);
        assert_eq!(seen, [(0, 0, 0), (0, 60, 0), (0, 0, 60), (60, 0, 0), (60, 0, 0)]);
    }

    #[test]
    fn ranges_overlap_as_bytes_do() {
        let part = |range: Range<u64>| [(A, Moved { read: range, written: 0..0 })];
        assert_eq!(walk(100, &[&part(0..30), &part(20..50), &part(0..60)]), [(30, 0, 0), (20, 10, 0), (10, 50, 0)]);
        let written = |range: Range<u64>| [(A, Moved { read: 0..0, written: range })];
        let seen = walk(100, &[&written(10..30), &part(0..40), &written(20..25), &[(C, Moved::read(200))]]);
        // The second write takes five bytes off what the first one has to write.
        assert_eq!(seen, [(0, 0, 15), (20, 20, 0), (0, 0, 5), (200, 0, 0)]);
    }

    #[test]
    fn an_operand_bound_twice_is_read_once() {
        let seen = walk(100, &[&[(A, Moved::read(500)), (A, Moved::read(500))]]);
        assert_eq!(seen, [(500, 500, 0)]);
    }

    #[test]
    fn runs_in_a_row_find_what_the_last_one_left() {
        let mut workspace = Workspace::default();
        let (a, b): (Matrix, Matrix) = (workspace.matrix("a", 5, 8), workspace.matrix("b", 5, 8));
        let mut recording = Recording::new();
        recording.clear(b.buffer());
        recording.copy(a.buffer(), b.buffer(), a.bytes());
        let sums = |traffic: &[Traffic]| {
            traffic.iter().map(|t| (t.from_memory(), t.from_cache(), t.to_memory())).collect::<Vec<_>>()
        };
        assert_eq!(sums(&recording.traffic(&workspace, 1000)), [(0, 0, 0), (160, 0, 160)]);
        assert_eq!(sums(&recording.steady_traffic(&workspace, 1000)), [(0, 0, 0), (0, 160, 0)]);
        // Reading `a` drops `b`, which was cleared. The copy's destination is cleared before anything drops it.
        assert_eq!(sums(&recording.steady_traffic(&workspace, 200)), [(0, 0, 160), (160, 0, 0)]);
    }
}
