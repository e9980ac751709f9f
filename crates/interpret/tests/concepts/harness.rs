//! Small activations with labelled prompts.

use std::ops::Range;

use half::{bf16, f16};
use unmix::{ActivationSource, DenseMatrix, ElementType, HostActivations};
use unmix_data::PromptLabels;
use unmix_interpret::concepts::{ConceptError, ConceptLevel, Labelling};

/// A linear congruential generator.
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number in -0.5 to 0.5.
    pub fn centred(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }
}

pub fn matrix(rows: usize, columns: usize, seed: u64) -> DenseMatrix {
    let mut numbers = Numbers(seed);
    DenseMatrix { rows, columns, values: (0..rows * columns).map(|_| numbers.centred()).collect() }
}

/// A matrix in memory, and the values that it holds after rounding.
pub fn host(matrix: &DenseMatrix, element: ElementType) -> (HostActivations, Vec<f64>) {
    let (n, d) = (matrix.rows as u64, matrix.columns as u64);
    let halves: Vec<f16> = matrix.values.iter().map(|&v| f16::from_f32(v)).collect();
    let brains: Vec<bf16> = matrix.values.iter().map(|&v| bf16::from_f32(v)).collect();
    let (source, values) = match element {
        ElementType::F32 => {
            let values = matrix.values.iter().map(|&v| v.into()).collect();
            (HostActivations::from_f32(matrix.values.clone(), n, d), values)
        }
        ElementType::F16 => {
            let values = halves.iter().map(|v| v.to_f64()).collect();
            (HostActivations::from_f16(halves, n, d), values)
        }
        ElementType::Bf16 => {
            let values = brains.iter().map(|v| v.to_f64()).collect();
            (HostActivations::from_bf16(brains, n, d), values)
        }
    };
    (source.expect("sizes fit"), values)
}

/// A source whose rows must be read, and of which one row fails.
pub struct Read<'a> {
    pub inner: &'a HostActivations,
    pub fails_at: Option<u64>,
}

impl ActivationSource for Read<'_> {
    fn tokens(&self) -> u64 {
        self.inner.tokens()
    }

    fn neurons(&self) -> u64 {
        self.inner.neurons()
    }

    fn element(&self) -> ElementType {
        self.inner.element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        if self.fails_at.is_some_and(|row| rows.contains(&row)) {
            return Err(std::io::Error::other("the disk is on fire"));
        }
        self.inner.read_rows(rows, out)
    }
}

/// Labels from JSON.
pub fn labels(json: &str) -> PromptLabels {
    let file = tempfile::Builder::new().suffix("labels.json").tempfile().expect("a temporary file");
    std::fs::write(file.path(), json).expect("written");
    PromptLabels::read(file.path()).expect("labels")
}

/// Labels in the order of prompts.
pub fn labels_of(concepts: &[&str]) -> PromptLabels {
    labels(&serde_json::to_string(concepts).expect("JSON"))
}

pub fn labelling(labels: &PromptLabels, prompt_ids: &[i64]) -> Result<Labelling, ConceptError> {
    Labelling::new(labels, prompt_ids, "neutral", ConceptLevel::Concept)
}

/// A case with ties, concepts of unequal size, prompts of different lengths, and some structure to find.
pub struct Case {
    pub activations: DenseMatrix,
    pub features: DenseMatrix,
    pub prompt_ids: Vec<i64>,
    pub concepts: Vec<&'static str>,
}

impl Case {
    pub fn new(seed: u64, neutral: &'static str) -> Case {
        let names = ["fruit", "dance", neutral, "rain", "fruit", neutral, "dance", "rain", "fruit"];
        let (prompts, neurons, rank) = (53, 23, 11);
        let concepts: Vec<&str> = (0..prompts).map(|prompt| names[prompt % names.len()]).collect();
        let mut numbers = Numbers(seed);
        let features = matrix(rank, neurons, seed + 1);
        let (mut values, mut prompt_ids) = (Vec::new(), Vec::new());
        for (prompt, concept) in concepts.iter().enumerate() {
            for token in 0..2 + prompt % 4 {
                prompt_ids.push(prompt as i64);
                let own = match *concept {
                    "fruit" => Some(3),
                    "dance" => Some(7),
                    _ => None,
                };
                let start = values.len();
                // There are few values, so cosines of different prompts are often equal.
                values.extend((0..neurons).map(|j| ((j * (1 + (prompt * 7 + token) % 5)) % 3) as f32 - 1.0));
                if let Some(k) = own.filter(|_| numbers.centred() > -0.2) {
                    values[start..].iter_mut().zip(features.row(k)).for_each(|(v, f)| *v += 2.0 * f);
                }
            }
        }
        let activations = DenseMatrix { rows: prompt_ids.len(), columns: neurons, values };
        Case { activations, features, prompt_ids, concepts }
    }

    pub fn source(&self) -> HostActivations {
        host(&self.activations, ElementType::F32).0
    }

    pub fn labelling(&self) -> Labelling {
        labelling(&labels_of(&self.concepts), &self.prompt_ids).expect("a labelling")
    }
}
