//! The files of `unmix`: activations and tokens come in, factorizations go out.
//!
//! [`ActivationSet`] maps safetensors or npy files. It is an [`ActivationSource`](unmix::ActivationSource), so it can
//! be fitted directly. [`check_finite`], [`inspect`] and [`fingerprint()`] look at what it holds. [`write_fit`] and
//! [`read_fit`] keep a fit in a folder that is either complete or not there at all. [`Weights`] are a model's own
//! tensors, and [`Vocabulary`] is the text of its tokens. No file is trusted: whatever its bytes, the worst that can
//! happen is an [`Error`] that says what was found, what was expected and what to do.

mod activation_file;
mod activation_set;
mod bus_errors;
mod checkpoint_folder;
mod claim;
mod columns;
mod durable;
mod encoding_file;
mod error;
mod fingerprint;
mod finite;
mod fit_files;
mod fit_folder;
mod fit_record;
mod folder_lock;
mod index_of_shards;
mod input_record;
mod inspection;
mod joined_columns;
mod json;
mod kept_rows;
mod labels;
mod leftovers;
mod lossy_path;
mod mapped_file;
mod mask;
mod matrix;
mod natural_order;
mod npy;
mod number;
mod open_activations;
mod ordinary_reads;
mod output_file;
mod panels;
mod place;
mod prompt_numbers;
mod reading_order;
mod regular_file;
mod result_folder;
mod row_range;
mod row_shape;
mod rows;
mod safetensors_header;
mod safetensors_writer;
mod selected_rows;
mod staging;
mod strings;
mod tensor;
mod tensor_choice;
mod tensor_file;
mod tensor_opening;
mod texts;
mod token_filter;
mod token_norms;
mod vocabulary;
mod weight_matrix;
mod weights;

pub use activation_file::{ActivationFile, OpenOptions};
pub use activation_set::{ActivationSet, StoredRow};
pub use bus_errors::{catch_bus_errors, check_mappings};
pub use checkpoint_folder::{CheckpointFolder, StoredCheckpoint};
pub use claim::Claim;
pub use columns::TokenColumns;
pub use encoding_file::{EncodingRecord, write_encoding};
pub use error::Error;
pub use fingerprint::{Fingerprinting, fingerprint, fingerprint_of_numbers};
pub use finite::check_finite;
pub use fit_files::{FACTORIZATION_FILE, RUN_FILE};
pub use fit_folder::{check_target, read_fit, write_fit};
pub use fit_record::{FORMAT_VERSION, FitRecord, RunRecord};
pub use folder_lock::FolderLock;
pub use input_record::InputRecord;
pub use inspection::{EnergyShare, InspectedFile, Inspection, NonFinite, NormSummary, inspect};
pub use labels::{Half, LabelPlace, PromptLabel, PromptLabels};
pub use matrix::read_matrix;
pub use ordinary_reads::OrdinaryReads;
pub use output_file::{check_file_target, write_file};
pub use panels::{PanelBuffer, Panels};
pub use reading_order::reading_order;
pub use regular_file::read_file;
pub use result_folder::ResultFolder;
pub use row_range::RowRange;
pub use safetensors_writer::{TensorEntry, write_tensors};
pub use selected_rows::SelectedRows;
pub use strings::{TokenStrings, UnknownTokens, unknown_token};
pub use tensor::{Format, TensorInfo};
pub use token_filter::{LeftOut, NormLimit, TokenFilter};
pub use vocabulary::{TokenDecoder, Vocabulary};
pub use weight_matrix::WeightMatrix;
pub use weights::Weights;
