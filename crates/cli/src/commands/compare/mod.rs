//! `unmix compare`: how much two or more fits have in common.

mod comparison;
mod fit;
mod graph;
mod in_json;
mod text;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use unmix_data::check_own_file_target;
use unmix_interpret::check_page_target;
use unmix_interpret::links::Measure;

use self::comparison::Compared;
use self::fit::Fit;
use self::graph::Targets;
use self::in_json::in_json;
use crate::failure::Failure;
use crate::output::{self, Style};
use crate::shared_args::SharedArgs;
use crate::token_text::TextArgs;

/// Compare the features of fits: how stable are they?
///
/// Matches the features of each fit with those of the first one to one, so that the sum of their cosines is largest.
/// Fits of the same activations with other seeds show which features are there whatever the start. Fits with other
/// options show what the options change. A feature that points the opposite way is another feature, because
/// coefficients are never negative. So only pairs with a cosine above 0 are counterparts.
///
/// The neurons of two layers have nothing to do with one another. If the fits are of different activations of the same
/// tokens, features are compared by the correlation of their coefficients instead of the cosine. If tokens were left out,
/// those that both fits have are compared.
///
/// Chance is what the same matching gives if each neuron's weights are shuffled among the features of the other fit, or
/// the tokens are.
///
/// --page and --graph link each fit to the next, in the order in which they are given: ranks from small to large, or
/// layers from the first to the last. They show which features persist, split and merge.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix compare fit-seed-0 fit-seed-1 fit-seed-2
  unmix compare fit-100 fit-200 --vocabulary tokenizer.json --top 20
  unmix compare fit-50 fit-100 fit-200 --vocabulary tokenizer.json --page ranks.html
  unmix compare layer-10 layer-12 layer-14 --vocabulary tokenizer.json --page layers.html")]
pub struct CompareArgs {
    /// The folder of the fit that the others are compared with, as `unmix fit` wrote it
    #[arg(value_name = "FIT")]
    pub fit: PathBuf,

    /// The folders of one or more other fits, over the same neurons or of the same tokens
    #[arg(value_name = "OTHER", required = true)]
    pub others: Vec<PathBuf>,

    #[command(flatten)]
    pub text: TextArgs,

    /// Pairs shown for each matching; --json has them all
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub top: usize,

    /// By what features are compared [default: cosine for fits of one layer, correlation for different activations of the same
    /// tokens]
    #[arg(long, value_enum, value_name = "HOW")]
    pub by: Option<MeasureOption>,

    /// Write a page that shows how features persist, split and merge from each fit to the next
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,

    /// Write the links from each fit to the next as JSON
    #[arg(long, value_name = "FILE")]
    pub graph: Option<PathBuf>,

    /// Replace an earlier page and earlier links of these names
    #[arg(long)]
    pub force: bool,
}

/// By what features are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MeasureOption {
    /// The cosine of the features; the fits must be over the same neurons
    Cosine,
    /// The correlation of the coefficients; the fits must be of the same tokens
    Correlation,
}

impl MeasureOption {
    fn measure(self) -> Measure {
        match self {
            MeasureOption::Cosine => Measure::Cosine,
            MeasureOption::Correlation => Measure::Correlation,
        }
    }
}

/// Where a file is or will be, however its path is written.
fn place(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    file.file_name().map_or_else(|| folder.clone(), |name| folder.join(name))
}

/// Runs the command.
pub fn run(args: &CompareArgs, shared: &SharedArgs) -> Result<(), Failure> {
    if let Some(page) = &args.page {
        check_page_target(page, args.force)?;
    }
    if let Some(graph) = &args.graph {
        check_own_file_target(graph, args.force, &graph::OWN)?;
    }
    if let (Some(page), Some(graph)) = (&args.page, &args.graph)
        && place(page) == place(graph)
    {
        return Err(Failure::Usage(format!(
            "--page and --graph both name {}, and a file holds only one of them; give two names",
            page.display()
        )));
    }
    let fits = std::iter::once(&args.fit).chain(&args.others);
    let fits = fits.map(|path| fit::read(path, &args.text)).collect::<Result<Vec<Fit<'_>>, _>>()?;
    let (first, others) = (&fits[0], &fits[1..]);
    let measure = args.by.map(MeasureOption::measure);
    let targets = Targets { page: args.page.as_deref(), graph: args.graph.as_deref(), force: args.force };
    targets.check(&fits, measure)?;
    let comparisons =
        others.iter().map(|fit| Compared::of(first, fit, measure)).collect::<Result<Vec<_>, Failure>>()?;
    let written = graph::write(&targets, &fits, measure)?;
    if shared.json {
        return output::print_json(&json!({
            "fit": output::json_path(&args.fit),
            "relative_error": first.record.run.summary.relative_error,
            "compared_with": comparisons.iter().map(|comparison| in_json(first, comparison)).collect::<Vec<_>>(),
        }));
    }
    let style = Style::stdout();
    let mut out = text::table(first, &comparisons).render(style);
    out.push('\n');
    for comparison in &comparisons {
        out.push_str(&text::sentences(comparison));
    }
    for comparison in &comparisons {
        out.push_str(&text::pairs(first, comparison, args.top, style));
    }
    out.push_str(&written);
    if first.words.is_none() {
        out.push_str("\n--vocabulary FILE or --tokens FILE shows the words of each feature.\n");
    }
    output::print(&out)
}
