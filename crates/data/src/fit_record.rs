//! A fit as it is stored in its folder.

use serde::{Deserialize, Serialize};
use unmix::{DenseMatrix, Factorization, FitSummary};

use crate::finite::check_matrix;
use crate::{Error, InputRecord, TokenColumns};

/// Version of the folder's files. It is raised when an older unmix would misread them.
pub const FORMAT_VERSION: u32 = 1;

/// A factorization, the tokens that it is about, and how it was made.
#[derive(Clone, Debug)]
pub struct FitRecord {
    /// Features Z, [K, d].
    pub features: DenseMatrix,
    /// Coefficients Y ≥ 0, [n, K].
    pub coefficients: DenseMatrix,
    /// Columns of the tokens, n entries each.
    pub columns: TokenColumns,
    /// Everything that `run.json` holds.
    pub run: RunRecord,
}

/// The content of `run.json`: the fit's summary, whose fields are at the top level, and what is needed to repeat the
/// fit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRecord {
    /// Version of the folder's files, [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of unmix that wrote it.
    pub unmix_version: String,
    /// Command line, beginning with the program, if the fit came from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<Vec<String>>,
    /// Seed of everything random. The options have the same one.
    pub seed: u64,
    /// Where the activations came from.
    pub input: InputRecord,
    /// Most memory that the process held, in bytes, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// How the fit went, with its options.
    #[serde(flatten)]
    pub summary: FitSummary,
}

impl RunRecord {
    /// Reads what serializing a record wrote. The text is read twice, field by field. To separate the summary's fields
    /// from the others in one pass, serde would keep all of them as values first, which takes many times the size of
    /// the text.
    ///
    /// # Errors
    /// If the text is something else.
    pub fn parse(text: &[u8]) -> serde_json::Result<RunRecord> {
        #[derive(Deserialize)]
        struct Own {
            format_version: u32,
            unmix_version: String,
            command_line: Option<Vec<String>>,
            seed: u64,
            input: InputRecord,
            peak_memory_bytes: Option<u64>,
        }

        let summary: FitSummary = serde_json::from_slice(text)?;
        let Own { format_version, unmix_version, command_line, seed, input, peak_memory_bytes } =
            serde_json::from_slice(text)?;
        Ok(RunRecord { format_version, unmix_version, command_line, seed, input, peak_memory_bytes, summary })
    }
}

impl FitRecord {
    /// A record of a fresh fit by this version of unmix, without command line and memory.
    pub fn new(factorization: Factorization, columns: TokenColumns, input: InputRecord) -> FitRecord {
        let Factorization { features, coefficients, summary } = factorization;
        let run = RunRecord {
            format_version: FORMAT_VERSION,
            unmix_version: env!("CARGO_PKG_VERSION").to_owned(),
            command_line: None,
            seed: summary.options.seed,
            input,
            peak_memory_bytes: None,
            summary,
        };
        FitRecord { features, coefficients, columns, run }
    }

