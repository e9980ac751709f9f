//! Reads RADV's assembly: its loops, and the instructions of a loop.

use crate::chip::{MATRIX_CYCLES, MATRIX_FLOPS, Rates};

/// How much more often the body of a loop runs than what is around the loop, for comparisons of loops.
const WEIGHT_OF_A_LEVEL: u64 = 8;

/// Beginnings of the names of instructions that read or write memory beyond the workgroup's.
const MEMORY: [&str; 6] = ["buffer_", "global_", "flat_", "scratch_", "s_load", "s_buffer_load"];
/// Beginnings of the names of instructions that only wait or advise.
const WAITS: [&str; 9] = [
    "s_wait",
    "s_delay",
    "s_nop",
    "s_clause",
    "s_barrier",
    "s_sleep",
    "s_inst_prefetch",
    "s_set_inst_prefetch",
    "s_code_end",
];
/// Beginnings of the names of branches.
const BRANCHES: [&str; 3] = ["s_cbranch", "s_branch", "s_endpgm"];

/// Numbers of instructions of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Mix {
    /// All instructions. A dual-issue word counts as one.
    pub instructions: u32,
    /// Vector multiply-adds, including packed and dual-issue words.
    pub multiply_adds: u32,
    /// Cooperative-matrix products (WMMA).
    pub matrix: u32,
    /// Other vector arithmetic.
    pub vector: u32,
    /// Scalar arithmetic.
    pub scalar: u32,
    /// Workgroup memory.
    pub workgroup_memory: u32,
    /// Buffers, by vector and scalar loads, stores, and scratch memory.
    pub memory: u32,
    /// Waits, delays, barriers and hints.
    pub waits: u32,
    /// Branches.
    pub branches: u32,
    /// f32 operations of a thread, without matrix products. A multiply-add counts as two.
    pub thread_flops: u32,
}

impl Mix {
    fn of<'a>(instructions: impl Iterator<Item = &'a str>) -> Self {
        let mut mix = Mix::default();
        for text in instructions {
            mix.add(text);
        }
        mix
    }

    fn add(&mut self, instruction: &str) {
        let name = instruction.split_whitespace().next().unwrap_or_default();
        self.instructions += 1;
        let kind = if name.contains("wmma") {
            &mut self.matrix
        } else if name.starts_with("v_") {
            // A dual-issue word is printed as `v_dual_A … :: v_dual_B …`.
            let flops = instruction
                .split("::")
                .map(|part| flops(part.trim_start()))
                .fold((0, false), |sum, part| (sum.0 + part.0, sum.1 || part.1));
            self.thread_flops += flops.0;
            if flops.1 { &mut self.multiply_adds } else { &mut self.vector }
        } else if name.starts_with("ds_") {
            &mut self.workgroup_memory
        } else if MEMORY.iter().any(|start| name.starts_with(start)) {
            &mut self.memory
        } else if WAITS.iter().any(|start| name.starts_with(start)) {
            &mut self.waits
        } else if BRANCHES.iter().any(|start| name.starts_with(start)) {
            &mut self.branches
        } else {
            &mut self.scalar
        };
        *kind += 1;
    }

    /// f32 operations of a subgroup.
    pub fn flops(&self, subgroup_size: u32) -> u32 {
        self.thread_flops * subgroup_size + self.matrix * MATRIX_FLOPS
    }

    /// Cycles of a subgroup that has a SIMD to itself and never waits.
    pub fn cycles(&self, rates: &Rates, subgroup_size: u32) -> u32 {
        let vector = self.multiply_adds + self.vector;
        let others = self.instructions - vector - self.matrix;
        vector * subgroup_size.div_ceil(rates.width).max(1) + self.matrix * MATRIX_CYCLES + others
    }

    /// f32 operations per cycle as a share of a SIMD's peak. If there are matrix products, it is the peak of those.
    pub fn share_of_peak(&self, rates: &Rates, subgroup_size: u32) -> f64 {
        let peak = if self.matrix > 0 { rates.matrix_peak } else { rates.peak };
        let possible = f64::from(self.cycles(rates, subgroup_size).max(1)) * f64::from(peak.max(1));
        f64::from(self.flops(subgroup_size)) / possible
    }
}

