//! A small product that shows whether a device computes a variant of the cross product right. An engine runs it before it
//! chooses a variant on cooperative matrices by itself, because drivers may get these wrong without an error.

use half::{bf16, f16};

use crate::cross_product::cross_product_parts;
use crate::{BufferId, CROSS_PRODUCT, ElementType, Kernel, Matrix, Precision, Recording, Split, Summation, Workspace};

/// The product: two parts of 1,050 tokens, which are more than one chain of sums, with a rest of every tile and of a stage.
const ROWS: u32 = 2_100;
const COLUMNS: u32 = 150;
const RANK: u32 = 70;
const PARTS: u32 = 2;
/// A feature without coefficients. Its row must be zero.
const UNUSED: u32 = 7;

/// Largest error of a feature's row as a share of the row. A sum of 1,024 products in f32 is off by 5e-7. Tensor cores that cut sums
/// off instead of rounding them are off by 5e-6. A product without the low halves of the coefficients is off by 1.4e-4.
const EXACT_ERROR: f64 = 1.5e-5;
/// The same where coefficients are rounded to 11 bits.
const ROUNDED_ERROR: f64 = 5e-4;

/// Work whose result is known.
pub struct Trial {
    /// Its buffers.
    pub workspace: Workspace,
    /// What they hold before.
    pub contents: Vec<(BufferId, Vec<u8>)>,
    /// One dispatch of the kernel.
    pub recording: Recording,
    /// Where its result is, as f32.
    pub result: BufferId,
    /// The exact result, part after part.
    expected: Vec<f64>,
    allowed: f64,
}

impl Trial {
    /// The trial of a kernel on operands of type `element`, in a dispatch that asks for this precision. `None` if the kernel has no
    /// trial.
    pub fn of(kernel: &Kernel, element: ElementType, precision: Precision) -> Option<Trial> {
        (*kernel == CROSS_PRODUCT).then(|| Trial::of_cross_product(element, precision))
    }

    fn of_cross_product(element: ElementType, precision: Precision) -> Trial {
        let mut workspace = Workspace::default();
        let stride = COLUMNS.next_multiple_of(element.per_vector());
        let x = workspace.elements("activations on trial", element, ROWS, COLUMNS, stride);
        let y = workspace.matrix("coefficients on trial", ROWS, RANK);
        let out = workspace.matrix("cross product on trial", RANK, COLUMNS);
        let partials = workspace.words("parts on trial", u64::from(PARTS) * out.elements());
        let mut recording = Recording::new();
        let summation = Summation { precision, split: Some(Split { parts: PARTS, partials }) };
        cross_product_parts(&mut recording, x, y, out, 1.0, false, summation);
        let (activations, bytes) = activations(element, &x);
        let coefficients = coefficients(&y);
        let contents = vec![
            (x.buffer(), bytes),
            (y.buffer(), bytemuck::cast_slice(&coefficients).to_vec()),
            // What is not written shows.
            (partials, bytemuck::cast_slice(&vec![f32::NAN; PARTS as usize * out.elements() as usize]).to_vec()),
        ];
        let expected = product(&activations, &coefficients, &y, &out);
        let allowed = match precision {
            Precision::F32 => EXACT_ERROR,
            Precision::F16 | Precision::Bf16 => ROUNDED_ERROR,
        };
        Trial { workspace, contents, recording, result: partials, expected, allowed }
    }

    /// Judges what is in the buffer of the result afterwards.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn judge(&self, result: &[u8]) -> Result<(), String> {
        let found: Vec<f32> = bytemuck::pod_collect_to_vec(result);
        if found.len() != self.expected.len() {
            return Err(format!("its result has {} values, not {}", found.len(), self.expected.len()));
        }
        let stride = COLUMNS.next_multiple_of(4) as usize;
        let mut most = 0f64;
        for (found, expected) in found.chunks(stride).zip(self.expected.chunks(stride)) {
            let error: f64 = found.iter().zip(expected).map(|(f, e)| (f64::from(*f) - e).powi(2)).sum();
            let size: f64 = expected.iter().map(|e| e * e).sum();
            let off = if error == 0.0 { 0.0 } else { (error / size).sqrt() };
            // NaN is larger than all numbers here.
            most = if off.total_cmp(&most).is_gt() { off } else { most };
        }
        if most <= self.allowed {
            return Ok(());
        }
        Err(format!("its result is off by {most:.1e}, and {:.1e} is allowed", self.allowed))
    }
}

/// Numbers from 0 to 2³² - 1 without a pattern, the same everywhere.
fn scattered(index: u32) -> u32 {
    let mut bits = index.wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b;
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x21f0_aaad);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x735a_2d97);
    bits ^ (bits >> 15)
}