    /// Refuses parts of different sizes or without any content, values that are not finite, and negative coefficients.
    /// So every reader of a fit can rely on a row of statistics for each feature, and an entry of each column for each
    /// token.
    ///
    /// # Errors
    /// [`Error::Inconsistent`], or [`Error::NotFiniteMatrix`].
    pub fn check(&self) -> Result<(), Error> {
        let (summary, shape) = (&self.run.summary, |m: &DenseMatrix| format!("{} × {}", m.rows, m.columns));
        let inconsistent = |what: &str, found: String, expected: String| {
            Err(Error::Inconsistent { what: what.to_owned(), found, expected })
        };
        for (what, matrix) in [("the features matrix", &self.features), ("the coefficients matrix", &self.coefficients)]
        {
            if matrix.rows.checked_mul(matrix.columns) != Some(matrix.values.len()) {
                return inconsistent(what, shape(matrix), format!("it has {} values", matrix.values.len()));
            }
        }
        if self.features.values.is_empty() || self.coefficients.values.is_empty() {
            let found = format!("of {} and {}", shape(&self.features), shape(&self.coefficients));
            return inconsistent("a fit", found, "it needs a token, a neuron and a feature at least".to_owned());
        }
        if self.features.rows as u64 != u64::from(summary.options.rank)
            || self.features.columns as u64 != u64::from(summary.neurons)
        {
            let expected = format!("the run has rank {} and {} neurons", summary.options.rank, summary.neurons);
            return inconsistent("the features matrix", shape(&self.features), expected);
        }
        if self.coefficients.rows as u64 != summary.tokens || self.coefficients.columns != self.features.rows {
            let expected = format!("the run has {} tokens and rank {}", summary.tokens, summary.options.rank);
            return inconsistent("the coefficients matrix", shape(&self.coefficients), expected);
        }
        if (self.run.input.tokens, self.run.input.neurons) != (summary.tokens, u64::from(summary.neurons)) {
            let found = format!("{} × {}", self.run.input.tokens, self.run.input.neurons);
            return inconsistent(
                "the recorded input",
                found,
                format!("the run has {} tokens and {} neurons", summary.tokens, summary.neurons),
            );
        }
        let rank = self.features.rows;
        if summary.feature_statistics.len() != rank {
            let found = format!("of {} features", summary.feature_statistics.len());
            return inconsistent("the list of statistics", found, format!("there are {rank} features"));
        }
        if let Some(dead) = summary.dead_features.iter().find(|&&k| k as usize >= rank) {
            return inconsistent(
                "a dead feature",
                format!("number {dead}"),
                format!("there are {rank} features, numbered from 0"),
            );
        }
        for (name, column) in self.columns.present() {
            if column.len() as u64 != summary.tokens {
                let found = format!("{} entries long", column.len());
                return inconsistent(
                    &format!("the column {name}"),
                    found,
                    format!("the run has {} tokens", summary.tokens),
                );
            }
        }
        self.check_rows()?;
        check_matrix("the features", &self.features)?;
        check_matrix("the coefficients", &self.coefficients)?;
        if let Some(i) = self.coefficients.values.iter().position(|&v| v < 0.0) {
            let (row, column) = (i / self.coefficients.columns, i % self.coefficients.columns);
            let found = format!("{}", self.coefficients.values[i]);
            return inconsistent(
                &format!("the coefficient of token {row}, feature {column}"),
                found,
                "coefficients are never negative".to_owned(),
            );
        }
        // JSON has no NaN: it would be written as null and could not be read back.
        let shares = summary
            .feature_statistics
            .iter()
            .flat_map(|s| [s.explained_share, s.energy_share, s.active_share, s.norm, f64::from(s.max_coefficient)]);
        let agreement = summary.feature_statistics.iter().filter_map(|s| s.reproducibility);
        let mut agreement = agreement.chain(summary.consensus.iter().map(|consensus| consensus.stability));
        if let Some(outside) = agreement.find(|mean| !(0.0..=1.0).contains(mean)) {
            return inconsistent(
                "a feature's reproducibility, or the stability of the runs",
                outside.to_string(),
                "mean cosines of matches are from 0 to 1".to_owned(),
            );
        }
        let numbers = [summary.relative_error].into_iter().chain(summary.loss_curve.iter().copied());
        let numbers = numbers.chain(shares);
        if numbers.into_iter().any(|number| !number.is_finite()) {
            return inconsistent(
                "the relative error, a loss or a feature's statistics",
                "not finite".to_owned(),
                "a fit's error is a number".to_owned(),
            );
        }
        Ok(())
    }

    /// Refuses rows that the tokens cannot have had in the activations' files.
    fn check_rows(&self) -> Result<(), Error> {
        let (tokens, stored) = (self.run.input.tokens, self.run.input.stored_tokens);
        let inconsistent = |found: String, expected: String| {
            Err(Error::Inconsistent { what: "the column rows".to_owned(), found, expected })
        };
        let Some(rows) = &self.columns.rows else {
            if tokens == stored {
                return Ok(());
            }
            return inconsistent("missing".to_owned(), format!("{tokens} of {stored} rows were kept"));
        };
        let ascend = rows.windows(2).all(|pair| pair[0] < pair[1]);
        match rows.as_slice() {
            [] => Ok(()),
            &[first, ..] if ascend && first >= 0 && rows.last().is_some_and(|&last| (last as u64) < stored) => Ok(()),
            &[first, .., last] => {
                inconsistent(format!("from {first} to {last}"), format!("it ascends from 0 on, below {stored}"))
            }
            &[only] => inconsistent(only.to_string(), format!("it is below {stored}")),
        }
    }
}