/// f32 (or f16) operations of a thread in a vector instruction, and whether it is a multiply-add.
fn flops(instruction: &str) -> (u32, bool) {
    let name = instruction.split_whitespace().next().unwrap_or_default();
    let name = name.trim_start_matches("v_").trim_start_matches("dual_");
    let is_float = name.contains("f32") || name.contains("f16");
    let packed = if name.starts_with("pk_") { 2 } else { 1 };
    let name = name.trim_start_matches("pk_");
    if name.starts_with("dot2") {
        (4, true)
    } else if is_float && ["fma", "fmac", "mad", "mac"].iter().any(|p| name.starts_with(p)) {
        (2 * packed, true)
    } else if is_float && ["add_", "sub_", "subrev_", "mul_"].iter().any(|p| name.starts_with(p)) {
        (packed, false)
    } else {
        (0, false)
    }
}

/// The hottest loop: its own instructions, without those of loops inside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Loop {
    /// Number of loops around it, including itself. 0 if there is no loop and this is the whole shader.
    pub depth: u32,
    /// Its instructions.
    #[serde(flatten)]
    pub mix: Mix,
}

/// Finds the hottest loop of a shader. A loop is what lies between a label and the last branch back to it. The hottest
/// loop is the one whose own instructions do the most f32 operations. Each level of nesting counts eightfold, because
/// the text does not say how often a loop runs. If no loop does f32 operations, it is the one with the most
/// instructions, weighed in the same way.
pub fn hottest_loop(assembly: &str) -> Loop {
    let lines: Vec<&str> = assembly.lines().map(code).collect();
    let loops = loops(&lines);
    let own = |range: Option<&(usize, usize)>| {
        let (start, end) = *range.unwrap_or(&(0, lines.len().saturating_sub(1)));
        let inner: Vec<_> = loops.iter().filter(|&&(s, e)| s >= start && e <= end && (s, e) != (start, end)).collect();
        let is_own = |at: &usize| !inner.iter().any(|&&(s, e)| (s..=e).contains(at)) && is_instruction(lines[*at]);
        Mix::of((start..=end).filter(|at| *at < lines.len()).filter(is_own).map(|at| lines[at]))
    };
    let found = loops.iter().map(|range| {
        let (start, end) = *range;
        let depth = loops.iter().filter(|&&(s, e)| s <= start && end <= e).count() as u32;
        Loop { depth, mix: own(Some(range)) }
    });
    let heat = |found: &Loop| {
        let weight = WEIGHT_OF_A_LEVEL.pow(found.depth);
        // The subgroup's size does not matter here, because matrix products do thousands of operations anyway.
        (u64::from(found.mix.flops(64)) * weight, u64::from(found.mix.instructions) * weight)
    };
    // Of equals, the first one.
    let hottest = found.reduce(|best, next| if heat(&next) > heat(&best) { next } else { best });
    hottest.unwrap_or_else(|| Loop { depth: 0, mix: own(None) })
}

/// First and last line of every loop.
fn loops(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut loops: Vec<(usize, usize)> = Vec::new();
    for (end, line) in lines.iter().enumerate() {
        if !BRANCHES.iter().any(|start| line.starts_with(start)) {
            continue;
        }
        let target = line.split_whitespace().last().unwrap_or_default();
        let Some(start) = lines[..end].iter().position(|line| line.strip_suffix(':') == Some(target)) else { continue };
        match loops.iter_mut().find(|(other, _)| *other == start) {
            // `continue` is a branch back as well.
            Some(known) => known.1 = end,
            None => loops.push((start, end)),
        }
    }
    loops
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split(';').next().unwrap_or_default().trim()
}

