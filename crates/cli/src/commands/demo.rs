//! `unmix demo`: features of a small language model, from activations that are built into the program.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use serde_json::json;
use unmix::{ElementType, Engine, Factorization, HostActivations, SemiNmf};
use unmix_data::{FitRecord, InputRecord, Origin, PromptLabels, TokenColumns, TokenFilter, write_file};
use unmix_interpret::concepts::{ConceptLevel, Labelling, concept_scores, wider_concepts};
use unmix_interpret::report::{ReportParts, assemble, render};
use unmix_interpret::{
    Contexts, HierarchyOptions, Prompts, Text, check_page_target, contexts, hierarchy, named_words, word_contexts,
};

use crate::commands::concepts::PERMUTATIONS;
use crate::engine;
use crate::failure::Failure;
use crate::feature_table::{FeatureTable, OCCURRENCES};
use crate::output::{self, Style, percent};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;

/// See the features of a small language model, in seconds
///
/// Factorizes activations that come with the program: what the neurons of one MLP layer of SmolLM2-135M do while the
/// model reads 116 short texts about 24 subjects. The table shows what each feature reacts to: the words at which it is
/// strongest, in their contexts. The subjects of the texts played no part in finding the features. The report has the
/// same and more, on a page to open in a browser.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix demo
  unmix demo --all --top 4 | less")]
pub struct DemoArgs {
    /// Number of features
    #[arg(long, short = 'k', default_value_t = 120, value_name = "K")]
    pub rank: u32,

    /// Seed of the random start
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,

    /// Contexts shown for each feature
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub top: usize,

    /// Show all features
    #[arg(long)]
    pub all: bool,

    /// File for the report [default: unmix-demo.html in the folder for temporary files]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Replace an earlier page that --report names
    #[arg(long, requires = "report")]
    pub force: bool,
}

/// Safetensors data must begin at an even address, so that they can be read in place.
#[repr(C, align(16))]
struct Aligned<B: ?Sized>(B);

static ACTIVATIONS: &Aligned<[u8]> = &Aligned(*include_bytes!("../../data/demo/activations.safetensors"));
static TOKENS: &str = include_str!("../../data/demo/tokens.json");
static PROMPTS: &str = include_str!("../../data/demo/prompts.json");

/// The data that are built into the program.
struct Bundle {
    activations: HostActivations,
    tokens: Vec<String>,
    prompt_ids: Vec<i64>,
    labels: PromptLabels,
}

impl Bundle {
    fn open() -> Result<Bundle, Failure> {
        let broken =
            |what: &str| Failure::Check(format!("the built-in demo data are damaged ({what}); build unmix again"));
        let file = safetensors::SafeTensors::deserialize(&ACTIVATIONS.0).map_err(|e| broken(&e.to_string()))?;
        let tensor = |name| file.tensor(name).map_err(|e| broken(&e.to_string()));
        let (activations, ids) = (tensor("activations")?, tensor("prompt_ids")?);
        let &[tokens, neurons] = activations.shape() else { return Err(broken("shape")) };
        let bytes = Bytes::copy_from_slice(activations.data());
        let activations = HostActivations::from_bytes(bytes, ElementType::F16, tokens as u64, neurons as u64)?;
        let (ids, _) = ids.data().as_chunks::<4>();
        Ok(Bundle {
            activations,
            tokens: serde_json::from_str(TOKENS).map_err(|e| broken(&e.to_string()))?,
            prompt_ids: ids.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect(),
            labels: PromptLabels::from_bytes("prompts.json", PROMPTS.as_bytes())?,
        })
    }

    /// The fit as it would be in its folder.
    fn record(&self, fit: Factorization) -> FitRecord {
        let columns = TokenColumns { prompt_ids: Some(self.prompt_ids.clone()), ..Default::default() };
        let input = InputRecord {
            paths: vec!["SmolLM2-135M, layer 12".into()],
            stored_tokens: fit.summary.tokens,
            filter: TokenFilter::default(),
            origin: Origin::default(),
            tensor: None,
            fingerprint: String::new(),
            tokens: fit.summary.tokens,
            neurons: fit.summary.neurons.into(),
            element: ElementType::F16.name().to_owned(),
        };
        FitRecord::new(fit, columns, input)
    }

