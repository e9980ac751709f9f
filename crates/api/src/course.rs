//! The course of a fit: what the reports of its iterations have said.

use serde::{Deserialize, Serialize};
use unmix_kernels::Report;

use crate::{Error, Options, Progress, float_bits};

/// What the reports of the iterations have said so far. Losses are those of the scaled activations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Course {
    #[serde(with = "float_bits::list")]
    pub losses: Vec<f64>,
    /// The objective after each iteration. Empty if the coefficients are not penalized.
    #[serde(with = "float_bits::list")]
    pub objectives: Vec<f64>,
    /// Seconds from the beginning of the fit to the start of the iterations, and to the arrival of each loss.
    pub start_seconds: f64,
    pub seconds: Vec<f64>,
    /// The iteration (from 1) that is returned, its loss, and the uncertainty of that loss.
    pub best_iteration: u32,
    #[serde(with = "float_bits")]
    pub best_loss: f64,
    #[serde(with = "float_bits")]
    pub best_uncertainty: f64,
    /// Features that were revived: (iteration, feature).
    pub revived: Vec<(u32, u32)>,
    /// Features that are dead according to the latest report.
    pub dead: Vec<u32>,
}

impl Course {
    /// Adds the report of an iteration, with the sums of the penalty if there is one. Returns false if the iterate is not finite. Then
    /// nothing is added.
    pub fn take(
        &mut self,
        report: &Report,
        weighted_sums: Option<&[f32]>,
        options: &Options,
        squared_norm: f64,
    ) -> Result<bool, Error> {
        let loss = report.loss(squared_norm);
        if !loss.is_finite() {
            log::warn!("iteration {} has no finite loss", report.iteration + 1);
            if self.losses.is_empty() || !options.keep_best {
                let problem = format!("the loss of iteration {} is not finite", report.iteration + 1);
                return Err(Error::Unsound { problem });
            }
            return Ok(false);
        }
        self.losses.push(loss);
        if report.is_best || !options.keep_best || self.best_iteration == 0 {
            self.best_iteration = report.iteration + 1;
            (self.best_loss, self.best_uncertainty) = (loss, report.uncertainty);
        }
        // A report that is older than the revival of a feature must not cause another revival.
        let revived_since =
            |k| self.revived.iter().any(|&(iteration, feature)| feature == k && iteration > report.iteration + 1);
        self.dead =
            (0..options.rank).filter(|&k| report.column_energy[k as usize] == 0.0 && !revived_since(k)).collect();
        if let Some(sums) = weighted_sums {
            let penalty: f64 = sums.iter().map(|&s| f64::from(s)).sum();
            self.objectives.push(0.5 * loss + options.penalty * penalty);
        }
        Ok(true)
    }

    /// Whether what is minimized has fallen by less than the tolerance in the last `patience` iterations: the objective if the coefficients
    /// are penalized, and else the loss. The loss may rise while the objective falls.
    pub fn has_converged(&self, options: &Options) -> bool {
        let minimized = if self.objectives.is_empty() { &self.losses } else { &self.objectives };
        let Some(before) = minimized.len().checked_sub(options.patience as usize).filter(|&before| before > 0) else {
            return false;
        };
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let (old, new) = (least(&minimized[..before]), least(minimized));
        options.tolerance > 0.0 && old - new <= options.tolerance * old
    }

    /// The progress to tell the caller now. `before` is what the caller was told last.
    pub fn progress(&self, squared_norm: f64, before: &Progress) -> Progress {
        let relative = |loss: f64| if squared_norm > 0.0 { loss / squared_norm } else { 0.0 };
        Progress {
            iteration: self.losses.len() as u32,
            relative_error: self.losses.last().map_or(1.0, |&loss| relative(loss)),
            best_relative_error: self.losses.iter().fold(1.0, |least, &loss| relative(loss).min(least)),
            dead_features: self.dead.len() as u32,
            ..before.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SemiNmf;

    /// The iteration after which a fit by default stops whose losses are these.
    fn stops_after(losses: &[f64], objectives: &[f64]) -> Option<usize> {
        let options = SemiNmf::new(3).options(10);
        (1..=losses.len()).find(|&iterations| {
            let course = Course {
                losses: losses[..iterations].to_vec(),
                objectives: objectives.iter().copied().take(iterations).collect(),
                ..Course::default()
            };
            course.has_converged(&options)
        })
    }

    #[test]
    fn a_fit_goes_on_over_a_plateau_of_some_iterations_and_stops_at_a_long_one() {
        // As layer 20 of a language model with 50 features, by projected least squares: .6997, for seven iterations, then lower.
        let falls = [0.712, 0.7076, 0.7053, 0.7038, 0.7023, 0.7004];
        let plateau = [0.6997; 7];
        let again = [0.699, 0.6970, 0.6957, 0.694, 0.6932, 0.6926];
        let flat = [0.6925; 12];
        let losses = [&falls[..], &plateau, &again, &flat].concat();
        // Ten iterations after the error came within a thousandth of where it ends.
        assert_eq!(stops_after(&losses, &[]), Some(6 + 7 + 6 + 10));
        assert_eq!(stops_after(&losses[..19], &[]), None);
    }

    #[test]
    fn a_fit_with_a_penalty_stops_by_its_objective() {
        let rising: Vec<f64> = (0..30).map(|i| 1.0 + 0.01 * f64::from(i)).collect();
        let falling: Vec<f64> = (0..30).map(|i| 2.0 - 0.01 * f64::from(i)).collect();
        assert_eq!(stops_after(&rising, &falling), None);
        assert_eq!(stops_after(&rising, &[]), Some(11));
        assert_eq!(stops_after(&falling, &rising), Some(11));
    }

    #[test]
    fn with_a_tolerance_of_zero_a_fit_never_stops() {
        let options = SemiNmf::new(3).tolerance(0.0).options(10);
        assert!(!Course { losses: vec![1.0; 50], ..Course::default() }.has_converged(&options));
    }
}
