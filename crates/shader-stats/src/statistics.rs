//! What a driver's statistics mean: the names are each driver's own.

use crate::chip::{Chip, Driver};
use crate::device::Compiled;

/// The same facts for every chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Statistics {
    /// Threads in a subgroup.
    pub subgroup_size: u32,
    /// Registers of a thread, of 32 bits; of 16 bits on Apple's chips. On Adreno, vectors of four.
    pub registers: u64,
    /// Threads that registers and workgroup memory let a core hold.
    pub threads: u64,
    /// Registers that go to memory and back, or bytes where the driver tells only these.
    pub spills: u64,
    /// Registers that go to registers of another kind and back, which costs an instruction each time.
    pub moves: u64,
    /// Bytes of workgroup memory of a workgroup.
    pub workgroup_bytes: u32,
    /// Instructions of the whole shader.
    pub instructions: u64,
    /// Cycles, by the compiler's own estimate. It guesses how often loops run, so it compares only versions of a kernel.
    pub cycles: Option<u64>,
}

impl Statistics {
    /// Reads them.
    ///
    /// # Errors
    /// If the driver tells something else than expected.
    pub fn new(chip: &Chip, compiled: &Compiled) -> Result<Self, String> {
        let read = |name: &str| {
            compiled.statistics.get(name).copied().ok_or_else(|| {
                let known: Vec<&str> = compiled.statistics.keys().map(String::as_str).collect();
                format!("the driver tells no {name:?}, but {}", known.join(", "))
            })
        };
        let subgroup = u64::from(compiled.subgroup_size);
        let (registers, threads, spills, moves, instructions, cycles) = match chip.driver {
            // ACO counts subgroups in units of 32 threads, and counts workgroup memory in.
            Driver::Amd => (
                read("VGPRs")?,
                read("Subgroups per SIMD")? * 32,
                read("Spilled VGPRs")?.max(read("Scratch size")?),
                read("Spilled SGPRs")?,
                read("Instructions")?,
                Some(read("Inverse Throughput")?),
            ),
            Driver::Nvidia => (
                read("Number of GPRs")?,
                read("Max warps/SM")? * subgroup,
                read("Spills to memory")?.max(read("SLM size")?),
                read("Spills to reg")?,
                read("Instruction count")?,
                Some(read("Static cycle count")?),
            ),
            Driver::Apple => {
                (read("GPRs")?, read("Threads")?, read("Spills")?.max(read("Scratch")?), 0, read("Instructions")?, None)
            }
            Driver::Adreno => (
                read("Registers used")?,
                read("Max Waves Per Core")? * subgroup,
                read("STP Count")?.max(read("LDP Count")?),
                0,
                read("Instruction Count")?,
                None,
            ),
        };
        Ok(Statistics {
            subgroup_size: compiled.subgroup_size,
            registers,
            threads: threads.min(in_workgroup_memory(chip, compiled)),
            spills,
            moves,
            workgroup_bytes: compiled.workgroup_bytes,
            instructions,
            cycles,
        })
    }
}

/// Threads of the workgroups whose memory a core has room for.
fn in_workgroup_memory(chip: &Chip, compiled: &Compiled) -> u64 {
    match chip.shared_bytes {
        Some(shared) if compiled.workgroup_bytes > 0 => {
            let workgroups = shared / (compiled.workgroup_bytes + chip.reserved_bytes);
            u64::from(workgroups * compiled.workgroup_threads)
        }
        _ => u64::MAX,
    }
}
