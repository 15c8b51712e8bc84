//! Values as people write them: sizes, durations, lists, start positions; and secrets, which nobody writes twice.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::text;

/// A number of bytes, written `128MiB`, `1.5GB` or `1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many times 1024 * 1024 bytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    /// Exact: the largest binary unit that leaves no remainder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = |&(bits, _): &(u32, &str)| self.0 >> bits << bits == self.0;
        match units.iter().find(|unit| self.0 > 0 && whole(unit)) {
            Some((bits, unit)) => write!(f, "{}{unit}", self.0 >> bits),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text::parsed_or_number(
            d,
            "a size such as 128MiB, 64KB or 1000",
            |text| text.parse().ok().map(|ByteSize(bytes)| Self(bytes)),
            |bytes| Some(Self(bytes)),
        )
    }
}

/// A length of time, written `10m`, `1h 30m` or `100ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The same as the standard library's type.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text::parsed_or_number(
            d,
            "a duration with its unit such as 10m, 45s or 100ms",
            |text| humantime::parse_duration(text).ok().map(Self),
            |_| None,
        )
    }
}

/// Text that must not be shown: `Debug`, `Display` and `Serialize` give `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be handed to whoever checks it and to nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self)
    }
}

/// Where a partition starts that nobody has read before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// At the oldest record that Kafka still has.
    #[default]
    Earliest,
    /// After the newest record at the moment of the first start.
    Latest,
    /// At the first record whose Kafka timestamp is not before this instant.
    Timestamp(DateTime<Utc>),
}

impl fmt::Display for StartFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Timestamp(instant) => f.write_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

impl Serialize for StartFrom {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StartFrom {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text::parsed(d, "earliest, latest or a time such as 2025-12-21T10:00:00Z", |text| match text {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            _ => DateTime::parse_from_rfc3339(text).ok().map(|instant| Self::Timestamp(instant.to_utc())),
        })
    }
}

/// Several texts, written as a list or separated by commas; `["a,b", "c"]` is `a`, `b` and `c`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct List(Vec<String>);

impl List {
    fn push_all(&mut self, text: &str) {
        let parts = text.split(',').map(str::trim);
        self.0.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
    }
}

impl Deref for List {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl<T: Into<String>> FromIterator<T> for List {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        Self(texts.into_iter().map(Into::into).collect())
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> de::Visitor<'de> for Items {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or text separated by commas")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<List, E> {
                let mut list = List::default();
                list.push_all(text);
                Ok(list)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<List, A::Error> {
                let mut list = List::default();
                while let Some(text) = items.next_element::<String>()? {
                    list.push_all(&text);
                }
                Ok(list)
            }
        }

        d.deserialize_any(Items)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("128MiB", 128 << 20), ("64 KB", 64_000), ("1000", 1000)] {
            let size: Size = serde_json::from_value(json!(text)).unwrap();
            assert_eq!(size, Size::bytes(bytes), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_exactly() {
        for (bytes, text) in [(128 << 20, "128MiB"), (1025, "1025"), (3 << 10, "3KiB"), (0, "0")] {
            assert_eq!(Size::bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        let span: Span = serde_json::from_value(json!("1h 30m")).unwrap();
        assert_eq!(span, Span::from_secs(5400));
        for bad in [json!("10"), json!(10), json!("-1s"), json!("")] {
            let error = serde_json::from_value::<Span>(bad).unwrap_err().to_string();
            assert!(error.contains("a duration with its unit"), "{error}");
        }
    }

    #[test]
    fn a_start_time_may_have_any_offset() {
        let text = json!("2025-12-21T11:00:00+01:00");
        let start: StartFrom = serde_json::from_value(text).unwrap();
        assert_eq!(start.to_string(), "2025-12-21T10:00:00Z");
    }

    #[test]
    fn a_list_is_the_same_as_text_with_commas() {
        for list in [json!("a, b,"), json!(["a", "b"]), json!(["a,b"])] {
            let list: List = serde_json::from_value(list).unwrap();
            assert_eq!(list, ["a", "b"].into_iter().collect());
        }
    }

    #[test]
    fn a_secret_shows_itself_only_when_asked() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret} {secret:?} {}", json!(secret));
        assert_eq!(shown, "*** *** \"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }
}
