//! How activations are stored.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Storage type of activations. Sums are always taken in f32 or better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// IEEE single precision, 4 bytes.
    F32,
    /// IEEE half precision, 2 bytes, range ±65,504.
    F16,
    /// bfloat16, 2 bytes: the range of f32 with 8 bits of precision.
    Bf16,
}

impl ElementType {
    /// All storage types.
    pub const ALL: [ElementType; 3] = [ElementType::F32, ElementType::F16, ElementType::Bf16];

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            ElementType::F32 => 4,
            ElementType::F16 | ElementType::Bf16 => 2,
        }
    }

    /// Elements in the 16 bytes that a shader loads at once.
    pub const fn per_vector(self) -> u32 {
        (16 / self.bytes()) as u32
    }

    /// The lower-case name used in files, on the command line and as the shader feature.
    pub const fn name(self) -> &'static str {
        match self {
            ElementType::F32 => "f32",
            ElementType::F16 => "f16",
            ElementType::Bf16 => "bf16",
        }
    }

    /// Converts little-endian elements to f32. `bytes` need not be aligned.
    ///
    /// # Panics
    /// If `bytes` does not hold exactly `out.len()` elements.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(bytes.len(), out.len() * self.bytes());
        match self {
            ElementType::F32 => match bytemuck::try_cast_slice::<u8, f32>(bytes) {
                Ok(values) => out.copy_from_slice(values),
                Err(_) => bytemuck::cast_slice_mut::<f32, u8>(out).copy_from_slice(bytes),
            },
            #[cfg(target_arch = "x86_64")]
            ElementType::F16 if is_x86_feature_detected!("avx") && is_x86_feature_detected!("f16c") => {
                // SAFETY: the processor was asked whether it has these instructions.
                unsafe { decode_f16(bytes, out) }
            }
            ElementType::F16 => match bytemuck::try_cast_slice::<u8, f16>(bytes) {
                Ok(values) => values.convert_to_f32_slice(out),
                Err(_) => decode_unaligned(bytes, out, |pair| f16::from_le_bytes(pair).to_f32()),
            },
            ElementType::Bf16 => match bytemuck::try_cast_slice::<u8, bf16>(bytes) {
                Ok(values) => values.convert_to_f32_slice(out),
                Err(_) => decode_unaligned(bytes, out, |pair| bf16::from_le_bytes(pair).to_f32()),
            },
        }
    }
}

/// Eight at a time. This is twice as fast as `half`, which makes a function call for every eight.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn decode_f16(bytes: &[u8], out: &mut [f32]) {
    use std::arch::x86_64::{__m128i, _mm256_cvtph_ps};
    let (values, rest) = out.as_chunks_mut::<8>();
    let (encoded, encoded_rest) = bytes.split_at(values.len() * 16);
    for (values, encoded) in values.iter_mut().zip(encoded.chunks_exact(16)) {
        *values = bytemuck::cast(_mm256_cvtph_ps(bytemuck::pod_read_unaligned::<__m128i>(encoded)));
    }
    decode_unaligned(encoded_rest, rest, |pair| f16::from_le_bytes(pair).to_f32());
}

fn decode_unaligned(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; 2]) -> f32) {
    for (value, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *value = decode([pair[0], pair[1]]);
    }
}

impl std::fmt::Display for ElementType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unaligned_bytes_decode_like_aligned_ones() {
        for element in ElementType::ALL {
            let values = [1.5f32, -0.25, 12.0, 3.0e-5];
            let mut bytes = vec![0u8];
            for v in values {
                match element {
                    ElementType::F32 => bytes.extend(v.to_le_bytes()),
                    ElementType::F16 => bytes.extend(f16::from_f32(v).to_le_bytes()),
                    ElementType::Bf16 => bytes.extend(bf16::from_f32(v).to_le_bytes()),
                }
            }
            let mut out = [0f32; 4];
            element.decode(&bytes[1..], &mut out);
            for (a, b) in out.iter().zip(values) {
                assert!((a - b).abs() <= 1e-2 * b.abs(), "{element}: {a} for {b}");
            }
        }
    }
}
