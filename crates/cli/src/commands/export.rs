//! `unmix export`: files of a fit for other tools.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use unmix_data::{ActivationSet, FitRecord, read_fit};
use unmix_interpret::export::{
    AffineEncoder, DelphiOptions, EncoderReport, Encoding, ExportOption, ExportParts, SCALE, ScaledFit, Site, Tool,
    WrittenFile, affine_encoder, is_delphi_id, snippet, write_export,
};
use unmix_interpret::{Text, in_reading_order};

use crate::activation_args::ChoiceArgs;
use crate::commands::export_tool::ToolOption;
use crate::failure::Failure;
use crate::health_lines::warn_of_fit;
use crate::model::{ModelArgs, warn_of_other_layer};
use crate::output::{self, Style, Table, bytes};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;
use crate::source;
use crate::token_text::{TextArgs, read_text};

/// Write a fit for another tool: SAELens, sparsify, delphi, SAEDashboard, Neuronpedia, steering
///
/// Exports have features of unit norm. The scale moves into the coefficients. SAELens and sparsify encode by one matrix
/// product, which can only come near the fit's own coefficients. For them, an affine encoder is fitted to the
/// activations, and its error is printed beside the fit's. The command looks for the activations where `unmix fit` read
/// them.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix export fit --to saelens --out my-sae
  unmix export fit --to delphi --layer 12 --out cache
  unmix export fit --to neuronpedia --tokens tokens.json --model-name gpt2-small --layer 5 --out batches
  unmix export fit --to steering --model SmolLM2-135M --layer 12 --out steering")]
pub struct ExportArgs {
    /// The folder that `unmix fit` wrote
    #[arg(value_name = "DIR")]
    pub fit: PathBuf,

    /// The tool
    #[arg(long, value_enum, value_name = "TOOL")]
    pub to: ToolOption,

    /// Folder to write
    #[arg(long, short = 'o', value_name = "PATH")]
    pub out: PathBuf,

    /// Replace the folder if it holds an earlier export to the same tool
    #[arg(long)]
    pub force: bool,

    /// saelens, sparsify: the activations that were fitted, if they are no longer where run.json says: a file, a folder or
    /// an index; give the option again for more
    #[arg(long, value_name = "FILE")]
    pub activations: Vec<PathBuf>,

    #[command(flatten)]
    pub choice: ChoiceArgs,

    /// saelens: how it encodes
    #[arg(long, value_enum, value_name = "HOW")]
    pub architecture: Option<ArchitectureOption>,

    /// delphi: number of files over which the features are spread
    #[arg(long, value_name = "N")]
    pub splits: Option<u32>,

    /// delphi: token id that fills up rows [default: 0] and stands in for ids that no tokenizer can decode, such as
    /// -100
    #[arg(long, value_name = "ID")]
    pub padding: Option<i64>,

    /// The model's name, as the tool knows it [default: that in the files of the activations, but not for neuronpedia,
    /// which has names of its own]
    #[arg(long, value_name = "NAME")]
    pub model_name: Option<String>,

    /// Name of the hook or module [default: that of the layer's MLP activations]
    #[arg(long, value_name = "NAME")]
    pub hook: Option<String>,

    #[command(flatten)]
    pub text: TextArgs,

    #[command(flatten)]
    pub model: ModelArgs,
}

/// How SAELens encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArchitectureOption {
    /// An affine encoder with a relu, one matrix product
    Standard,
    /// Matching pursuit: needs no activations, comes as close, but takes many matrix products
    MatchingPursuit,
}

