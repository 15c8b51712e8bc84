//! Section `dead_letter`: a copy of dead letters for consumers of Kafka, and when too many of them stop a partition.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text;

/// Section `dead_letter`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetter {
    /// Topic that gets a copy of each dead letter, at least once, beside the files. Default: none.
    pub topic: Option<String>,
    /// A partition holds with `PoisonFlood` when a larger share of its records would be dead letters;
    /// `100%` never holds. Default: `50%`.
    pub flood_threshold: Share,
    /// Fewer dead letters than this never are a flood, at least 1. Default: 100.
    #[serde(with = "text::count")]
    pub flood_min_records: u64,
}

impl Default for DeadLetter {
    fn default() -> Self {
        Self { topic: None, flood_threshold: Share::percent(50), flood_min_records: 100 }
    }
}

/// A part of a whole, written `50%` or `0.5%`; exact to a hundredth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// So many hundredths, at most 100.
    pub const fn percent(percent: u32) -> Self {
        assert!(percent <= 100, "a share is at most the whole");
        Self(percent * 100)
    }

    /// True when `part` of `whole` is more than this share.
    pub fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 10_000 > u128::from(whole) * u128::from(self.0)
    }

    /// True when `part` of `whole` is at least this share.
    pub fn is_reached_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 10_000 >= u128::from(whole) * u128::from(self.0)
    }

    /// The least whole of which so large a part is not more than this share.
    pub fn whole_of(self, part: u64) -> u64 {
        let whole = (u128::from(part) * 10_000).div_ceil(u128::from(self.0.max(1)));
        u64::try_from(whole).unwrap_or(u64::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 2 {
            return None;
        }
        let hundredths =
            whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(format!("{part:0<2}").parse().ok()?)?;
        (hundredths <= 10_000).then_some(Self(hundredths))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text::parsed_or_number(d, "a share from 0% to 100% such as 50% or 0.5%", Self::parse, |_| None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_share_is_read_as_people_write_it_and_written_exactly() {
        for (text, written) in [("50%", "50%"), ("0.5 %", "0.5%"), ("12.50%", "12.5%"), ("0.01%", "0.01%")] {
            let share: Share = serde_json::from_value(json!(text)).unwrap();
            assert_eq!(share.to_string(), written);
        }
    }

    #[test]
    fn a_share_needs_its_sign_and_is_at_most_the_whole() {
        for bad in [json!("50"), json!(50), json!(0.5), json!("100.01%"), json!("-1%"), json!("0.001%"), json!("%")] {
            let error = serde_json::from_value::<Share>(bad).unwrap_err().to_string();
            assert!(error.contains("a share from 0% to 100%"), "{error}");
        }
    }

    #[test]
    fn only_more_than_the_share_exceeds_it() {
        let half = Share::percent(50);
        assert!(!half.is_exceeded_by(50, 100) && half.is_exceeded_by(51, 100));
        assert!(half.is_reached_by(50, 100) && !half.is_reached_by(49, 100));
        assert!(!Share::percent(100).is_exceeded_by(u64::MAX, u64::MAX));
        assert_eq!((half.whole_of(100), Share::percent(0).whole_of(1)), (200, 10_000));
    }
}
