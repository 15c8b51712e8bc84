//! What a worker can be told: one type per section, with defaults and meaning beside each key.
//!
//! Types and pure functions only. Reading files, layering and complaining belong to the worker's loader;
//! rules between fields are checked there, so a value built here by hand may still be refused by it.

mod clouds;
mod dead_letter;
mod kafka;
mod oauth;
mod observability;
mod options;
mod storage;
mod text;
mod values;
mod warnings;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use clouds::{Azure, Gcs, Sse, SseType};
pub use dead_letter::{DeadLetter, Share};
pub use kafka::{Consumer, Kafka, OnLoss, OnOffsetsMoved, Sasl, SaslMechanism, SecurityProtocol, Tls};
pub use oauth::OAuth;
pub use observability::{Log, LogFormat, Metrics, Observability, Traces};
pub use options::{Options, PASSED_ON, refusal};
pub use storage::{Backend, Compression, FileStore, Format, PartitionBy, S3, Storage, StoreTimeouts};
pub use values::{List, Secret, Size, Span, StartFrom};

/// All settings of one worker.
///
/// `Default` is the settings of an empty file. It lacks what every worker must be told: bootstrap
/// servers, group and topics, and the bucket or folder to write to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of this sink, kept in the bucket beside the ledger. Default: the consumer group's id.
    pub sink: Option<String>,
    /// Where events come from.
    pub kafka: Kafka,
    /// Where files go and what they look like.
    pub storage: Storage,
    /// What counts as an event.
    pub events: Events,
    /// What becomes of records that are no valid events, beside their files.
    pub dead_letter: DeadLetter,
    /// When a file is closed; the first limit that is reached closes it.
    pub rotation: Rotation,
    /// How failed requests to the store are repeated.
    pub retry: Retry,
    /// When requests to the store are no longer sent, and when they are again.
    pub breaker: Breaker,
    /// How much memory the worker may use.
    pub memory: Memory,
    /// How the worker stops.
    pub shutdown: Shutdown,
    /// Health, metrics, logs and traces.
    pub observability: Observability,
}

impl Settings {
    /// The sink's name: `sink`, else the consumer group's id.
    pub fn sink_name(&self) -> &str {
        self.sink.as_deref().unwrap_or(&self.kafka.consumer.group_id)
    }
}

/// Section `events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// What happens to a record that is no CloudEvent at all. Default: `reject`.
    pub non_cloud_events: NonCloudEvents,
    /// Rules of the specification that events may break. Default: none.
    #[serde(with = "text::names")]
    pub lenient: BTreeSet<Leniency>,
}

/// What happens to a record that is no CloudEvent at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leniency {
    /// Names of headers count in any case: `CE_Id` is `ce_id`.
    HeaderCase,
    /// `time` may have a space in the place of its T.
    TimeSpace,
    /// Extensions may have other names than of a-z and 0-9, up to 128 bytes, and keep them.
    ExtensionNames,
}

/// Section `rotation`: when a file is closed. The first limit that is reached counts, per partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// Size of the largest encoded file of a cut, 1KiB to 256MiB. Default: `128MiB`.
    pub max_bytes: Size,
    /// Records in a cut, 1 to 100000000. Default: 1000000.
    #[serde(with = "text::count")]
    pub max_records: u64,
    /// Time since the first record of a cut was read, at least 100ms. Default: `10m`.
    pub max_age: Span,
    /// Time since the last record of a cut was read, at least 100ms. Default: `2m`.
    pub max_idle: Span,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            max_bytes: Size::mib(128),
            max_records: 1_000_000,
            max_age: Span::from_secs(600),
            max_idle: Span::from_secs(120),
        }
    }
}

/// Section `retry`: exponential backoff with full jitter between two attempts at the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Upper limit of the first pause. Default: `200ms`.
    pub initial_delay: Span,
    /// Upper limit of any pause; not below `initial_delay`. Default: `30s`.
    pub max_delay: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self { initial_delay: Span::from_millis(200), max_delay: Span::from_secs(30) }
    }
}

/// Section `breaker`: while the store fails, requests to it wait, no cut begins, and one request at a time finds out
/// whether the store is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// Requests of this past time are judged, 1s to 1h. Default: `60s`.
    pub window: Span,
    /// Fewer requests in the window are not judged, at least 1; so many failures in a row open it in any case.
    /// Default: 3.
    #[serde(with = "text::count")]
    pub min_requests: u64,
    /// It opens when so large a share of them failed, more than 0%. One refusal of keys or of the bucket opens it
    /// in any case. Default: `50%`.
    pub failure_share: Share,
    /// How long it stays open at first, 100ms to 1h; up to half of it is left out by chance, and it doubles with each
    /// failed probe. Default: `5s`.
    pub open: Span,
    /// It stays open no longer than this at a time, unless the store asks for it; not below `open`, at most 1h.
    /// Default: `2m`.
    pub max_open: Span,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            window: Span::from_secs(60),
            min_requests: 3,
            failure_share: Share::percent(50),
            open: Span::from_secs(5),
            max_open: Span::from_secs(120),
        }
    }
}

/// Section `memory`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Limit for records, buffers and files in memory, at least 8MiB; code, threads and heaps come beside it.
    /// Default: 60 % of the container's limit, 512MiB where there is none.
    pub budget: Option<Size>,
}

/// Section `shutdown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// Time to finish open cuts after a stop signal or for another worker, 100ms to 1h and at least 5s less than
    /// `kafka.consumer.max_poll_interval`. Keep it below the platform's grace period (Kubernetes: 30s unless set).
    /// Default: `25s`.
    pub deadline: Span,
}

impl Shutdown {
    /// A partition may take so much longer than the deadline to be let go.
    pub const PATIENCE: Span = Span::from_secs(5);
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { deadline: Span::from_secs(25) }
    }
}
