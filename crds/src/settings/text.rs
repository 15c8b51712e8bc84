//! Values that may arrive as text (environment variables) or typed (JSON, YAML).

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Takes text by `parse`, and hands on what a typed format gives.
struct TextOr<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    flag: fn(bool) -> Option<T>,
    number: fn(u64) -> Option<T>,
}

impl<T> de::Visitor<'_> for TextOr<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text.trim()).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self.expected))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        (self.flag)(flag).ok_or_else(|| E::invalid_type(de::Unexpected::Bool(flag), &self.expected))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self.expected))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number)
            .ok()
            .and_then(self.number)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self.expected))
    }
}

/// Reads a value that is written as text; `expected` completes "it must be".
pub(super) fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(TextOr { expected, parse, flag: |_| None, number: |_| None })
}

/// As [`parsed`], and takes a bare number too.
pub(super) fn parsed_or_number<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    number: fn(u64) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(TextOr { expected, parse, flag: |_| None, number })
}

/// `true` or `false`.
pub(super) mod flag {
    use serde::Serializer;

    use super::{Deserializer, TextOr};

    pub(crate) fn serialize<S: Serializer>(flag: &bool, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bool(*flag)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
        d.deserialize_any(TextOr {
            expected: "true or false",
            parse: |text| text.to_ascii_lowercase().parse().ok(),
            flag: Some,
            number: |_| None,
        })
    }
}

/// `true`, `false` or nothing.
pub(super) mod optional_flag {
    use serde::{Serialize, Serializer};

    use super::{Deserialize, Deserializer, flag};

    #[derive(Deserialize)]
    struct Flag(#[serde(with = "flag")] bool);

    pub(crate) fn serialize<S: Serializer>(flag: &Option<bool>, s: S) -> Result<S::Ok, S::Error> {
        flag.serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<bool>, D::Error> {
        Ok(Option::<Flag>::deserialize(d)?.map(|flag| flag.0))
    }
}

/// A number from 0 to 1, or nothing.
pub(super) mod optional_share {
    use serde::{Serialize, Serializer};

    use super::{Deserialize, Deserializer, TextOr};

    struct Share(f64);

    impl<'de> Deserialize<'de> for Share {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            d.deserialize_any(TextOr {
                expected: "a number from 0 to 1 such as 0.1",
                parse: |text| text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Self),
                flag: |_| None,
                number: |number| (number <= 1).then_some(Self(number as f64)),
            })
        }
    }

    pub(crate) fn serialize<S: Serializer>(share: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
        // As text, the form in which it is read from every source.
        share.map(|share| share.to_string()).serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Share>::deserialize(d)?.map(|share| share.0))
    }
}

/// A whole number; `_` may group its digits.
pub(super) mod count {
    use serde::Serializer;

    use super::{Deserializer, parsed_or_number};

    pub(crate) fn serialize<S: Serializer>(count: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(*count)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        parsed_or_number(d, "a whole number such as 1000000", |text| text.replace('_', "").parse().ok(), Some)
    }
}

/// An address and port to listen on.
pub(super) mod address {
    use std::net::SocketAddr;

    use serde::Serializer;

    use super::{Deserializer, parsed};

    pub(crate) fn serialize<S: Serializer>(address: &SocketAddr, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(address)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<SocketAddr, D::Error> {
        parsed(d, "an address and port such as 0.0.0.0:8080", |text| text.parse().ok())
    }
}

/// Names out of a closed set, as a list or as text with commas.
pub(super) mod names {
    use std::collections::BTreeSet;

    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};
    use serde::{Serialize, Serializer};

    use super::super::List;
    use super::{Deserialize, Deserializer, de};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(names: &BTreeSet<T>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(names)
    }

    pub(crate) fn deserialize<'de, T, D>(d: D) -> Result<BTreeSet<T>, D::Error>
    where
        T: for<'a> Deserialize<'a> + Ord,
        D: Deserializer<'de>,
    {
        let named = |name: &String| {
            let name: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
            T::deserialize(name).map_err(de::Error::custom)
        };
        List::deserialize(d)?.iter().map(named).collect()
    }
}
