//! A look at activations before they are factorized.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;
use unmix::{ActivationSource, OutlierTokens};

use crate::panels::{PanelBuffer, Panels};
use crate::{ActivationFile, ActivationSet, Error, Format, LeftOut, TensorInfo};

/// The shape of activations, and how their numbers are spread. Values that are not finite do not count in the
/// statistics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The files, in order.
    pub files: Vec<InspectedFile>,
    /// Rows of all files, including those that are left out.
    pub stored_tokens: u64,
    /// How many rows are left out, and why.
    pub left_out: LeftOut,
    /// Tokens n.
    pub tokens: u64,
    /// Neurons d.
    pub neurons: u64,
    /// Bytes of the tensors in the files.
    pub stored_bytes: u64,
    /// Type that the engine sees: `f32`, `f16` or `bf16`.
    pub element: &'static str,
    /// Columns of the tokens.
    pub token_columns: Vec<&'static str>,
    /// Share of elements below zero.
    pub negative_share: f64,
    /// Share of elements that are zero.
    pub zero_share: f64,
    /// ‖X‖², the total energy.
    pub squared_norm: f64,
    /// Euclidean norms of the rows.
    pub token_norms: NormSummary,
    /// Largest |x|.
    pub max_abs: f64,
    /// Whether all values are in the range of f16, ±65,504, so that f16 could hold them.
    pub fits_f16: bool,
    /// Values that are NaN or infinite.
    pub non_finite: NonFinite,
    /// The neurons with the most energy, strongest first, at most five.
    pub outlier_neurons: Vec<EnergyShare>,
    /// The token with the most energy.
    pub strongest_token: EnergyShare,
    /// Tokens with more than ten times the median norm.
    pub outlier_tokens: OutlierTokens,
}

/// A file of activations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedFile {
    /// The file. In JSON, replacement characters stand for what is not UTF-8 in its path.
    #[serde(serialize_with = "crate::lossy_path::serialize")]
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// Name of the tensor of activations. Absent for npy files.
    pub tensor: Option<String>,
    /// All tensors of the file.
    pub tensors: Vec<TensorInfo>,
    /// The file's key-value metadata.
    pub metadata: BTreeMap<String, String>,
    /// Rows of the tensor of activations.
    pub tokens: u64,
    /// Number of sequences and their length, if the tensor is a batch of sequences.
    pub batch: Option<[u64; 2]>,
    /// Type of the tensor's numbers in the file.
    pub stored_dtype: String,
    /// Bytes of the tensor in the file.
    pub stored_bytes: u64,
    /// Whether the file holds the matrix one column after the other.
    pub fortran_order: bool,
}

impl InspectedFile {
    fn of(file: &ActivationFile) -> Self {
        InspectedFile {
            path: file.path().to_owned(),
            format: file.format(),
            tensor: file.tensor().map(str::to_owned),
            tensors: file.tensors(),
            metadata: file.metadata().clone(),
            tokens: file.tokens(),
            batch: file.batch(),
            stored_dtype: file.stored_dtype().to_owned(),
            stored_bytes: file.stored_bytes(),
            fortran_order: file.is_fortran_order(),
        }
    }
}

/// Norms in four numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct NormSummary {
    /// Smallest.
    pub min: f64,
    /// Median. If the number of tokens is even, it is the mean of the two in the middle.
    pub median: f64,
    /// Mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
}

/// How many values are NaN or infinite, and the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NonFinite {
    /// Their number.
    pub count: u64,
    /// (token, neuron) of the first in row order.
    pub first: Option<(u64, u64)>,
}

/// A row or a column and its share of ‖X‖².
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EnergyShare {
    /// Index of the token or neuron.
    pub index: u64,
    /// Its share of the total energy, or 0 if everything is zero.
    pub share: f64,
}

