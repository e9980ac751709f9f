//! The options that say which activations a command reads, and what to leave out of them.

use std::path::PathBuf;

use clap::Args;
use unmix_data::{ActivationSet, LeftOut, NormLimit, OpenOptions, TokenFilter};
use unmix_fitting::warn_of_joined_files;

use crate::failure::Failure;
use crate::output::thousands;

/// The files, and what to read of them.
#[derive(Clone, Debug, Args)]
pub struct ActivationArgs {
    /// The activations: safetensors or npy files, a folder of them, or an index of shards (*.index.json). Several are
    /// read as one matrix, in this order. Files of a folder are read in the order of their names, with 2 before 10
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    pub choice: ChoiceArgs,
}

/// What to read of files of activations.
#[derive(Clone, Debug, Args)]
pub struct ChoiceArgs {
    /// Name of the tensor of activations, if a file holds several that could be meant
    #[arg(long, value_name = "NAME", help_heading = "Activations")]
    pub tensor: Option<String>,

    /// Leave out tokens with these ids, such as that of the begin-of-text token; needs `token_ids` in the files
    #[arg(
        long,
        value_name = "ID,ID,…",
        value_delimiter = ',',
        allow_negative_numbers = true,
        help_heading = "Activations"
    )]
    pub skip_token_ids: Vec<i64>,

    /// Leave out the first N tokens of each prompt; needs `prompt_ids` in the files, or batches of sequences
    #[arg(long, value_name = "N", help_heading = "Activations")]
    pub skip_first: Option<u64>,

    /// Leave out tokens of a larger norm: 10x is ten times the median norm, 10 the norm 10. All activations are read once more to
    /// find them
    #[arg(long, value_name = "NORM", allow_negative_numbers = true, help_heading = "Activations")]
    pub max_norm: Option<NormLimit>,

    /// Leave out tokens for which this tensor of the files is zero or false
    #[arg(long, value_name = "TENSOR", help_heading = "Activations")]
    pub keep: Option<String>,
}

impl ActivationArgs {
    /// Opens the files, without the tokens to leave out.
    pub fn open(&self) -> Result<ActivationSet, Failure> {
        let filter = self.choice.filter().unwrap_or_default();
        open(&self.files, self.choice.tensor.as_deref(), &filter)
    }
}

impl ChoiceArgs {
    /// What to leave out, if any option says so. `--skip-first 0` says that nothing is.
    pub fn filter(&self) -> Option<TokenFilter> {
        let ChoiceArgs { tensor: _, skip_token_ids, skip_first, max_norm, keep } = self;
        let is_given = !skip_token_ids.is_empty() || skip_first.is_some() || max_norm.is_some() || keep.is_some();
        is_given.then(|| TokenFilter {
            skip_token_ids: skip_token_ids.clone(),
            skip_first: skip_first.unwrap_or_default(),
            max_norm: *max_norm,
            keep: keep.clone(),
        })
    }

    /// The first option that was given.
    pub fn given(&self) -> Option<&'static str> {
        let ChoiceArgs { tensor, skip_token_ids, skip_first, max_norm, keep } = self;
        let options = [
            ("--tensor", tensor.is_some()),
            ("--skip-token-ids", !skip_token_ids.is_empty()),
            ("--skip-first", skip_first.is_some()),
            ("--max-norm", max_norm.is_some()),
            ("--keep", keep.is_some()),
        ];
        options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}

/// Opens files as one matrix without the tokens that `filter` leaves out, and reports what a user may not expect of them.
pub fn open(files: &[PathBuf], tensor: Option<&str>, filter: &TokenFilter) -> Result<ActivationSet, Failure> {
    let options = OpenOptions { tensor: tensor.map(str::to_owned) };
    let set = ActivationSet::open(files, &options).map_err(Failure::with_tensor_flag)?;
    warn_of_joined_files(&set);
    if let Some(limit) = filter.max_norm {
        log::info!("reading {} to find the tokens of a norm above {limit}", set.names());
    }
    Ok(set.filtered(filter)?)
}

/// How many of `stored` rows were left out and why, if any were.
pub fn left_out(left_out: &LeftOut, stored: u64) -> Option<String> {
    let limit = left_out.norm_limit.map_or_else(String::new, |limit| format!(" (above {limit:.4})"));
    let reasons = [
        (left_out.by_attention_mask, "by the attention mask".to_owned()),
        (left_out.by_mask, "by --keep".to_owned()),
        (left_out.by_token_id, "by their token id".to_owned()),
        (left_out.by_place, "as the first of their prompt".to_owned()),
        (left_out.by_norm, format!("by their norm{limit}")),
    ];
    let told: Vec<String> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{} {reason}", thousands(count)))
        .collect();
    let total = left_out.total();
    (total > 0).then(|| format!("{} of {} rows: {}", thousands(total), thousands(stored), told.join(", ")))
}
