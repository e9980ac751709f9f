//! The value of a field in JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::numbering;
use crate::texts::quoted;

/// A text or a number. For other values, what the value is, in words.
#[derive(Debug)]
pub enum Scalar {
    Text(String),
    Number(Number),
    Null,
    Other(&'static str),
}

impl Scalar {
    /// The whole number that it is, as a number or as text.
    pub fn whole(&self) -> Option<i64> {
        /// Beyond this number, f64 skips whole numbers.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Scalar::Text(text) => numbering::of_text(text),
            Scalar::Number(number) => number.as_i64().or_else(|| {
                let float = number.as_f64().filter(|_| number.is_f64())?;
                (float.fract() == 0.0 && float.abs() < EXACT).then_some(float as i64)
            }),
            Scalar::Null | Scalar::Other(_) => None,
        }
    }
}

/// For a message.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => f.write_str(&quoted(text)),
            Scalar::Number(number) => number.fmt(f),
            Scalar::Null => f.write_str("null"),
            Scalar::Other(kind) => f.write_str(kind),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Scalar, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
                Ok(Scalar::Other("a truth value"))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Number::from_f64(number).map_or(Scalar::Other("no finite number"), Scalar::Number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Scalar, A::Error> {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other("an array"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Scalar, A::Error> {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other("an object"))
            }
        }

        from.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_numbers_or_texts_of_them() {
        let json = |text: &str| serde_json::from_str::<Scalar>(text).expect("JSON").whole();
        assert_eq!([json("17"), json("17.0"), json("\"17\""), json("-3")], [Some(17), Some(17), Some(17), Some(-3)]);
        assert_eq!([json("1.5"), json("1e300"), json("18446744073709551615"), json("true"), json("[1]")], [None; 5]);
    }
}
