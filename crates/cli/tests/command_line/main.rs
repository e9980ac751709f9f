//! The `unmix` command seen from outside: what it prints where, the files that it leaves, the codes with which it exits.

mod concepts;
mod demo;
mod doctor;
mod errors;
mod export;
mod fits;
mod harness;
mod help;
mod inspect;
mod interrupt;
mod lens;
