//! The commands, one file each.

pub mod bench;
pub mod compare;
pub mod concepts;
pub mod demo;
pub mod doctor;
pub mod encode;
pub mod export;
mod export_tool;
pub mod features;
pub mod fit;
pub mod inspect;
pub mod lens;
pub mod report;
pub mod sweep;
pub mod tree;
pub mod tune;
