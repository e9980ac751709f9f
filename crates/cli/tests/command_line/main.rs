//! The `unmix` command seen from outside: what it prints where, the files that it leaves, the codes with which it exits.

mod bench;
mod changed_files;
mod checkpoints;
mod compare;
mod concepts;
mod demo;
mod doctor;
mod encode;
mod errors;
mod export;
mod features;
mod fits;
mod harness;
mod help;
mod inputs;
mod inspect;
mod interrupt;
mod kills;
mod leaving_out;
mod lens;
mod paths;
mod report;
mod resources;
mod terminal;
mod tree;
mod tune;
