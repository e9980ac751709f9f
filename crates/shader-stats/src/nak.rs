//! Reads NAK's assembly: the hottest loop, and how long a warp takes for it.
//!
//! The text is a list of blocks with the numbers of those that follow:
//!
//! ```text
//! block 9 L13 [8] -> {
//!       r5    = ffma r0 r1 r5          // delay=4
//! } -> [9, 10]
//! ```
//!
//! Instructions whose time is known carry the cycles until the next one of the warp. Memory is waited for, and counts as
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

/// How much more often the body of a loop runs than what is around the loop, for comparisons of loops.
const WEIGHT_OF_A_LEVEL: u64 = 8;

/// The hottest loop of a shader, without loops inside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct WarpLoop {
    /// Number of loops around it, including itself. 0 if there is no loop.
    pub depth: u32,
    /// Instructions.
    pub instructions: u32,
    /// f32 multiply-adds.
    pub multiply_adds: u32,
    /// Other f32 additions and multiplications.
    pub others: u32,
    /// Products of matrices on tensor cores.
    pub matrix: u32,
    /// Reads and writes of memory beyond the workgroup's.
    pub memory: u32,
    /// Reads and writes of workgroup memory.
    pub workgroup_memory: u32,
    /// Cycles of a warp that has the core to itself and never waits for memory.
    pub cycles: u32,
}

impl WarpLoop {
    fn add(&mut self, line: &str) {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        // What is written stands before `=`, and a predicate before the name.
        let operation = code.rsplit(" = ").next().unwrap_or_default();
        let Some(name) = operation.split_whitespace().find(|word| !word.starts_with('@')) else { return };
        self.instructions += 1;
        let kind = name.split('.').next().unwrap_or_default();
        match kind {
            "ffma" => self.multiply_adds += 1,
            "fadd" | "fmul" => self.others += 1,
            "hmma" => self.matrix += 1,
            "ld" | "st" | "ldc" if name.contains("shared") => self.workgroup_memory += 1,
            "ld" | "st" => self.memory += 1,
            "ldsm" => self.workgroup_memory += 1,
            _ => {}
        }
        let delay = comment.split_whitespace().find_map(|word| word.strip_prefix("delay=")?.parse::<u32>().ok());
        self.cycles += delay.unwrap_or(1);
    }

    fn heat(&self) -> (u64, u64) {
        let weight = WEIGHT_OF_A_LEVEL.pow(self.depth);
        let work = u64::from(2 * self.multiply_adds + self.others + 4096 * self.matrix);
        (work * weight, u64::from(self.instructions) * weight)
    }
}

struct Block<'a> {
    lines: Vec<&'a str>,
    next: Vec<usize>,
}

/// The hottest loop, found as for AMD's chips: the one that does most f32 operations, each level of nesting counting
/// eightfold, or else has most instructions.
pub fn hottest_loop(assembly: &str) -> WarpLoop {
    let blocks = blocks(assembly);
    let loops = loops(&blocks);
    let of = |body: &BTreeSet<usize>| {
        let depth = loops.iter().filter(|other| other.is_superset(body)).count() as u32;
        let mut found = WarpLoop { depth, ..WarpLoop::default() };
        let is_inner =
            |at: &usize| loops.iter().any(|other| other.contains(at) && body.is_superset(other) && body != other);
        let own = body.iter().filter(|at| !is_inner(at));
        own.flat_map(|&at| &blocks[at].lines).for_each(|line| found.add(line));
        found
    };
    loops.iter().map(of).reduce(|best, next| if next.heat() > best.heat() { next } else { best }).unwrap_or_default()
}

/// The blocks of each loop: those from which the loop's first block is reached again without leaving through it. The first block comes
/// before all that lead back to it.
fn loops(blocks: &[Block<'_>]) -> Vec<BTreeSet<usize>> {
    let mut bodies: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (end, block) in blocks.iter().enumerate() {
        for &start in block.next.iter().filter(|start| **start <= end) {
            let body = bodies.entry(start).or_insert_with(|| BTreeSet::from([start]));
            let mut open = vec![end];
            while let Some(at) = open.pop() {
                if body.insert(at) {
                    open.extend((0..blocks.len()).filter(|&before| blocks[before].next.contains(&at)));
                }
            }
        }
    }
    bodies.into_values().collect()
}

fn blocks(assembly: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in assembly.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("block") {
            blocks.push(Block { lines: Vec::new(), next: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            match line.strip_prefix("} -> [") {
                Some(numbers) => {
                    let numbers = numbers.trim_end_matches(']').split(',');
                    block.next = numbers.filter_map(|number| number.trim().parse().ok()).collect();
                }
                None => block.lines.push(line),
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHADER: &str = "\
block.u 0 L2 [] -> {
      r0    = s2r sr[0x21]                             // delay=1 wr:1
} -> [1]
block 1 L3 [0, 3] -> {
      r4    = ld.global.a64.b128 [r2..4]               // delay=2 wr:0
              st.shared.b128 [r1] r4                   // delay=1
} -> [2]
block 2 L4 [1, 2] -> {
      r8    = ld.shared.b128 [r1]                      // delay=1 wr:0
      r5    = ffma r8 r9 r5                            // delay=4 wt=000001
      r6    = ffma r8 r10 r6                           // delay=1
      r7    = fadd r6 r5                               // delay=4
      p0    = isetp.lt.u32 r0 c[0x1][0x18]             // delay=11
@p0           bra pT L4                                // delay=5
} -> [2, 3]
block 3 L5 [2] -> {
@!p0          bra pT L3                                // delay=5
} -> [1, 4]
block 4 L6 [3] -> {
              exit                                     // delay=1
} -> []
";

    #[test]
    fn the_hottest_loop_is_the_inner_one_and_its_delays_are_added() {
        let expected = WarpLoop {
            depth: 2,
            instructions: 6,
            multiply_adds: 2,
            others: 1,
            matrix: 0,
            memory: 0,
            workgroup_memory: 1,
            cycles: 1 + 4 + 1 + 4 + 11 + 5,
        };
        assert_eq!(hottest_loop(SHADER), expected);
        assert_eq!(hottest_loop(""), WarpLoop::default());
    }

    #[test]
    fn what_a_loop_is_left_for_is_no_part_of_it_wherever_it_stands() {
        let assembly = "\
block 0 L1 [] -> {
} -> [1]
block 1 L2 [0, 3] -> {
      r5    = ffma r8 r9 r5                            // delay=4
} -> [2, 3]
block 2 L3 [1] -> {
              st.global.b32 [r1] r5                    // delay=1
              exit                                     // delay=1
} -> []
block 3 L4 [1] -> {
      r6    = ffma r8 r10 r6                           // delay=1
} -> [1]
";
        let found = hottest_loop(assembly);
        assert_eq!((found.instructions, found.multiply_adds, found.memory, found.depth), (2, 2, 0, 1));
    }
}
