//! The links from each fit to the next, as files.

use std::path::Path;

use unmix_data::{OwnFile, write_file};
use unmix_interpret::links::{FeatureGraph, Measure, NamedFit, render};

use super::fit::Fit;
use crate::failure::Failure;

/// Words that name a feature.
const WORDS: usize = 5;

/// Links as JSON among other files, as serde_json lays them out.
pub const OWN: OwnFile = OwnFile { name: "a file of links", mark: "{\n  \"fits\": [\n    {\n      \"name\": " };

/// Where the links are written.
pub struct Targets<'a> {
    /// The page.
    pub page: Option<&'a Path>,
    /// The links as JSON.
    pub graph: Option<&'a Path>,
    /// Whether earlier files are replaced.
    pub force: bool,
}

impl Targets<'_> {
    fn is_none(&self) -> bool {
        self.page.is_none() && self.graph.is_none()
    }

    /// Refuses neighbouring fits that have nothing by which they could be linked.
    pub fn check(&self, fits: &[Fit<'_>], measure: Option<Measure>) -> Result<(), Failure> {
        let is_apart = |a: &Fit<'_>, b: &Fit<'_>| measure.is_none() && Measure::between(&a.record, &b.record).is_none();
        let apart = fits.iter().zip(fits.iter().skip(1)).find(|(first, second)| is_apart(first, second));
        match apart {
            Some((first, second)) if !self.is_none() => {
                let [own, next] = Measure::neurons_in_words(&first.record, &second.record);
                Err(Failure::Usage(format!(
                    "--page, --graph: {} is over {own}, and {}, which follows it, is over {next} and of other tokens; give fits \
                     in an order in which neighbours have the neurons or the tokens in common",
                    first.path.display(),
                    second.path.display()
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Writes what was asked for, and says so.
pub fn write(targets: &Targets<'_>, fits: &[Fit<'_>], measure: Option<Measure>) -> Result<String, Failure> {
    let mut told = String::new();
    if targets.is_none() {
        return Ok(told);
    }
    let named: Vec<NamedFit<'_>> = fits
        .iter()
        .map(|fit| NamedFit {
            name: name(fit, fits),
            record: &fit.record,
            words: fit.words.as_ref().map(|words| words.words(WORDS)),
        })
        .collect();
    let graph = FeatureGraph::of(&named, measure)?;
    if let Some(file) = targets.graph {
        let json = serde_json::to_vec_pretty(&graph).map_err(|error| Failure::Output(error.into()))?;
        write_file(file, targets.force, |out| out.write_all(&json))?;
        told += &format!("\nThe links are in {}.\n", file.display());
    }
    if let Some(file) = targets.page {
        let names: Vec<&str> = graph.fits.iter().map(|fit| fit.name.as_str()).collect();
        let page = render(&graph, &format!("Features of {}", names.join(", ")));
        write_file(file, targets.force, |out| out.write_all(page.as_bytes()))?;
        told += &format!("\nOpen {} in a browser.\n", file.display());
    }
    Ok(told)
}

/// The name of a fit's folder, or its path if another fit has the same name.
fn name(fit: &Fit<'_>, fits: &[Fit<'_>]) -> String {
    let of = |fit: &Fit<'_>| {
        let path = std::path::absolute(fit.path).unwrap_or_else(|_| fit.path.to_owned());
        path.file_name().map(|name| name.to_string_lossy().into_owned())
    };
    let own = of(fit);
    let is_shared = fits.iter().filter(|other| of(other) == own).count() > 1;
    own.filter(|_| !is_shared).unwrap_or_else(|| fit.path.display().to_string())
}
