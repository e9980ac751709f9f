//! The commands, one file each.

pub mod bench;
pub mod demo;
pub mod doctor;
pub mod features;
pub mod fit;
pub mod inspect;