/// Activations from -1 to 1 without their padding, and as they are stored. What lies between the rows is NaN.
fn activations(element: ElementType, x: &Matrix) -> (Vec<f64>, Vec<u8>) {
    let (mut values, mut bytes) = (Vec::new(), Vec::new());
    for index in 0..x.rows * x.stride {
        let is_padding = index % x.stride >= x.columns;
        let value = if is_padding { f32::NAN } else { (f64::from(scattered(index)) / 2f64.powi(31) - 1.0) as f32 };
        let (stored, encoded) = match element {
            ElementType::F32 => (f64::from(value), value.to_le_bytes().to_vec()),
            ElementType::F16 => (f16::from_f32(value).to_f64(), f16::from_f32(value).to_le_bytes().to_vec()),
            ElementType::Bf16 => (bf16::from_f32(value).to_f64(), bf16::from_f32(value).to_le_bytes().to_vec()),
        };
        bytes.extend(encoded);
        values.extend((!is_padding).then_some(stored));
    }
    (values, bytes)
}

/// Coefficients of very different sizes, a third of them zero. In the first part tokens are alike but for some without coefficients, and in the
/// second part they grow 2²¹-fold. Features differ 2¹¹-fold.
fn coefficients(y: &Matrix) -> Vec<f32> {
    let part = ROWS / PARTS;
    let value = |index: u32| {
        let (token, feature) = (index / y.stride, index % y.stride);
        let drawn = scattered(!index);
        if feature >= RANK || feature == UNUSED || token % 97 == 5 || drawn.is_multiple_of(3) {
            return 0.0;
        }
        let growth = (f64::from(token.saturating_sub(part)) / 50.0).exp2();
        (f64::from(drawn) / 2f64.powi(32) * growth * 0.5f64.powi((feature % 12) as i32)) as f32
    };
    (0..y.rows * y.stride).map(value).collect()
}

/// The parts of YᵀX in double precision.
fn product(x: &[f64], y: &[f32], coefficients: &Matrix, out: &Matrix) -> Vec<f64> {
    let (columns, size) = (COLUMNS as usize, out.elements() as usize);
    let mut sums = vec![0f64; PARTS as usize * size];
    let per_part = ROWS as usize / PARTS as usize;
    for (token, (x, y)) in x.chunks(columns).zip(y.chunks(coefficients.stride as usize)).enumerate() {
        let part = &mut sums[token / per_part * size..][..size];
        for (sums, &y) in part.chunks_mut(out.stride as usize).zip(y).filter(|(_, y)| **y != 0.0) {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(y) * x);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact result as a device would leave it.
    fn right(trial: &Trial) -> Vec<f32> {
        trial.expected.iter().map(|&value| value as f32).collect()
    }

    fn judge(trial: &Trial, result: &[f32]) -> Result<(), String> {
        trial.judge(bytemuck::cast_slice(result))
    }

    #[test]
    fn a_right_result_passes_and_a_wrong_one_does_not() {
        for precision in [Precision::F32, Precision::F16] {
            let trial = Trial::of(&CROSS_PRODUCT, ElementType::F16, precision).unwrap();
            let right = right(&trial);
            assert_eq!(judge(&trial, &right), Ok(()));
            let stride = COLUMNS.next_multiple_of(4) as usize;
            let changed = |at: usize, value: f32| {
                let mut wrong = right.clone();
                wrong[at] = value;
                judge(&trial, &wrong)
            };
            let message = changed(3, right[3] * 1.1).unwrap_err();
            assert!(message.contains("off by"), "{message}");
            assert!(changed(UNUSED as usize * stride, 1e-30).is_err(), "a row that must be zero");
            assert!(changed(COLUMNS as usize, 1e-30 + right[0].abs()).is_err(), "the padding");
            assert!(changed(right.len() - 3, f32::NAN).is_err());
            assert!(judge(&trial, &right[1..]).is_err());
            assert!(judge(&trial, &vec![0.0; right.len()]).is_err());
        }
    }

    #[test]
    fn coefficients_without_their_low_halves_are_rounded_and_not_exact() {
        let of = |precision| Trial::of(&CROSS_PRODUCT, ElementType::F16, precision).unwrap();
        let trial = of(Precision::F32);
        let [(x, stored), (y, coefficients)] = [0, 1].map(|at| trial.contents[at].clone());
        let [x_matrix, y_matrix, out] = {
            let mut workspace = Workspace::default();
            [
                workspace.elements("x", ElementType::F16, ROWS, COLUMNS, COLUMNS.next_multiple_of(8)),
                workspace.matrix("y", ROWS, RANK),
                workspace.matrix("out", RANK, COLUMNS),
            ]
        };
        assert_eq!([x, y], [x_matrix.buffer(), y_matrix.buffer()]);
        let (activations, again) = activations(ElementType::F16, &x_matrix);
        assert!(again == stored);
        let coefficients: Vec<f32> = bytemuck::pod_collect_to_vec(&coefficients);
        let rounded: Vec<f32> = coefficients.iter().map(|y| f32::from_bits((y.to_bits() + 0x1000) & !0x1fff)).collect();
        let result: Vec<f32> =
            product(&activations, &rounded, &y_matrix, &out).iter().map(|&value| value as f32).collect();
        assert!(judge(&trial, &result).is_err());
        assert_eq!(judge(&of(Precision::F16), &result), Ok(()));
    }

    #[test]
    fn only_the_cross_product_has_a_trial() {
        let others = crate::KERNELS.iter().filter(|kernel| **kernel != &CROSS_PRODUCT);
        assert!(others.map(|kernel| Trial::of(kernel, ElementType::F32, Precision::F32)).all(|trial| trial.is_none()));
    }
}
