#![no_main]

unmix_fuzz_programs::program!("shards");