    fn write_report(
        &self,
        path: &Path,
        fit: &FitRecord,
        text: &Text,
        engine: &dyn Engine,
        force: bool,
    ) -> Result<(), Failure> {
        let labelling = Labelling::new(&self.labels, &self.prompt_ids, NEUTRAL, ConceptLevel::Concept)?;
        let scores = concept_scores(&self.activations, &labelling, &fit.features, None, PERMUTATIONS, 0)?;
        let kept = fit.run.summary.kept_per_feature;
        let tree = hierarchy(engine, &fit.features, kept, &HierarchyOptions::new(fit.features.rows as u32))?;
        let names: Vec<String> = (0..self.prompt_ids.len()).map(|row| self.concept(row).to_owned()).collect();
        let page = render(&assemble(&ReportParts {
            title: "SmolLM2-135M, layer 12, over 116 short texts",
            fit,
            text,
            labels: Some(&names),
            scores: Some(&scores),
            parents: Some(&wider_concepts(&self.labels)),
            lens: None,
            tree: Some(&tree),
            beside: None,
            contexts: 20,
            window: 12,
        }));
        Ok(write_file(path, force, |out| out.write_all(page.as_bytes()))?)
    }

    /// The concept of the text to which a row belongs.
    fn concept(&self, row: usize) -> &str {
        let entry = self.labels.entry(self.prompt_ids[row]);
        entry.map_or("?", |entry| self.labels.label(entry).concept)
    }

    /// The most common concept among a feature's strongest words.
    fn hint(&self, contexts: &Contexts) -> Hint<'_> {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for concept in contexts.occurrences.iter().map(|occurrence| self.concept(occurrence.row)) {
            match counts.iter_mut().find(|(name, _)| *name == concept) {
                Some((_, count)) => *count += 1,
                None => counts.push((concept, 1)),
            }
        }
        // Of equals, the one that was met first, because it has the stronger words.
        let (concept, count) = counts.iter().rev().max_by_key(|(_, count)| *count).copied().unwrap_or((NEUTRAL, 0));
        Hint { concept, count, of: contexts.occurrences.len(), spellings: contexts.spellings.len() }
    }
}

/// What a feature may be about, according to the labels of the texts.
struct Hint<'a> {
    concept: &'a str,
    /// How many of the feature's strongest words are in texts of that concept.
    count: usize,
    /// How many words were looked at, and how many of them are different.
    of: usize,
    spellings: usize,
}

impl Hint<'_> {
    fn is_subject(&self) -> bool {
        self.concept != NEUTRAL && self.count >= SUBJECT_FROM && self.spellings >= 4
    }

    fn words(&self) -> String {
        if self.concept == NEUTRAL || self.count < HINT_FROM {
            return "·".to_owned();
        }
        format!("{} {}/{}", self.concept.replace('_', " "), self.count, self.of)
    }
}

/// Features shown beside those of a subject.
const OTHERS: usize = 15;
/// A concept is shown if at least this many of the strongest words belong to it. By chance it would be one or two.
const HINT_FROM: usize = 4;
/// From this many on, a feature counts as one of that concept.
const SUBJECT_FROM: usize = 5;
/// The label of texts about nothing in particular.
const NEUTRAL: &str = "neutral";

