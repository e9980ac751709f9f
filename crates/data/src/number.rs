//! Types of numbers that files hold.

use std::fmt;

/// How one number is stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    F64,
    F32,
    F16,
    Bf16,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
}

impl Number {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Number::I8 | Number::U8 => 1,
            Number::F16 | Number::Bf16 | Number::I16 | Number::U16 => 2,
            Number::F32 | Number::I32 | Number::U32 => 4,
            Number::F64 | Number::I64 | Number::U64 => 8,
        }
    }

    pub(crate) const fn is_float(self) -> bool {
        matches!(self, Number::F64 | Number::F32 | Number::F16 | Number::Bf16)
    }

    /// The whole number in `bytes`, which are little-endian unless `big`. `Err` holds a u64 beyond i64.
    ///
    /// # Panics
    /// If the type is a float or `bytes` has another length than [`bytes`](Self::bytes).
    pub(crate) fn integer(self, bytes: &[u8], big: bool) -> Result<i64, u64> {
        // Sign-extended or zero-extended to 64 bits in little-endian order.
        let mut wide = [0u8; 8];
        for (i, slot) in wide.iter_mut().take(bytes.len()).enumerate() {
            *slot = bytes[if big { bytes.len() - 1 - i } else { i }];
        }
        let unsigned = u64::from_le_bytes(wide);
        match self {
            Number::I8 => Ok(i64::from(unsigned as u8 as i8)),
            Number::I16 => Ok(i64::from(unsigned as u16 as i16)),
            Number::I32 => Ok(i64::from(unsigned as u32 as i32)),
            Number::I64 => Ok(unsigned as i64),
            Number::U8 | Number::U16 | Number::U32 | Number::U64 => i64::try_from(unsigned).map_err(|_| unsigned),
            _ => unreachable!("{self} is no integer"),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Number::F64 => "f64",
            Number::F32 => "f32",
            Number::F16 => "f16",
            Number::Bf16 => "bf16",
            Number::I8 => "i8",
            Number::I16 => "i16",
            Number::I32 => "i32",
            Number::I64 => "i64",
            Number::U8 => "u8",
            Number::U16 => "u16",
            Number::U32 => "u32",
            Number::U64 => "u64",
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_width_and_order() {
        assert_eq!(Number::I16.integer(&(-2i16).to_le_bytes(), false), Ok(-2));
        assert_eq!(Number::I16.integer(&(-2i16).to_be_bytes(), true), Ok(-2));
        assert_eq!(Number::I8.integer(&[0xff], false), Ok(-1));
        assert_eq!(Number::U8.integer(&[0xff], false), Ok(255));
        assert_eq!(Number::U16.integer(&65_535u16.to_le_bytes(), false), Ok(65_535));
        assert_eq!(Number::I32.integer(&(-70_000i32).to_be_bytes(), true), Ok(-70_000));
        assert_eq!(Number::U32.integer(&u32::MAX.to_le_bytes(), false), Ok(i64::from(u32::MAX)));
        assert_eq!(Number::I64.integer(&i64::MIN.to_le_bytes(), false), Ok(i64::MIN));
        assert_eq!(Number::U64.integer(&u64::MAX.to_le_bytes(), false), Err(u64::MAX));
    }
}
