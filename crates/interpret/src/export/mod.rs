//! Files of a fit for other tools.
//!
//! Each target takes a [`ScaledFit`] and writes a folder that is either complete or not there at all
//! ([`ResultFolder`](unmix_data::ResultFolder)): [`saelens()`], [`sparsify()`], [`delphi()`], [`saedashboard()`],
//! [`neuronpedia()`] and [`steering()`]. [`write_export`] writes for any of them. If a target states a scale, it is [`SCALE`].

mod affine_encoder;
mod delphi;
mod error;
mod linear_algebra;
mod neuronpedia;
mod projections;
mod saedashboard;
mod saelens;
mod scaled_fit;
mod site;
mod snippet;
mod sparsify;
mod steering;
mod tool;
mod write;
mod written;

pub use affine_encoder::{AffineEncoder, EncoderReport, affine_encoder};
pub use delphi::{DelphiOptions, delphi, is_delphi_id};
pub use error::ExportError;
pub use neuronpedia::{NeuronpediaOptions, neuronpedia};
pub use saedashboard::saedashboard;
pub use saelens::{Architecture, saelens};
pub use scaled_fit::{SCALE, ScaledFit};
pub use site::Site;
pub use snippet::snippet;
pub use sparsify::sparsify;
pub use steering::steering;
pub use tool::{Encoding, ExportOption, Tool};
pub use write::{ExportParts, write_export};
pub use written::WrittenFile;
