//! `unmix tree`: how the features of a fit nest.

use std::path::PathBuf;

use clap::Args;
use unmix::FeatureStatistics;
use unmix_data::{FitRecord, OwnFile, check_own_file_target, read_fit, write_file};
use unmix_interpret::{Hierarchy, HierarchyOptions, HierarchyWords, hierarchy, in_reading_order};

use crate::engine;
use crate::failure::Failure;
use crate::feature_table::reproducibility;
use crate::output::{self, Style, percent};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;
use crate::token_text::{TextArgs, hint, read_text};

/// Find how the features of a fit nest
///
/// Factorizes the features themselves with fewer and fewer ranks. The features of each level are the parents of those
/// below. A parent's words are those where its children are active together. Strength is how much of a child the parent
/// makes up (1: all of it).
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix tree fit --vocabulary vocab.json
  unmix tree fit --ranks 50,25,10 --tokens tokens.json --out tree.json")]
pub struct TreeArgs {
    /// The folder that `unmix fit` wrote
    #[arg(value_name = "DIR")]
    pub fit: PathBuf,

    #[command(flatten)]
    pub text: TextArgs,

    #[command(flatten)]
    pub options: HierarchyArgs,

    /// Also write the tree as JSON to this file
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Replace an earlier tree of that name
    #[arg(long)]
    pub force: bool,

    /// Words shown for each feature
    #[arg(long, default_value_t = 6, value_name = "N")]
    pub top: usize,
}

/// Options of the recursion.
#[derive(Clone, Debug, Args)]
pub struct HierarchyArgs {
    /// Number of features of each level, falling [default: a half, a quarter and an eighth of the fit's]
    #[arg(long, value_name = "K,K,…", value_delimiter = ',', help_heading = "Tree")]
    pub ranks: Vec<u32>,

    /// Show children of at least this share of the strongest child's strength
    #[arg(long, default_value_t = 0.3, value_name = "SHARE", value_parser = crate::number_args::share, allow_negative_numbers = true, help_heading = "Tree")]
    pub threshold: f64,

    /// Most children shown for a parent
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Tree")]
    pub most_children: usize,
}

impl HierarchyArgs {
    /// The options for a fit.
    pub fn options(&self, fit: &FitRecord) -> HierarchyOptions {
        let mut options = HierarchyOptions {
            threshold: self.threshold,
            most_children: self.most_children,
            seed: fit.run.seed,
            ..HierarchyOptions::new(fit.features.rows as u32)
        };
        if !self.ranks.is_empty() {
            options.ranks.clone_from(&self.ranks);
        }
        options
    }
}

/// A tree among other files, as serde_json lays it out.
const OWN: OwnFile = OwnFile { name: "a tree", mark: "{\n  \"options\": {\n    \"ranks\": [" };

/// Runs the command.
pub fn run(args: &TreeArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    if let Some(out) = &args.out {
        check_own_file_target(out, args.force, &OWN)?;
    }
    let record = read_fit(&args.fit)?;
    let fit = in_reading_order(&record);
    let (text, source) = read_text(&args.text, &fit, &args.fit)?;
    let engine = engine::open(&shared.engine, reporter)?;
    let options = args.options.options(&fit);
    if options.ranks.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: {} features are too few for levels above them; say which with --ranks",
            args.fit.display(),
            fit.features.rows
        )));
    }
    let kept = fit.run.summary.kept_per_feature;
    let tree = hierarchy(engine.as_ref(), &fit.features, kept, &options)?;
    let named = HierarchyWords::of(&fit, &text, &tree);
    if args.out.is_some() || shared.json {
        let value = named.summary(&fit, &tree, &options);
        if let Some(out) = &args.out {
            write_file(out, args.force, |out| {
                serde_json::to_writer_pretty(&mut *out, &value)?;
                out.write_all(b"\n")
            })?;
        }
        if shared.json {
            return output::print_json(&value);
        }
    }
    let mut out = render(&named, &tree, &fit.run.summary.feature_statistics, args.top);
    out.push_str(&format!(
        "\n{} features of the fit under {}. Strength: how much of a feature the parent makes up.{}\n",
        fit.features.rows,
        tree.levels.iter().map(|level| level.features.rows.to_string()).collect::<Vec<_>>().join(", "),
        if fit.run.summary.consensus.is_some() {
            " In brackets: its reproducibility, with ? if it is low."
        } else {
            ""
        },
    ));
    out.push_str(hint(source));
    output::print(&out)
}

/// The levels from the top down. Each parent has its children below it.
fn render(named: &HierarchyWords<'_>, tree: &Hierarchy, statistics: &[FeatureStatistics], most: usize) -> String {
    let words_of = |level, feature| named.words(level, feature, most).join(" · ");
    let style = Style::stdout();
    let width = output::width();
    let fitted = |line: String| console::truncate_str(&line, width, "…").into_owned() + "\n";
    let mut out = String::new();
    for (index, level) in tree.levels.iter().enumerate().rev() {
        let title = format!(
            "Level {}: {} features, {} of those below explained",
            index + 1,
            level.features.rows,
            percent(1.0 - level.relative_error)
        );
        out.push_str(&format!("{}{}\n", if out.is_empty() { "" } else { "\n" }, style.strong(&title)));
        let mut parents: Vec<usize> = (0..level.children.len()).filter(|&p| !level.children[p].is_empty()).collect();
        parents.sort_by_key(|&p| std::cmp::Reverse(level.children[p].len()));
        for parent in parents {
            let words = words_of(index + 1, parent);
            out.push_str(&fitted(format!("{}.{parent}  {}", index + 1, style.strong(&words))));
            for child in &level.children[parent] {
                let name =
                    if index == 0 { format!("#{}", child.feature) } else { format!("{index}.{}", child.feature) };
                let words = words_of(index, child.feature);
                let agreed = statistics.get(child.feature).filter(|_| index == 0).and_then(|s| s.reproducibility);
                let agreed = agreed.map_or_else(String::new, |mean| format!("  [{}]", reproducibility(mean)));
                out.push_str(&fitted(format!("  {:>6} {:.2}{agreed}  {words}", name, child.strength)));
            }
        }
    }
    out
}