/// Runs the command.
pub fn run(args: &ExportArgs, shared: &SharedArgs, reporter: &Reporter) -> Result<(), Failure> {
    refuse_strangers(args)?;
    if !args.force && args.out.exists() {
        return Err(unmix_data::Error::Exists(args.out.clone()).into());
    }
    let as_fitted = read_fit(&args.fit)?;
    warn_of_fit(&as_fitted.run.summary);
    // An encoder is fitted row by row; all else is about prompts.
    let record = if encodes(args) { Cow::Borrowed(&as_fitted) } else { in_reading_order(&as_fitted) };
    let fit = ScaledFit::new(&record)?;
    let origin = &record.run.input.origin;
    let mut layer = args.model.layer(origin);
    let tool = args.to.tool();
    let site = Site { model: args.model_name.clone(), layer, hook: args.hook.clone() }.for_tool(tool, origin)?;
    if !args.model.is_given() {
        warn_of_other_layer(origin, args.model.layer);
    }
    let encoder = encodes(args).then(|| encoder(args, &record, &fit, reporter)).transpose()?;
    let text = (tool == Tool::Neuronpedia).then(|| text(args, &record)).transpose()?;
    let logits = if tool == Tool::Neuronpedia && args.model.is_given() {
        let words = args.text.words()?;
        Some(args.model.readout(fit.neurons(), origin, &words)?.promoted_and_suppressed(&record.features, &words)?)
    } else {
        None
    };
    let directions = if tool == Tool::Steering {
        let down_projection = args.model.down_projection(fit.neurons(), origin)?;
        layer = down_projection.layer();
        let units = down_projection.written_norms(&fit.features, &fit.largest_coefficients())?;
        Some((down_projection.directions(&fit.features)?, units))
    } else {
        None
    };
    let default = DelphiOptions::default();
    let splits = args.splits.map_or(default.splits, |splits| splits as usize);
    let parts = ExportParts {
        fit: &fit,
        site: &site,
        encoding: encoding(args),
        encoder: encoder.as_ref(),
        delphi: DelphiOptions { splits, padding: args.padding },
        text: text.as_ref(),
        logits: logits.as_deref(),
        directions: directions.as_ref().map(|(directions, units)| (directions, units.as_slice())),
    };
    let files = write_export(tool, &args.out, &parts, args.force)?;
    if tool == Tool::Delphi {
        warn_of_replaced(&record, args.padding);
    }
    let report = encoder.map(|encoder| encoder.report);
    if shared.json {
        return output::print_json(&as_json(args, site.model.as_deref(), layer, &files, report.as_ref()));
    }
    output::print(&as_text(args, &site, layer, &fit, &files, report.as_ref()))
}

/// Warns that the padding took the place of token ids that delphi cannot decode.
fn warn_of_replaced(record: &FitRecord, padding: Option<i64>) {
    let ids = record.columns.token_ids.iter().flatten();
    if let (count @ 1.., Some(padding)) = (ids.filter(|&&id| !is_delphi_id(id)).count(), padding) {
        log::warn!("token ids that no tokenizer can decode: {count}; the token {padding} was written in their place");
    }
}

/// How SAELens is to encode.
fn encoding(args: &ExportArgs) -> Encoding {
    match args.architecture {
        Some(ArchitectureOption::MatchingPursuit) => Encoding::MatchingPursuit,
        Some(ArchitectureOption::Standard) | None => Encoding::Standard,
    }
}

/// Whether an encoder is fitted to the activations, row by row.
fn encodes(args: &ExportArgs) -> bool {
    args.to.tool().fits_encoder(encoding(args))
}

/// The text of the tokens, which Neuronpedia needs.
fn text(args: &ExportArgs, record: &FitRecord) -> Result<Text, Failure> {
    if args.text.tokens.is_none() && args.text.vocabulary.is_none() {
        return Err(Failure::Usage(
            "--to neuronpedia: needs the text of the tokens; add --tokens FILE, or --vocabulary FILE if the fit has token ids"
                .to_owned(),
        ));
    }
    Ok(read_text(&args.text, record, &args.fit)?.0)
}

