//! `spec.file`, `spec.events` and `spec.deadLetter`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the files look like and when one is closed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Parquet or Avro (object container files with the same columns). It may change: cuts that are planned are finished
    /// in the old one.
    #[serde(default)]
    pub format: Format,
    /// Compression inside the files: Zstd, Snappy, Gzip (Avro knows it as deflate) or None.
    #[serde(default)]
    pub compression: Compression,
    /// Which time names the folder `dt=`: EventTime (the event's `time` when it is believable) or KafkaTimestamp.
    #[serde(default)]
    pub partition_by: PartitionBy,
    /// The folder for events that name no schema version.
    #[serde(default = "v1")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9-][A-Za-z0-9._-]*$"))]
    pub schema_version: String,
    /// Extension attributes that become text columns of their own, after the others and in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128), regex(pattern = "^[a-z][a-z0-9]*$")))]
    pub columns: Vec<String>,
    /// When a file is closed; the first limit that is reached counts, per partition.
    #[serde(default)]
    pub rotation: Rotation,
}

impl Default for File {
    fn default() -> Self {
        Self {
            format: Format::default(),
            compression: Compression::default(),
            partition_by: PartitionBy::default(),
            schema_version: v1(),
            columns: Vec::new(),
            rotation: Rotation::default(),
        }
    }
}

fn v1() -> String {
    "v1".to_owned()
}

/// Format of the files.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    #[default]
    Parquet,
    /// Apache Avro object container files with the same columns.
    Avro,
}

/// Compression inside the files.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard: small and quick.
    #[default]
    Zstd,
    /// Larger files than Zstd, read by everything.
    Snappy,
    /// For readers that know nothing else; slow to write.
    Gzip,
    /// No compression.
    None,
}

/// Which time names the folder `dt=`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionBy {
    /// The event's `time` when it has a believable one, else the Kafka timestamp.
    #[default]
    EventTime,
    /// The timestamp of the Kafka record.
    KafkaTimestamp,
}

/// When a file is closed. The first limit that is reached counts, per partition.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("quantity(self.maxBytes.replace('B', '')).compareTo(quantity('1Ki')) >= 0 && quantity(self.maxBytes.replace('B', '')).compareTo(quantity('256Mi')) <= 0")
    .message("file.rotation.maxBytes must be from 1KiB to 256MiB"))]
#[x_kube(validation = Rule::new("duration(self.maxAge) >= duration('100ms') && duration(self.maxIdle) >= duration('100ms')")
    .message("file.rotation.maxAge and maxIdle must be at least 100ms"))]
pub struct Rotation {
    /// Size of the largest encoded file of a cut, 1KiB to 256MiB.
    #[serde(default = "max_bytes")]
    #[schemars(length(max = 20), regex(pattern = "^[1-9][0-9]*(Ki|Mi|Gi)B?$"))]
    pub max_bytes: String,
    /// Records in a cut.
    #[serde(default = "max_records")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_records: i64,
    /// Time since the first record of a cut was read, such as `10m`.
    #[serde(default = "max_age")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]+(ms|s|m|h))+$"))]
    pub max_age: String,
    /// Time since the last record of a cut was read, such as `2m`.
    #[serde(default = "max_idle")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]+(ms|s|m|h))+$"))]
    pub max_idle: String,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_bytes: max_bytes(), max_records: max_records(), max_age: max_age(), max_idle: max_idle() }
    }
}

fn max_bytes() -> String {
    "128MiB".to_owned()
}

fn max_records() -> i64 {
    1_000_000
}

fn max_age() -> String {
    "10m".to_owned()
}

fn max_idle() -> String {
    "2m".to_owned()
}

/// What counts as an event.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// What happens to a record that is no CloudEvent at all: Reject (a dead letter), Skip (counted, not kept), Wrap (it
    /// becomes the data of an event) or AssumeStructured (without a content type it is read as a CloudEvent in JSON).
    #[serde(default)]
    pub non_cloud_events: NonCloudEvents,
    /// Rules of the specification that events may break: HeaderCase, TimeSpace, ExtensionNames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub leniency: Vec<Leniency>,
}

/// What happens to a record that is no CloudEvent at all.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonCloudEvents {
    /// It becomes a dead letter with its bytes and coordinates.
    #[default]
    Reject,
    /// It is counted as filtered and not kept.
    Skip,
    /// It becomes the data of an event of type `dev.eventsink.kafka.record`.
    Wrap,
    /// One without a content type is read as a CloudEvent in JSON; every other becomes a dead letter.
    AssumeStructured,
}

/// A rule of the specification that events may break.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leniency {
    /// Names of headers count in any case: `CE_Id` is `ce_id`.
    HeaderCase,
    /// `time` may have a space in the place of its T.
    TimeSpace,
    /// Extensions may have other names than of a-z and 0-9, up to 128 bytes, and keep them.
    ExtensionNames,
}

/// What becomes of records that are no valid events, beside their files.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Dead {
    /// Topic that gets a copy of each dead letter, at least once. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub topic: Option<String>,
    /// A partition holds with PoisonFlood when a larger share of its records would be dead letters; `100%` never holds.
    #[serde(default = "half")]
    #[schemars(length(max = 8), regex(pattern = r"^(100|[0-9]{1,2}(\.[0-9]{1,2})?)%$"))]
    pub flood_threshold: String,
    /// Fewer dead letters than this never are a flood.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1))]
    pub flood_min_records: i64,
}

impl Default for Dead {
    fn default() -> Self {
        Self { topic: None, flood_threshold: half(), flood_min_records: hundred() }
    }
}

fn half() -> String {
    "50%".to_owned()
}

fn hundred() -> i64 {
    100
}
