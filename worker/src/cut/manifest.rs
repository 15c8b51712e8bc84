//! The objects of the ledger as they stand in the bucket, and their names.
//!
//! All of them are create-only: what is written once is never changed.

use super::Ranges;
use crate::files::PlannedFile;
use serde::{Deserialize, Serialize};

/// Version of every object of the ledger. A higher one in the bucket is never ignored: the partition holds.
pub const MANIFEST_VERSION: u32 = 1;

/// What the first manifest of a chain gives as its `prev`.
pub const GENESIS_NONCE: &str = "genesis";

/// Folder of the ledger below the base path; the underscore hides it from Spark, Hive and Trino.
pub const LEDGER: &str = "_eventsink";

/// Stands for the id of a topic where the brokers give ids to no topic.
pub const NO_TOPIC_ID: &str = "0";

/// `owner.json`: whose prefix this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Version of the ledger's objects.
    pub version: u32,
    /// Random id of the ledger, made once.
    pub ledger: String,
    /// Id of the Kafka cluster; empty when the broker gives none.
    pub cluster_id: String,
    /// Name of the sink.
    pub sink: String,
    /// Consumer group.
    pub group: String,
}

impl Owner {
    /// Key of the object.
    #[must_use]
    pub fn key() -> String {
        format!("{LEDGER}/owner.json")
    }
}

/// Key of the rules with this digest.
#[must_use]
pub fn rules_key(digest: &str) -> String {
    format!("{LEDGER}/rules/{digest}.json")
}

/// `genesis.json`: where each partition of a topic starts, fixed before the first record is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Version of the ledger's objects.
    pub version: u32,
    /// Ledger that it belongs to.
    pub ledger: String,
    /// One entry per partition, by partition number. A partition beyond them is new and starts at its beginning.
    pub partitions: Vec<PartitionStart>,
}

/// Where one partition starts, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStart {
    /// First offset that the sink accounts for.
    pub offset: i64,
    /// Leader epoch at `offset`; -1 when unknown.
    pub epoch: i32,
    /// `earliest`, `latest`, `timestamp` or `committed`.
    pub why: String,
}

impl Genesis {
    /// Start of a partition; one beyond the count starts at its beginning.
    #[must_use]
    pub fn start(&self, partition: i32) -> PartitionStart {
        usize::try_from(partition)
            .ok()
            .and_then(|p| self.partitions.get(p).cloned())
            .unwrap_or_else(|| PartitionStart { offset: 0, epoch: -1, why: "new partition".to_owned() })
    }
}

/// A manifest: fixes a cut before its first file is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the ledger's objects.
    pub version: u32,
    /// Ledger that it belongs to.
    pub ledger: String,
    /// Topic of the cut.
    pub topic: String,
    /// Partition of the cut.
    pub partition: i32,
    /// First offset of the cut; always the `to` of the previous one.
    pub from: i64,
    /// First offset after the cut.
    pub to: i64,
    /// Leader epoch of the last record below `to`; -1 when unknown.
    pub epoch: i32,
    /// Nonce of the previous manifest, or [`GENESIS_NONCE`].
    pub prev: String,
    /// Random name of this very manifest.
    pub nonce: String,
    /// Digest of the rules that made rows and keys.
    pub rules: String,
    /// Version of the decoder that made the rows.
    pub decoder_version: u32,
    /// The files of the cut, dead letters among them.
    pub files: Vec<PlannedFile>,
    /// Offsets that became dead letters.
    pub dead: Ranges,
    /// Offsets that the sink's policy leaves out.
    pub filtered: Ranges,
    /// Offsets that the log does not have: control records, compacted away.
    pub absent: Ranges,
    /// Offsets that the log lost before they were read; named in `lost/` too.
    #[serde(default, skip_serializing_if = "Ranges::is_empty")]
    pub lost: Ranges,
}

/// Folder of one topic's part of the ledger.
#[must_use]
pub fn topic_prefix(topic: &str, topic_id: &str) -> String {
    format!("{LEDGER}/{topic}/{topic_id}")
}

