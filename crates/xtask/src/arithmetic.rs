//! The arithmetic of other processors. The numeric tests run again with it, on the CPU engine alone.

/// Test programs whose results depend on the vectors that the CPU engine uses. The unit tests of all libraries do as
/// well.
pub const SUITES: [&str; 17] = [
    "kernels",
    "fits",
    "golden",
    "verification",
    "torture",
    "adversarial",
    "real_activations",
    "encode",
    "streaming",
    "shards",
    "checkpoints",
    "batch",
    "consensus",
    "choice_of_rank",
    "concepts",
    "exports",
    "command_line",
];

/// Restricts the tests of these suites that run on every engine to the CPU engine (tests/src/lib.rs).
pub const CPU_ENGINE: (&str, &str) = ("UNMIX_TEST_ENGINES", "cpu");

/// Parts of the names of tests which run on GPUs alone.
pub const ON_GPUS: [&str; 2] = ["gpu", "tune::"];

/// The kinds of arithmetic that this processor has beside the one that it uses by itself. Each is a variable of the
/// environment and its value.
pub fn others() -> Vec<(&'static str, &'static str)> {
    // Only Linux lets programs use AMX.
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    others_of(has(&processor, "amx_bf16"), has_avx512())
}

fn others_of(has_amx: bool, has_avx512: bool) -> Vec<(&'static str, &'static str)> {
    let amx = has_amx.then_some(("UNMIX_AMX", "0"));
    let avx2 = has_avx512.then_some(("UNMIX_VECTORS", "avx2"));
    amx.into_iter().chain(avx2).collect()
}

/// Whether the text of /proc/cpuinfo has the flag.
fn has(processor: &str, flag: &str) -> bool {
    let flags = processor.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|word| word == flag))
}

fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_arithmetic_comes_twice() {
        assert_eq!(others_of(true, true), [("UNMIX_AMX", "0"), ("UNMIX_VECTORS", "avx2")]);
        assert_eq!(others_of(false, true), [("UNMIX_VECTORS", "avx2")]);
        assert_eq!(others_of(false, false), []);
    }

    #[test]
    fn flags_are_whole_words() {
        let processor = "processor\t: 0\nflags\t\t: fpu amx_bf16x avx512f\nprocessor\t: 1\n";
        assert!(has(processor, "avx512f") && !has(processor, "amx_bf16") && !has("", "fpu"));
    }
}
