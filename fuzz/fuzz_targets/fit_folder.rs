#![no_main]

unmix_fuzz_programs::program!("fit_folder");
