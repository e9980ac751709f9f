//! `unmix report`: everything about the features of a fit on one page.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use unmix_data::{FitRecord, PromptLabels, read_fit, write_file};
use unmix_interpret::concepts::{prompt_concepts, wider_concepts};
use unmix_interpret::links::Measure;
use unmix_interpret::report::{BesideParts, MatchedFit, ReportParts, assemble, match_fits, render};
use unmix_interpret::{Text, check_page_target, hierarchy, in_reading_order};

use crate::commands::concepts::{ScoreArgs, score};
use crate::commands::tree::HierarchyArgs;
use crate::engine;
use crate::failure::Failure;
use crate::health_lines;
use crate::model::ModelArgs;
use crate::output::{self, Style, Table, bytes};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;
use crate::token_text::{TextArgs, hint, read_text};

/// Write a page about the features: contexts, promoted tokens, concepts, tree, map
///
/// The page is one HTML file that needs no network and no other file. Give --vocabulary or --tokens for words, --model
/// for the tokens that features promote, and --labels for concepts.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix report fit --vocabulary tokenizer.json
  unmix report fit --vocabulary tokenizer.json --model SmolLM2-135M --layer 12 --labels labels.jsonl --out report.html
  unmix report fit-seed-0 --beside fit-seed-1 --vocabulary tokenizer.json")]
pub struct ReportArgs {
    /// The folder that `unmix fit` wrote
    #[arg(value_name = "DIR")]
    pub fit: PathBuf,

    /// File to write
    #[arg(long, short, default_value = "report.html", value_name = "FILE")]
    pub out: PathBuf,

    /// Replace an earlier page of that name
    #[arg(long)]
    pub force: bool,

    /// Title of the page [default: the name of the fit's folder]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,

    #[command(flatten)]
    pub text: TextArgs,

    /// The folder of another fit, to be read beside the first: its features are matched one to one with those of the first
    #[arg(long, value_name = "DIR")]
    pub beside: Option<PathBuf>,

    /// Most contexts for each feature where it is strongest
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub contexts: usize,

    /// Tokens of context on each side
    #[arg(long, default_value_t = 12, value_name = "W")]
    pub window: usize,

    /// Labels of the prompts (JSON, JSON lines or CSV), to score concepts
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,

    #[command(flatten)]
    pub score: ScoreArgs,

    #[command(flatten)]
    pub tree: HierarchyArgs,

    #[command(flatten)]
    pub model: ModelArgs,
}

