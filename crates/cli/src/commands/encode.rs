//! `unmix encode`: coefficients of other activations for the features of a fit.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use unmix::{ActivationSource, DenseMatrix, Encoder, Solver};
use unmix_data::{EncodingRecord, Fingerprinting, check_encoding_target, read_fit, write_encoding};
use unmix_fitting::{encode, warn_of_other_place};

use crate::activation_args::{self, ChoiceArgs, left_out};
use crate::engine;
use crate::failure::Failure;
use crate::number_args::at_least_zero;
use crate::output::{self, Style, Table, percent, thousands};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;
use crate::source;

/// Encode activations with the features of a fit
///
/// For each token of the files, finds the coefficients of at least zero with which the features come closest to its
/// activations. This is nonnegative least squares, with the penalty of the fit if it had one. If the fit found its
/// coefficients above zero again without the penalty (--unshrink, --runs), so does this. The features stay as they are,
/// so tokens that the fit never saw can be encoded. The tokens are encoded in portions that fit in memory.
///
/// The result is a safetensors file with `coefficients` [tokens, features], `squared_residuals` and `squared_norms`
/// [tokens], and the columns of the files. Activations ≈ coefficients @ features of the fit.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix encode fit new-activations.safetensors --out encoded.safetensors
  unmix encode fit new-activations.npy --out encoded.safetensors --cosines")]
pub struct EncodeArgs {
    /// The folder that `unmix fit` wrote
    #[arg(value_name = "DIR")]
    pub fit: PathBuf,

    /// The activations to encode, of as many neurons as the fit: safetensors or npy files, a folder of them, or an index of
    /// shards (*.index.json). Several are read as one matrix, in this order [default: those that were fitted, without the tokens
    /// that the fit left out]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    pub choice: ChoiceArgs,

    /// File to write (safetensors)
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,

    /// Replace an earlier encoding of that name
    #[arg(long)]
    pub force: bool,

    /// Also write the cosine of each token with each feature (tensor `cosines`)
    #[arg(long)]
    pub cosines: bool,

    /// Weight of the penalty on coefficients [default: that of the fit, which is 0 except with hals]
    #[arg(long, value_name = "ALPHA", value_parser = at_least_zero, allow_negative_numbers = true)]
    pub penalty: Option<f64>,

    /// A token has settled when eight sweeps move its reconstruction by less than this share of its norm
    #[arg(long, default_value_t = 1e-5, value_name = "SHARE", value_parser = at_least_zero, allow_negative_numbers = true)]
    pub tolerance: f64,
}

/// Runs the command.
pub fn run(args: &EncodeArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    check_encoding_target(&args.out, args.force)?;
    let fit = read_fit(&args.fit)?;
    let file = if args.files.is_empty() {
        source::open(&args.fit, &fit, &[], &args.choice, "FILE")?.source
    } else {
        let filter = args.choice.filter().unwrap_or_default();
        let set = activation_args::open(&args.files, args.choice.tensor.as_deref(), &filter)?;
        warn_of_other_place(&fit.run.input.origin, &set);
        set
    };
    source::check_neurons(&file, &fit, &args.fit)?;
    let engine = engine::open(&shared.engine, reporter)?;
    reporter.stage(&format!(
        "reading {}: {} tokens × {} neurons, {}",
        file.names(),
        thousands(file.tokens()),
        thousands(file.neurons()),
        file.element()
    ));
    if let Some(told) = left_out(file.left_out(), file.stored_tokens()) {
        reporter.stage(&format!("leaving out {told}"));
    }
    let source = Fingerprinting::new(file.clone());

    let options = &fit.run.summary.options;
    let penalty = args.penalty.unwrap_or(if options.solver == Solver::Hals { options.penalty } else { 0.0 });
    let encoder =
        Encoder::new(fit.features.clone()).penalty(penalty).unshrink(options.unshrink).tolerance(args.tolerance);
    let total = file.tokens();
    let encoding = encode(&encoder, engine.as_ref(), &source, |done| -> Result<(), unmix::Error> {
        reporter.stage(&format!("encoded {} of {} tokens", thousands(done), thousands(total)));
        Ok(())
    });
    let fingerprint = source.fingerprint()?;
    let cosines = args.cosines.then(|| unmix_interpret::cosines(&file, &fit.features)).transpose()?;
    // If the numbers were changed, this explains an encoding that failed, and makes one that did not fail worthless.
    file.check_unchanged(&fingerprint)?;
    let encoding = encoding.map_err(|error| Failure::of_computation(error, &file))?;
    let columns = file.token_columns().clone();
    let record = EncodingRecord { encoding, cosines, columns, fingerprint, penalty, unshrink: options.unshrink };
    write_encoding(&args.out, &record, args.force)?;

    let encoding = &record.encoding;
    if shared.json {
        return output::print_json(&json!({
            "out": output::json_path(&args.out),
            "tokens": encoding.coefficients.rows,
            "features": encoding.coefficients.columns,
            "relative_error": encoding.relative_error(),
            "fit_relative_error": fit.run.summary.relative_error,
            "active_share": active_share(&encoding.coefficients),
            "penalty": penalty,
            "unshrink": options.unshrink,
            "sweeps": encoding.sweeps,
            "largest_change": encoding.largest_change,
        }));
    }
    let mut table = Table::new(&["", ""]);
    let mut fact = |name: &str, text: String| table.row(vec![name.to_owned(), text]);
    let (error, fitted) = (encoding.relative_error(), fit.run.summary.relative_error);
    let explained = format!("{} explained; of the fit's own tokens {}", percent(1.0 - error), percent(1.0 - fitted));
    fact("relative error", format!("{} ({explained})", Style::stdout().strong(&format!("{error:.6}"))));
    let (tokens, features) = (encoding.coefficients.rows as u64, encoding.coefficients.columns);
    let active = percent(active_share(&encoding.coefficients));
    fact("coefficients", format!("{} tokens × {features} features, {active} above zero", thousands(tokens)));
    let settled = if encoding.largest_change <= args.tolerance {
        "every token has settled".to_owned()
    } else {
        format!(
            "a token still moved by {:.0e} of its norm; coefficients of nearly parallel features settle slowly, its fit does not",
            encoding.largest_change
        )
    };
    fact("sweeps", format!("{} at most; {settled}", encoding.sweeps));
    fact("saved in", args.out.display().to_string());
    output::print(&table.render(Style::stdout()))
}

fn active_share(coefficients: &DenseMatrix) -> f64 {
    let active = coefficients.values.iter().filter(|y| **y > 0.0).count();
    active as f64 / coefficients.values.len().max(1) as f64
}
