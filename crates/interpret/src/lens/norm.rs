//! The final norm.

use super::NormKind;

/// A norm with its weights.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub kind: NormKind,
    /// [d_model]; with the 1 already added where it is stored without. Empty without a norm.
    pub gain: Vec<f32>,
    /// [d_model], or empty.
    pub bias: Vec<f32>,
    pub epsilon: f64,
}

impl Norm {
    /// The norm of `x`, computed in f64.
    pub(super) fn apply(&self, x: &[f32], out: &mut [f32]) {
        let count = x.len() as f64;
        let mean = match self.kind {
            NormKind::Layer => x.iter().map(|&x| f64::from(x)).sum::<f64>() / count,
            _ => 0.0,
        };
        let square = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let scale = if self.kind == NormKind::None { 1.0 } else { (square + self.epsilon).sqrt().recip() };
        for (i, (out, &x)) in out.iter_mut().zip(x).enumerate() {
            let gain = self.gain.get(i).map_or(1.0, |&gain| f64::from(gain));
            let bias = self.bias.get(i).map_or(0.0, |&bias| f64::from(bias));
            *out = ((f64::from(x) - mean) * scale * gain + bias) as f32;
        }
    }
}
