//! The program `unmix`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: unmix_cli::EndingAllocator = unmix_cli::EndingAllocator;

fn main() -> ExitCode {
    ExitCode::from(unmix_cli::main(std::env::args_os().collect()))
}