/// Runs the command.
pub fn run(args: &ReportArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    check_page_target(&args.out, args.force)?;
    if let (None, Some(option)) = (&args.labels, args.score.choice.given()) {
        return Err(Failure::Usage(format!(
            "{option}: it chooses activations to score concepts on, and there are no labels; give them with --labels FILE, \
             or leave it out"
        )));
    }
    // An export names a layer without a model, so this is not a rule of the option itself.
    if args.model.layer.is_some() && !args.model.is_given() {
        return Err(Failure::Usage(
            "--layer: it chooses a layer of the model's weights, and there are none; give them with --model PATH, or leave it out"
                .to_owned(),
        ));
    }
    let as_fitted = read_fit(&args.fit)?;
    let fit = in_reading_order(&as_fitted);
    let (text, source) = read_text(&args.text, &fit, &args.fit)?;
    let labels = args.labels.as_deref().map(PromptLabels::read).transpose()?;
    let words = args.text.words()?;
    let other = args.beside.as_deref().map(|dir| read_beside(dir, &fit, args)).transpose()?;
    let options = args.tree.options(&fit);
    options.check(fit.features.rows as u32)?;
    let scored = match &labels {
        Some(labels) => {
            reporter.stage("scoring concepts");
            Some(score(&as_fitted, &args.fit, &args.score, labels)?)
        }
        None => None,
    };
    let lens = if args.model.is_given() {
        reporter.stage("reading what features promote");
        Some(
            args.model
                .readout(fit.features.columns, &fit.run.input.origin, &words)?
                .promoted_beyond_chance(&fit.features, &words)?,
        )
    } else {
        None
    };
    let tree = if options.ranks.is_empty() {
        shared.engine.refuse_gpu_for("`unmix report` without a tree")?;
        None
    } else {
        let engine = engine::open(&shared.engine, reporter)?;
        reporter.stage("finding how features nest");
        Some(hierarchy(engine.as_ref(), &fit.features, fit.run.summary.kept_per_feature, &options)?)
    };
    // Labels of other activations are about other prompts, which may have the same numbers.
    let of_the_fit = scored.as_ref().is_some_and(|scored| scored.fitted);
    let names = labels.as_ref().filter(|_| of_the_fit).and_then(|labels| prompt_concepts(labels, &fit));
    let parents = labels.as_ref().map(wider_concepts);
    let title = args.title.clone().unwrap_or_else(|| folder_name(&args.fit));
    let report = assemble(&ReportParts {
        title: &title,
        fit: &fit,
        text: &text,
        labels: names.as_deref(),
        scores: scored.as_ref().map(|scored| &scored.scores),
        parents: parents.as_ref(),
        lens: lens.as_ref().map(|(lens, chance)| (lens.as_slice(), *chance)),
        tree: tree.as_ref(),
        beside: other.as_ref().map(OtherFit::parts),
        contexts: args.contexts,
        window: args.window,
    });
    let page = render(&report);
    write_file(&args.out, args.force, |out| out.write_all(page.as_bytes()))?;

    if shared.json {
        return output::print_json(&json!({
            "out": output::json_path(&args.out),
            "bytes": page.len(),
            "features": report.features.len(),
            "words_from": source.name(),
            "lens": lens.is_some(),
            "concepts": report.concepts.len(),
            "beside": other.as_ref().map(|other| json!({
                "fit": args.beside.as_deref().map(output::json_path),
                "matched_by": other.matched.measure,
                "stability": other.matched.matching.stability(),
            })),
            "warnings": report.health.iter().filter(health_lines::is_warning).count(),
            "levels": report.tree.iter().map(|level| level.nodes.len()).collect::<Vec<_>>(),
        }));
    }
    let mut table = Table::new(&["", ""]);
    let mut fact = |name: &str, text: String| table.row(vec![name.to_owned(), text]);
    let shown = |there: bool, what: &str, how: &str| if there { what.to_owned() } else { format!("not shown; {how}") };
    fact("features", report.features.len().to_string());
    fact("words", if hint(source).is_empty() { "in contexts".to_owned() } else { hint(source).trim_end().to_owned() });
    let promote = report.features.iter().filter(|feature| !feature.promoted.is_empty()).count();
    let promoted = format!(
        "tokens through the model's weights; beyond chance for {promote} of {} features",
        report.features.len()
    );
    fact("promoted", shown(lens.is_some(), &promoted, "--model PATH gives the weights"));
    let named = report.features.iter().filter(|feature| feature.concepts.iter().any(|concept| concept.names)).count();
    let detected =
        format!("scored on labelled prompts; one stands beside {named} of {} features", report.features.len());
    fact("concepts", shown(scored.is_some(), &detected, "--labels FILE gives labels of the prompts"));
    if let Some(other) = &other {
        let matching = &other.matched.matching;
        fact(
            "beside",
            format!(
                "{}: {} features matched, mean {} {:.2}",
                other.title,
                matching.pairs.len(),
                other.matched.measure.name(),
                matching.stability()
            ),
        );
    }
    fact("page", format!("{} ({})", Style::stdout().strong(&args.out.display().to_string()), bytes(page.len() as u64)));
    fact("next", format!("open {} in a browser", args.out.display()));
    let warnings = health_lines::lines(report.health.iter().filter(health_lines::is_warning), output::width());
    output::print(&(table.render(Style::stdout()) + &warnings))
}

/// A fit that is read beside the first.
struct OtherFit {
    title: String,
    fit: FitRecord,
    text: Text,
    matched: MatchedFit,
}

impl OtherFit {
    fn parts(&self) -> BesideParts<'_> {
        BesideParts { title: &self.title, fit: &self.fit, text: &self.text, matched: &self.matched }
    }
}

/// Reads the fit in the folder `dir` and matches its features with those of `first`.
fn read_beside(dir: &Path, first: &FitRecord, args: &ReportArgs) -> Result<OtherFit, Failure> {
    let fit = in_reading_order(&read_fit(dir)?).into_owned();
    let (text, _) = read_text(&args.text, &fit, dir)?;
    let Some(matched) = match_fits(first, &fit)? else {
        let [other, own] = Measure::neurons_in_words(&fit, first);
        return Err(Failure::Usage(format!(
            "--beside {}: its fit is over {} tokens × {other}, that of {} over {} tokens × {own}; give a fit over the same neurons, \
             or over the same tokens",
            dir.display(),
            fit.coefficients.rows,
            args.fit.display(),
            first.coefficients.rows
        )));
    };
    Ok(OtherFit { title: folder_name(dir), fit, text, matched })
}

fn folder_name(path: &Path) -> String {
    let name = path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| path.display().to_string())
}