fn is_instruction(line: &str) -> bool {
    // A line such as `(then repeated 47 times)` follows padding.
    !line.is_empty() && !line.ends_with(':') && !line.starts_with('(')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::CHIPS;

    /// A loop that stages. Inside it is a loop that multiplies and has an exit in its middle, and beside it one that
    /// sums.
    const SHADER: &str = "\
BB0:
\ts_load_b128 s[4:7], s[2:3], 0x0   ; f4080101 f8000000
\tv_mov_b32_e32 v4, 0               ; 7e080280
BB1:
\ts_cmp_ge_u32 s0, s1               ; bf090100
\ts_cbranch_scc1 BB9                ; bfa2007d
\tbuffer_load_b128 v[4:7], v3, s[4:7], 0 offen ; e05c0000
\ts_waitcnt vmcnt(0)                ; bf8903f7
\tds_store_b128 v0, v[4:7]          ; db7c0000
\tv_add_nc_u32_e32 v3, 16, v3       ; 4a060690
\tv_mul_lo_u32 v9, v3, v3           ; d72c0009
\ts_barrier                         ; bfbd0000
BB2:
\tds_load_b128 v[8:11], v1          ; dbfc0000
\ts_cbranch_scc0 BB5                ; bfa1001f
BB3:
\ts_delay_alu instid0(VALU_DEP_1)   ; bf870001
\tv_dual_fmac_f32 v12, v8, v9 :: v_dual_fmac_f32 v13, v8, v10 ; ca004508
\tv_fma_mix_f32 v4, v6, v7, v4 op_sel_hi:[0,1,0] ; cc200004
\ts_add_u32 s0, s0, 1               ; 80008100
\ts_cbranch_scc0 BB2                ; bfa1ffde
\tv_add_f32_e32 v4, v4, v5          ; 06080b04
\ts_branch BB2                      ; bfa0ffde
BB5:
\ts_branch BB1                      ; bfa0ff7f
BB9:
\tv_mul_f32_e32 v4, v4, v5          ; 10080b04
\ts_cbranch_execnz BB9              ; bfa6fff0
\ts_endpgm                          ; bfb00000
\ts_code_end                        ; bf9f0000
\t(then repeated 47 times)
";

    #[test]
    fn the_innermost_loop_that_computes_is_the_hottest() {
        let found = hottest_loop(SHADER);
        assert_eq!(found.depth, 2);
        let expected = Mix {
            instructions: 9,
            multiply_adds: 2,
            matrix: 0,
            vector: 1,
            scalar: 1,
            workgroup_memory: 1,
            memory: 0,
            waits: 1,
            branches: 3,
            thread_flops: 2 * 2 + 2 + 1,
        };
        assert_eq!(found.mix, expected);
    }

    #[test]
    fn a_loop_ends_at_its_last_branch_back() {
        let lines: Vec<&str> = SHADER.lines().map(code).collect();
        let labels = |(start, end): &(usize, usize)| (lines[*start], lines[*end]);
        let found: Vec<_> = loops(&lines).iter().map(labels).collect();
        assert_eq!(found, [("BB2:", "s_branch BB2"), ("BB1:", "s_branch BB1"), ("BB9:", "s_cbranch_execnz BB9")]);
    }

    #[test]
    fn without_operations_the_longest_loop_counts_and_without_loops_everything() {
        let copying = "BB0:\n\ts_nop 0\nBB1:\n\tv_mov_b32 v0, v1\n\tv_mov_b32 v2, v1\n\ts_cbranch_scc0 BB1\nBB2:\n\
                       \tv_mov_b32 v0, v1\n\ts_cbranch_scc0 BB2\n\ts_endpgm\n";
        let found = hottest_loop(copying);
        assert_eq!((found.depth, found.mix.vector, found.mix.instructions), (1, 2, 3));
        let straight = hottest_loop("BB0:\n\tv_add_f32_e32 v0, v1, v2\n\ts_endpgm\n");
        assert_eq!((straight.depth, straight.mix.instructions, straight.mix.thread_flops), (0, 2, 1));
        assert_eq!(hottest_loop(""), Loop::default());
    }

    #[test]
    fn the_model_reaches_the_peak_with_nothing_but_multiply_adds() {
        let rates = |name| CHIPS.iter().find(|chip| chip.name == name).and_then(|chip| chip.rates.as_ref()).unwrap();
        let (with_matrices, without) = (rates("navi31"), rates("navi21"));
        let fused = Mix::of(["v_fmac_f32_e32 v0, v1, v2"; 10].into_iter());
        assert_eq!(fused.share_of_peak(with_matrices, 64), 1.0);
        assert_eq!(fused.share_of_peak(without, 64), 1.0);
        assert_eq!(fused.share_of_peak(with_matrices, 32), 0.5);
        let dual = Mix::of(["v_dual_fmac_f32 v12, v8, v9 :: v_dual_fmac_f32 v13, v8, v10"].into_iter());
        assert_eq!(dual.share_of_peak(with_matrices, 32), 1.0);
        let matrix = Mix::of(["v_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7]", "s_nop 0"].into_iter());
        assert_eq!(matrix.cycles(with_matrices, 32), 33);
        assert_eq!(matrix.share_of_peak(with_matrices, 32), 8192.0 / (33.0 * 256.0));
    }
}
