//! Developer commands of unmix: `cargo xtask COMMAND`.

mod arithmetic;
mod chromium;
mod compare;
mod docs_python;
mod exports;
mod failure;
mod fuzz;
mod gpu_bundle;
mod lens;
mod lint;
mod package;
mod packages;
mod process;
mod pytest;
mod python;
mod python_package;
mod quality;
mod record;
mod shader_check;
mod shader_stats;
mod shards;
mod system;
mod tally;
mod test;
mod test_devices;
mod test_mpi;
mod test_python;
mod vulkan;
mod wheel;

use std::process::ExitCode;

use failure::Failure;

const HELP: &str = "\
Developer commands of unmix.

cargo xtask test [ARGS]     Run every test of the workspace, in the release profile. Where no Vulkan device answers, a
                            software one is installed first (Mesa's lavapipe; Debian and Ubuntu), and so is Chromium for
                            the tests of the report's page. Kernels on cooperative matrices are tested on Mesa 26's
                            lavapipe, unpacked in ~/.cache/unmix (Debian and Ubuntu) and kept there. Without ARGS the numeric
                            tests run again without AMX and with AVX2 alone, where the processor has more, and the tests of
                            the Python package run (`test-python`), and on Linux those of `unmix-mpi` (`test-mpi`).
                            Ends with the line `N passed, N failed`. ARGS go on to `cargo test`:
                              cargo xtask test -p unmix-tests --test kernels -- cross_product
cargo xtask test-python [--all | --wheel] [ARGS]
                            Build the native module of the Python package and run its tests, as `test` does at its end.
                            Installs numpy and the packages of crates/python/tests/requirements.txt from PyPI first, in
                            target/ (once; Python 3.10 to 3.13 with venv, or the one that PYTHON names; on Debian and Ubuntu
                            they are installed by apt if this user may). ARGS go on to pytest.
                              --all         then the tests with real models: PyTorch, transformers, TransformerLens, nnsight
                                            (some gigabytes, once, in target/)
                              --wheel       instead, build the wheel in target/wheels, and try it in an environment with numpy
                                            alone
cargo xtask test-mpi [ARGS] Build `unmix-mpi` and run its tests under mpirun, with up to 8 ranks on this machine, as `test`
                            does at its end. Linux only. Installs OpenMPI and libclang first, where this user may (Debian
                            and Ubuntu). ARGS go on to `cargo test`.
cargo xtask test-devices [swiftshader [--all] | validation | noop]
                            Run the tests of the kernels on SwiftShader, a second software Vulkan device, and under Khronos'
                            validation layer with synchronization validation. Both come with Debian's Chromium, which is
                            unpacked in ~/.cache/unmix if it is not installed. `noop` shows that a device which does nothing and
                            reports no error is refused: Mesa 26's NVIDIA driver without an NVIDIA GPU.
                              --all         also those tests for which SwiftShader compiles for minutes
cargo xtask docs-python     Write the reference of the Python package to target/doc-python, without a warning.
cargo xtask test-exports    Export a fit of the demo's data to every target of `unmix export` and open each with the tool that
                            it is for. Installs those tools from PyPI first, in target/ (some gigabytes, once; Python
                            3.11 to 3.13 with venv, or the one that PYTHON names). Ends with `N exports opened, N failed`.
cargo xtask test-lens [--fixture]
                            Compare `unmix lens` with transformers on tiny models of every family that it knows, made by
                            transformers itself: with the embedding for the unembedding or not, in shards or not. Installs
                            PyTorch and transformers from PyPI first, in target/ (some gigabytes, once; Python 3.11 to 3.13
                            with venv, or the one that PYTHON names). Prints the largest difference of logits of each.
                              --fixture   write what the tests of unmix-interpret keep of these models
cargo xtask shader-stats [OPTIONS] [KERNEL]...
                            Compile the kernels for chips of AMD, NVIDIA, Apple and Qualcomm with Mesa's shader compilers,
                            without a GPU, and print what becomes of them: registers, spills, occupancy, instructions.
                            `--check` fails on spills and low occupancy, `--help` shows the other options. Unpacks Mesa 25
                            and 26 in ~/.cache/unmix first (Debian and Ubuntu, no root).
cargo xtask shader-check [--quick] [--out FILE] [KERNEL]...
                            Compile every composed shader with the compilers that users' machines have: Tint (Chrome), DXC and
                            FXC (Direct3D), and validate it with spirv-val. Installs Dawn from npm in target/, and unpacks Wine
                            and spirv-tools in ~/.cache/unmix first (Debian and Ubuntu, no root; Node is needed).
                              --quick       spirv-val and Tint alone, which take seconds
                              --out FILE    also write the table to this file
cargo xtask compare [--quick] [--rounds N] [--data FILE...] [--shape n,d,K]... [--rank K] [--methods LIST] [--out FOLDER]
                            Time unmix against the published iteration in PyTorch, scikit-learn, torchnmf, nmf-torch and
                            overcomplete, method after method and round after round on the same matrices: an iteration, the
                            time to the published loss, final loss and memory. Installs those from PyPI first, in target/
                            (5 GB, once; Python 3.11 to 3.13, a C compiler). Linux only. Writes compare.md and compare.json.
                              --quick       few iterations of small matrices, to see that all works
                              --rounds N    5 by default
                              --data FILE   activations; without --data and --shape the demo's and synthetic ones
                              --shape n,d,K synthetic activations, and their rank
                              --rank K      of --data; 100 by default
                              --methods LIST  separated by commas; all by default
                              --iterations N, --library-iterations N, --sparsity P, --seed N
                                            1500 of the published iteration, 30 of other libraries, 0.01, 0
cargo xtask quality --data FILE... --corpus FILE.jsonl [--setting NAME=OPTIONS]... [--seeds LIST] [--ranks LIST] [--out FOLDER]
                            Fit half of some labelled prompts and score the features on the other half: error, purity, AUC,
                            S_CD, agreement of seeds, tokens and neurons of features. FILE is a file of activations with
                            token_ids and prompt_ids, the corpus has a line of JSON with a concept for each prompt. Settings
                            are options of `unmix fit`; without any, the default, --solver projected-ls and --preset paper
                            are compared. Writes quality.md, quality.json and quality.svg. What is scored is kept in target/,
                            so the same command goes on where it was interrupted.
                              --setting 'strong=--penalty 0.1'
                              --seeds LIST, --ranks LIST    separated by commas: 0,1,2 and 100 by default
cargo xtask gpu-bundle [--out FILE.tar.gz|FOLDER]
                            Make one folder that measures unmix on a Linux machine (x86-64) with an NVIDIA driver, against
                            its roofline and, where Python has torch, against the published iteration on the same GPU.
cargo xtask fuzz --minutes N [--plain] [TARGET]...
                            Try hostile inputs on every reader, or on those named, on all cores for N minutes together. Led by
                            coverage, through libFuzzer, which needs a C++ compiler. Inputs that reach something new are kept
                            in target/xtask-fuzz/corpus for the next time, and those that fail in target/xtask-fuzz/failures.
                              --plain       without coverage and compiler, as the tests do it, but with longer inputs too
cargo xtask shards FOLDER [--tokens N] [--neurons N] [--shards N]
                            Write synthetic f16 activations in shards (npy), for fits larger than memory: by default 8 shards
                            of 400,000 tokens × 14,336 neurons, which take 11.5 GB.
cargo xtask lint            Formatting, clippy and rustdoc, all without a warning; ruff and mypy for the Python package.
cargo xtask package [--no-verify]
                            Package every published crate, look for the files that must travel in it, and build it from
                            its package (not with --no-verify, which takes seconds rather than minutes).
cargo xtask help            This text.

Exit codes: 0 all is well, 1 a check failed, 2 wrong usage.
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let asks_for_help = rest.first().is_some_and(|arg| arg == "--help" || arg == "-h");
    let result = match command.as_deref() {
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(
            "test" | "test-mpi" | "test-python" | "test-devices" | "shader-check" | "docs-python" | "test-exports"
            | "test-lens" | "compare" | "quality" | "gpu-bundle" | "fuzz" | "shards" | "lint" | "package",
        ) if asks_for_help => {
            print!("{HELP}");
            Ok(())
        }
        Some("test") => test::run(&rest),
        Some("test-mpi") => test_mpi::run(&rest),
        Some("test-exports") => exports::run(&rest),
        Some("test-python") => test_python::run(&rest),
        Some("test-devices") => test_devices::run(&rest),
        Some("docs-python") => docs_python::run(&rest),
        Some("test-lens") => lens::run(&rest),
        // This command has options of its own, including `--help`.
        Some("shader-stats") => shader_stats::run(&rest),
        Some("shader-check") => shader_check::run(&rest),
        Some("compare") => compare::run(&rest),
        Some("quality") => quality::run(&rest),
        Some("gpu-bundle") => gpu_bundle::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("shards") => shards::run(&rest),
        Some("lint") => lint::run(&rest),
        Some("package") => package::run(&rest),
        // `test` starts this in a process of its own, because a driver may crash.
        Some(vulkan::LIST_DEVICES) => vulkan::print_devices(),
        Some(other) => Err(Failure::Usage(format!("there is no command {other:?}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            eprintln!("xtask: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("xtask: {message}; `cargo xtask help` lists the commands");
            ExitCode::from(2)
        }
    }
}
