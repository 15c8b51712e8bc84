//! The settings that change rows or keys. An old cut is finished under its own rules, so they are kept
//! in the bucket under their digest. May hold no setting that leaves rows and keys as they are.

use crate::events::{Lenient, NonCloudEvents};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Format of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet.
    #[default]
    Parquet,
    /// Apache Avro object container files.
    Avro,
}

impl Format {
    /// The name in rules, which is the extension of keys too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Avro => "avro",
        }
    }

    /// The format of the file at a key: what does not end in `.avro` is taken for Parquet, and its bytes tell.
    #[must_use]
    pub fn of(key: &str) -> Self {
        if key.ends_with(".avro") { Self::Avro } else { Self::Parquet }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Parquet => "Parquet",
            Self::Avro => "Avro",
        })
    }
}

/// Which time names the day (`dt`) of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PartitionBy {
    /// The event's `time` where it is near the Kafka timestamp, else the Kafka timestamp.
    #[default]
    EventTime,
    /// The Kafka timestamp.
    KafkaTimestamp,
}

/// Every setting that changes rows or keys.
///
/// A setting added later must be left out of the JSON while it has its default
/// (`skip_serializing_if`), so that the digest of older rules stays what it was. An unknown setting is an
/// error: rules of a newer version cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Version of what is fixed in code: key template, columns, the window of event times, row digest.
    pub layout: u32,
    /// Format of the files.
    pub format: Format,
    /// Which time names the day.
    pub partition_by: PartitionBy,
    /// `schema_version` of an event that has none.
    pub default_schema_version: String,
    /// Most (schema version, day) pairs with a file of their own in one cut; later ones share `other`.
    pub max_open_keys: u32,
    /// Policy for records that are not CloudEvents at all.
    pub non_cloud_events: NonCloudEvents,
    /// Extension attributes with a column of their own, after the fixed ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Rules that events may break.
    #[serde(default, skip_serializing_if = "Lenient::is_empty")]
    pub lenient: Lenient,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            layout: 1,
            format: Format::Parquet,
            partition_by: PartitionBy::EventTime,
            default_schema_version: "v1".to_owned(),
            max_open_keys: 64,
            non_cloud_events: NonCloudEvents::Reject,
            columns: Vec::new(),
            lenient: Lenient::default(),
        }
    }
}

impl Rules {
    /// The JSON that is digested and stored: fields in declared order, no white space.
    pub fn canonical_json(&self) -> String {
        // Text, numbers and unit variants only, and a String never fails: this cannot go wrong.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// First 32 hex digits of the SHA-256 of the canonical JSON; the name of these rules.
    pub fn digest(&self) -> String {
        Self::digest_of(self.canonical_json().as_bytes())
    }

    /// [`Self::digest`] of rules as they are stored, which may be of a newer version.
    pub fn digest_of(stored: &[u8]) -> String {
        hex(&Sha256::digest(stored).as_slice()[..16])
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Leniency;

    #[test]
    fn the_digest_of_the_default_rules_never_changes() {
        let rules = Rules::default();
        assert_eq!(
            rules.canonical_json(),
            r#"{"layout":1,"format":"parquet","partition_by":"EventTime","default_schema_version":"v1","max_open_keys":64,"non_cloud_events":"reject"}"#
        );
        assert_eq!(rules.digest(), "209f621b604a3c2bcd21633fbc1bebaf");
    }

    #[test]
    fn every_setting_changes_the_digest() {
        let base = Rules::default();
        let others = [
            Rules { layout: 2, ..base.clone() },
            Rules { format: Format::Avro, ..base.clone() },
            Rules { columns: vec!["a".into(), "b".into()], ..base.clone() },
            Rules { columns: vec!["b".into(), "a".into()], ..base.clone() },
            Rules { partition_by: PartitionBy::KafkaTimestamp, ..base.clone() },
            Rules { default_schema_version: "v2".into(), ..base.clone() },
            Rules { max_open_keys: 1, ..base.clone() },
            Rules { non_cloud_events: NonCloudEvents::Skip, ..base.clone() },
            Rules { non_cloud_events: NonCloudEvents::Wrap, ..base.clone() },
            Rules { non_cloud_events: NonCloudEvents::AssumeStructured, ..base.clone() },
            Rules { lenient: [Leniency::HeaderCase].into_iter().collect(), ..base.clone() },
            Rules { lenient: [Leniency::TimeSpace].into_iter().collect(), ..base.clone() },
            Rules { lenient: [Leniency::ExtensionNames].into_iter().collect(), ..base.clone() },
        ];
        let digests: std::collections::BTreeSet<String> = others.iter().chain([&base]).map(Rules::digest).collect();
        assert_eq!(digests.len(), others.len() + 1);
    }

    #[test]
    fn stored_rules_read_back_as_they_were() {
        let rules = Rules {
            default_schema_version: "a\"ü/".into(),
            format: Format::Avro,
            columns: vec!["tenant".into()],
            lenient: [Leniency::TimeSpace].into_iter().collect(),
            ..Rules::default()
        };
        let read: Rules = serde_json::from_str(&rules.canonical_json()).unwrap();
        assert_eq!(read, rules);
    }

    #[test]
    fn rules_of_a_newer_version_are_refused() {
        let json = Rules::default().canonical_json().replace("\"layout\"", "\"new\":1,\"layout\"");
        assert!(serde_json::from_str::<Rules>(&json).is_err());
    }
}