/// Reads all of the activations once, on all cores, with sums in f64. The same activations give the same numbers on any
/// number of cores.
///
/// # Errors
/// If they cannot be read.
pub fn inspect(activations: &ActivationSet) -> Result<Inspection, Error> {
    let (tokens, neurons, element) = (activations.tokens(), activations.neurons(), activations.element());
    let panels = Panels::new(activations);
    // The cut is the same on every machine, so that sums do not depend on the machine. There are few parts, because
    // each holds a sum for every neuron.
    let part_rows = tokens.div_ceil(64);
    let parts = (0..tokens.div_ceil(part_rows))
        .into_par_iter()
        .map(|part| {
            let start = part * part_rows;
            Part::read(&panels, start as usize..(start + part_rows).min(tokens) as usize)
        })
        .collect::<Result<Vec<_>, _>>()?;

    let mut total = Part::default();
    for part in parts {
        total.absorb(part);
    }
    let energy: f64 = total.neuron_energy.iter().sum();
    let share = |part: f64| if energy > 0.0 { part / energy } else { 0.0 };
    let count = tokens as f64 * neurons as f64;
    let strongest =
        |values: &[f64]| (0..values.len()).reduce(|a, b| if values[b] > values[a] { b } else { a }).unwrap_or(0);
    let token = strongest(&total.token_energy);
    let strongest_token =
        EnergyShare { index: activations.stored_row(token as u64), share: share(total.token_energy[token]) };

    let mut order: Vec<usize> = (0..total.neuron_energy.len()).collect();
    order.sort_by(|&a, &b| total.neuron_energy[b].total_cmp(&total.neuron_energy[a]).then(a.cmp(&b)));
    let outlier_neurons =
        order.iter().take(5).map(|&i| EnergyShare { index: i as u64, share: share(total.neuron_energy[i]) }).collect();

    let outlier_tokens = OutlierTokens::of(&total.token_energy);
    Ok(Inspection {
        files: activations.files().iter().map(InspectedFile::of).collect(),
        stored_tokens: activations.stored_tokens(),
        left_out: *activations.left_out(),
        tokens,
        neurons,
        stored_bytes: activations.files().iter().map(ActivationFile::stored_bytes).sum(),
        element: element.name(),
        token_columns: activations.token_columns().names(),
        negative_share: total.negatives as f64 / count,
        zero_share: total.zeros as f64 / count,
        squared_norm: energy,
        token_norms: summary(total.token_energy),
        max_abs: f64::from(total.max_abs),
        fits_f16: total.non_finite.count == 0 && total.max_abs <= 65_504.0,
        non_finite: total.non_finite,
        outlier_neurons,
        strongest_token,
        outlier_tokens,
    })
}

/// Sums over some of the rows.
#[derive(Default)]
struct Part {
    negatives: u64,
    zeros: u64,
    max_abs: f32,
    non_finite: NonFinite,
    token_energy: Vec<f64>,
    neuron_energy: Vec<f64>,
}

impl Part {
    fn read(panels: &Panels<'_>, rows: Range<usize>) -> Result<Part, Error> {
        let width = panels.neurons();
        let mut part = Part { neuron_energy: vec![0.0; width], ..Part::default() };
        let mut buffer = PanelBuffer::default();
        for start in rows.clone().step_by(panels.rows()) {
            let values = panels.values(start..(start + panels.rows()).min(rows.end), &mut buffer)?;
            for (i, row) in values.chunks_exact_mut(width).enumerate() {
                part.add_row((start + i) as u64, row);
            }
        }
        Ok(part)
    }

    fn add_row(&mut self, token: u64, values: &mut [f32]) {
        let mut replaced = 0u64;
        for (neuron, value) in values.iter_mut().enumerate() {
            if !value.is_finite() {
                self.non_finite.first.get_or_insert((token, neuron as u64));
                // As a zero it changes no sum except the number of zeros.
                *value = 0.0;
                replaced += 1;
            }
        }
        self.non_finite.count += replaced;
        let (mut negatives, mut zeros, mut energy) = (0u32, 0u32, 0f64);
        for (&value, sum) in values.iter().zip(&mut self.neuron_energy) {
            negatives += u32::from(value < 0.0);
            zeros += u32::from(value == 0.0);
            self.max_abs = self.max_abs.max(value.abs());
            let square = f64::from(value) * f64::from(value);
            energy += square;
            *sum += square;
        }
        self.negatives += u64::from(negatives);
        self.zeros += u64::from(zeros) - replaced;
        self.token_energy.push(energy);
    }

    fn absorb(&mut self, next: Part) {
        self.negatives += next.negatives;
        self.zeros += next.zeros;
        self.max_abs = self.max_abs.max(next.max_abs);
        self.non_finite.count += next.non_finite.count;
        self.non_finite.first = self.non_finite.first.or(next.non_finite.first);
        self.token_energy.extend(next.token_energy);
        if self.neuron_energy.is_empty() {
            self.neuron_energy = next.neuron_energy;
        } else {
            for (sum, add) in self.neuron_energy.iter_mut().zip(next.neuron_energy) {
                *sum += add;
            }
        }
    }
}

fn summary(mut energies: Vec<f64>) -> NormSummary {
    for energy in &mut energies {
        *energy = energy.sqrt();
    }
    let mean = energies.iter().sum::<f64>() / energies.len() as f64;
    energies.sort_unstable_by(f64::total_cmp);
    let middle = energies.len() / 2;
    let median =
        if energies.len() % 2 == 1 { energies[middle] } else { (energies[middle - 1] + energies[middle]) / 2.0 };
    NormSummary { min: energies[0], median, mean, max: energies[energies.len() - 1] }
}
