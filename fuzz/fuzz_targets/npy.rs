#![no_main]

unmix_fuzz_programs::program!("npy");