/// Runs the command.
pub fn run(args: &DemoArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    if let Some(report) = &args.report {
        check_page_target(report, args.force)?;
    }
    let bundle = Bundle::open()?;
    let engine = engine::open(&shared.engine, reporter)?;
    let activations = engine.load(&bundle.activations)?;
    let builder = SemiNmf::new(args.rank).seed(args.seed);
    reporter.fit_starts(&builder.options(activations.layout().neurons));
    let fit = builder.fit_with(engine.as_ref(), &activations, |progress| {
        reporter.fit_progress(progress);
        ControlFlow::Continue(())
    });
    reporter.fit_ends();
    let fit = fit?;

    let text = Text::new(&bundle.tokens, Prompts::new(bundle.tokens.len(), Some(&bundle.prompt_ids), None));
    let found = contexts(&fit.coefficients, &text, OCCURRENCES);
    let hints: Vec<Hint> = found.iter().map(|contexts| bundle.hint(contexts)).collect();
    let statistics = fit.summary.feature_statistics.clone();
    let mut order: Vec<usize> = (0..fit.features.rows).collect();
    order.sort_by(|&a, &b| statistics[b].explained_share.total_cmp(&statistics[a].explained_share));

    let record = bundle.record(fit);
    // The default name belongs to the demo, so it may be replaced.
    let force = args.force || args.report.is_none();
    let (fit, report) = (&record, args.report.clone().unwrap_or_else(|| std::env::temp_dir().join("unmix-demo.html")));
    let report = match bundle.write_report(&report, fit, &text, engine.as_ref(), force) {
        Ok(()) => Some(report),
        // If --report names the file, failing to write it is a failure. Otherwise there is still the table.
        Err(problem) if args.report.is_some() => return Err(problem),
        Err(problem) => {
            log::warn!("no report: {problem}; say where to write it with --report FILE");
            None
        }
    };
    if shared.json {
        let features: Vec<_> = order
            .iter()
            .map(|&k| {
                json!({
                    "feature": k,
                    "statistics": statistics[k],
                    "concept": {"name": hints[k].concept, "count": hints[k].count, "of": hints[k].of},
                    "words": named_words(&found[k], &text),
                    "contexts": word_contexts(fit, &text, k, &found[k], 8),
                })
            })
            .collect();
        return output::print_json(
            &json!({"run": fit.run.summary, "features": features, "report": report.as_deref().map(output::json_path)}),
        );
    }
    let shown: Vec<String> = hints.iter().map(Hint::words).collect();
    let style = Style::stdout();
    let table = FeatureTable {
        summary: &fit.run.summary,
        text: &text,
        contexts: &found,
        hints: Some(&shown),
        neurons: None,
        top: args.top,
        words: usize::MAX,
        width: output::width(),
        style,
    };
    let (mut subjects, others): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|&k| hints[k].is_subject());
    // The sort is stable, so that equals stay in the order of their variance.
    subjects.sort_by_key(|&k| Reverse(hints[k].count));
    let clear = |k: &usize| {
        let contexts = &found[*k];
        let mut prompts: Vec<usize> = contexts.occurrences.iter().map(|o| text.prompt(o.row).start).collect();
        prompts.sort_unstable();
        prompts.dedup();
        contexts.spellings.len() >= 6 && prompts.len() >= 7 && statistics[*k].active_share <= 0.05
    };
    let rest: Vec<usize> = if args.all { others } else { others.into_iter().filter(clear).take(OTHERS).collect() };
    let s = &fit.run.summary;
    let mut out = format!(
        "What layer 12 of SmolLM2-135M does while it reads 116 short texts ({} tokens × {} neurons):\n\
         {} features, each of {} neurons, explain {} of it. {}\n",
        output::thousands(s.tokens),
        output::thousands(s.neurons.into()),
        s.options.rank,
        s.kept_per_feature,
        percent(1.0 - s.relative_error),
        if args.all { "All of them:" } else { "Some that are easy to read:" },
    );
    let mut section = |title: &str, features: &[usize]| {
        if !features.is_empty() {
            out.push_str(&format!("\n{}\n{}", style.strong(title), table.render(features)));
        }
    };
    section("Features of a subject", &subjects);
    section(if args.all { "All others" } else { "Features of a kind of word, or of a place in the sentence" }, &rest);
    out.push_str(&format!(
        "\n\
         variance  by how much the error would grow without the feature\n\
         active    share of tokens that use it\n\
         concept   subject of most of the {OCCURRENCES} strongest words, by labels of the texts that the fit never saw\n\
         words     strongest first, «marked» in the texts; ×n: n of the {OCCURRENCES} strongest\n\n\
         {}\
         {}\
         Your own:\n  unmix inspect FILE.safetensors\n  unmix fit FILE.safetensors --rank 100 --out fit\n  \
         unmix features fit --vocabulary tokenizer.json\n  \
         unmix report fit --vocabulary tokenizer.json --out report.html\n",
        if args.all { "" } else { "All features: unmix demo --all\n" },
        report.map_or_else(String::new, |report| {
            style.strong(&format!("Report, to open in a browser: {}", report.display())) + "\n\n"
        }),
    ));
    output::print(&out)
}