/// Refuses options that the tool has no use for, because they are mistakes.
fn refuse_strangers(args: &ExportArgs) -> Result<(), Failure> {
    let choice = args.choice.given();
    let options = [
        ("--activations", !args.activations.is_empty(), ExportOption::Activations),
        (choice.unwrap_or_default(), choice.is_some(), ExportOption::Activations),
        ("--architecture", args.architecture.is_some(), ExportOption::Encoding),
        ("--tokens", args.text.tokens.is_some(), ExportOption::Text),
        ("--vocabulary", args.text.vocabulary.is_some(), ExportOption::Text),
        ("--model", args.model.is_given(), ExportOption::Model),
        ("--splits", args.splits.is_some(), ExportOption::Splits),
        ("--padding", args.padding.is_some(), ExportOption::Padding),
    ];
    for (name, given, option) in options {
        if given && !option.is_for(args.to.tool(), encoding(args)) {
            return Err(Failure::Usage(format!("{name}: of use for {} alone; leave it out", option.tools())));
        }
    }
    Ok(())
}

/// An encoder, fitted to the activations if these can be found.
fn encoder(
    args: &ExportArgs,
    record: &FitRecord,
    fit: &ScaledFit,
    reporter: &Reporter,
) -> Result<AffineEncoder, Failure> {
    let found = source::open(&args.fit, record, &args.activations, &args.choice, "--activations FILE");
    let set = match (args.activations.as_slice(), found) {
        ([path, ..], found) => {
            let found = found?;
            if !found.fitted {
                return Err(Failure::Usage(format!(
                    "--activations {}: these are not the activations of the fit {} (their fingerprint differs); give those \
                     that were fitted, or leave the option out",
                    path.display(),
                    args.fit.display()
                )));
            }
            Some(found.source)
        }
        ([], Ok(found)) => Some(found.source),
        ([], Err(problem)) => {
            log::warn!(
                "{problem}. Without them the encoder is the pseudo-inverse of the features, which is further from the fit than one \
                 fitted to activations"
            );
            None
        }
    };
    if let Some(set) = &set {
        reporter.stage(&format!("fitting an encoder to {}", set.names()));
    }
    let source = set.as_ref().map(|set| set as &dyn unmix::ActivationSource);
    let encoder = affine_encoder(fit, source)?;
    set.as_ref().map_or(Ok(()), ActivationSet::check_untouched)?;
    Ok(encoder)
}

fn as_json(
    args: &ExportArgs,
    model: Option<&str>,
    layer: Option<u32>,
    files: &[WrittenFile],
    report: Option<&EncoderReport>,
) -> Value {
    json!({
        "fit": output::json_path(&args.fit),
        "to": args.to.tool().name(),
        "out": output::json_path(&args.out),
        "model": model,
        "layer": layer,
        "scale": SCALE,
        "files": files,
        "encoder": report,
    })
}

fn as_text(
    args: &ExportArgs,
    site: &Site,
    layer: Option<u32>,
    fit: &ScaledFit,
    files: &[WrittenFile],
    report: Option<&EncoderReport>,
) -> String {
    let mut table = Table::new(&["", ">"]);
    for file in files {
        table.row(vec![args.out.join(&file.name).display().to_string(), bytes(file.bytes)]);
    }
    let mut text = table.render(Style::stdout());
    text.push_str(&format!("\n{} features of unit norm; the scale is in the coefficients.\n", fit.rank()));
    if let (None, Some(model)) = (&args.model_name, &site.model) {
        text.push_str(&format!(
            "The model is named {model}, as in the files of the activations; --model-name NAME gives it another name.\n"
        ));
    }
    if let Some(report) = report {
        let fitted = format!("{:.4}", report.fit_relative_error);
        text.push_str(&match (report.relative_error, report.mean_active) {
            (Some(error), Some(active)) => format!(
                "Relative error of the affine encoder {error:.4}, of the fit {fitted}; features active a token {active:.1} and \
                 {:.1}.\n",
                report.fit_mean_active
            ),
            _ => format!(
                "The encoder is the pseudo-inverse of the features, since the activations were not at hand: its error is not \
                 known;\nthat of the fit is {fitted}. --activations FILE fits an encoder.\n"
            ),
        });
    }
    text.push('\n');
    text.push_str(&snippet(args.to.tool(), &args.out, layer));
    text
}