/// Key of the genesis of a topic.
#[must_use]
pub fn genesis_key(topic: &str, topic_id: &str) -> String {
    format!("{}/genesis.json", topic_prefix(topic, topic_id))
}

/// Folder of the manifests of a partition.
#[must_use]
pub fn cuts_prefix(topic: &str, topic_id: &str, partition: i32) -> String {
    format!("{}/{partition}/cuts", topic_prefix(topic, topic_id))
}

/// Name of a manifest: 19 digits of `2^63-1-from`, so that the newest sorts first.
#[must_use]
pub fn cut_name(from: i64) -> String {
    debug_assert!(from >= 0, "offsets are not negative");
    format!("{:019}.json", i64::MAX - from)
}

/// The `from` that a manifest's name says, or `None` for a name that no manifest has.
#[must_use]
pub fn cut_from(key: &str) -> Option<i64> {
    let name = key.rsplit('/').next()?.strip_suffix(".json")?;
    (name.len() == 19 && name.bytes().all(|b| b.is_ascii_digit()))
        .then(|| name.parse::<i64>().ok().map(|n| i64::MAX - n))?
}

/// Key of the manifest that starts at `from`.
#[must_use]
pub fn cut_key(topic: &str, topic_id: &str, partition: i32, from: i64) -> String {
    format!("{}/{}", cuts_prefix(topic, topic_id, partition), cut_name(from))
}

/// Key of the mark that the cut starting at `from` is finished.
#[must_use]
pub fn done_key(topic: &str, topic_id: &str, partition: i32, from: i64) -> String {
    format!("{}/{partition}/done/{}", topic_prefix(topic, topic_id), cut_name(from))
}

/// Key of the name of a loss `[from, to)`. Both ends are in it: a loss that has grown until the next worker
/// looks is another object, as nothing here is ever changed.
#[must_use]
pub fn lost_key(topic: &str, topic_id: &str, partition: i32, from: i64, to: i64) -> String {
    format!("{}/{partition}/lost/{:019}-{to}.json", topic_prefix(topic, topic_id), i64::MAX - from)
}

/// The loss `[from, to)` that a name in `lost/` says, or `None` for a name that no loss has.
#[must_use]
pub fn lost_range(name: &str) -> Option<(i64, i64)> {
    let (from, to) = name.strip_suffix(".json")?.split_once('-')?;
    let from = cut_from(&format!("{from}.json"))?;
    let range = (from, to.parse().ok()?);
    // One range has one name.
    (from < range.1 && range.1.to_string() == to).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_read_back_from_its_name() {
        let key = lost_key("t", "id", 0, 5, 900);
        assert_eq!(key.rsplit('/').next().and_then(lost_range), Some((5, 900)));
        assert_eq!(lost_range("9223372036854775807-0.json"), None, "an empty range");
        assert_eq!(lost_range(&cut_name(5)), None);
    }

    #[test]
    fn the_newest_manifest_has_the_least_name() {
        assert!(cut_name(12_345) < cut_name(12_344));
        assert!(cut_name(i64::MAX) < cut_name(0));
        assert_eq!(cut_name(0), "9223372036854775807.json");
    }

    #[test]
    fn the_name_gives_back_its_offset() {
        for from in [0, 1, 77, i64::MAX] {
            assert_eq!(cut_from(&cut_key("t", "id", 3, from)), Some(from));
        }
        assert_eq!(cut_from("a/b/notes.json"), None);
    }

    #[test]
    fn a_partition_beyond_the_genesis_starts_at_its_beginning() {
        let genesis = Genesis {
            version: MANIFEST_VERSION,
            ledger: "l".into(),
            partitions: vec![PartitionStart { offset: 9, epoch: 2, why: "latest".into() }],
        };
        assert_eq!(genesis.start(0).offset, 9);
        assert_eq!(genesis.start(1).offset, 0);
    }
}
