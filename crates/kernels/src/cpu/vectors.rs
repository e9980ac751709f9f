//! Which of the processor's vector instructions the twins use.

use std::sync::OnceLock;

/// The variable that restricts them.
pub const VECTORS_VARIABLE: &str = "UNMIX_VECTORS";

/// Kinds of vector instructions. Sums depend on the kind in their last digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vectors {
    /// No vectors: one number at a time, or what the compiler makes of that.
    Scalar,
    /// AVX2, also on processors with AVX-512. Processors without AVX2 use the widest that they have.
    Avx2,
    /// The widest that the processor has.
    Widest,
}

impl Vectors {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Widest];

    /// The kind that `UNMIX_VECTORS` names: `scalar`, `avx2`, or the widest if it is not set. The variable is read
    /// once.
    ///
    /// # Errors
    /// The value of the variable if it names no kind. In that case the widest vectors are used.
    pub fn of_environment() -> Result<Self, &'static str> {
        static VALUE: OnceLock<Option<String>> = OnceLock::new();
        let value =
            VALUE.get_or_init(|| std::env::var_os(VECTORS_VARIABLE).map(|value| value.to_string_lossy().into_owned()));
        match value.as_deref() {
            None | Some("") => Ok(Self::Widest),
            Some("avx2") => Ok(Self::Avx2),
            Some("scalar") => Ok(Self::Scalar),
            Some(other) => Err(other),
        }
    }

    /// The instructions with which twins run for this kind.
    pub(crate) fn arch(self) -> pulp::Arch {
        match self {
            Self::Scalar => pulp::Arch::Scalar,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().map_or_else(pulp::Arch::new, pulp::Arch::V3),
            _ => pulp::Arch::new(),
        }
    }
}

/// The kind that the twins use.
pub(crate) fn vectors() -> Vectors {
    Vectors::of_environment().unwrap_or(Vectors::Widest)
}

/// The instructions with which the twins run.
pub(crate) fn arch() -> pulp::Arch {
    static ARCH: OnceLock<pulp::Arch> = OnceLock::new();
    *ARCH.get_or_init(|| vectors().arch())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_of_vectors_is_wider_than_it_says() {
        struct Lanes;
        impl pulp::WithSimd for Lanes {
            type Output = usize;

            fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        let [scalar, avx2, widest] = Vectors::ALL.map(|vectors| vectors.arch().dispatch(Lanes));
        assert!(scalar == 1 && scalar <= avx2 && avx2 <= widest, "{scalar}, {avx2}, {widest}");
        assert!(!cfg!(target_arch = "x86_64") || avx2 <= 8, "{avx2}");
    }
}
