//! What a worker answers on `/status`; the operator reads the same types.

use serde::{Deserialize, Serialize};

/// The state of one worker process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerStatus {
    /// Name of the sink.
    pub sink: String,
    /// Id of the ledger; empty until the prefix is open.
    pub ledger: String,
    /// Guarantee in force: `exactly-once-in-a-file`, or `at-least-once` on a store without create-only writes.
    pub guarantee: String,
    /// True once the group was joined and the store was probed.
    pub ready: bool,
    /// Partitions assigned to this worker.
    pub partitions: Vec<PartitionStatus>,
    /// State of the circuit breaker of the store.
    pub breaker: BreakerState,
    /// The store's last error while it persists.
    pub store_error: Option<String>,
    /// The Kafka client's last error.
    pub kafka_error: Option<String>,
    /// Files that this process has written, dead-letter files among them.
    pub files_written: u64,
    /// Bytes in them.
    pub bytes_written: u64,
    /// Dead letters in them.
    pub dead_lettered: u64,
    /// Bytes held: prefetched records, builders, encoded files.
    pub memory_used: u64,
    /// Byte budget.
    pub memory_budget: u64,
}

/// State of a circuit breaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Requests are sent.
    #[default]
    Closed,
    /// One request finds out whether the store is back; the others wait.
    HalfOpen,
    /// Requests wait, and no cut begins.
    Open,
}

impl BreakerState {
    /// As in `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// The state of one partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionStatus {
    /// Topic.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// `resolving`, `adopting`, `reading` or `held`.
    pub stage: String,
    /// Every offset below it is accounted for by finished cuts; -1 while unknown.
    pub frontier: i64,
    /// Next offset to be read; -1 while nothing is read.
    pub read_position: i64,
    /// First offset that the log still has; -1 while unknown.
    pub low_watermark: i64,
    /// Next offset that the log will give; -1 while unknown.
    pub high_watermark: i64,
    /// Offsets of the log that were not read yet; those of a transaction that is still open cannot be.
    pub unread: u64,
    /// Records read that are not yet in a finished cut.
    pub buffered: u64,
    /// Age in milliseconds of the oldest record that was read and is not yet durable.
    pub oldest_unpersisted_ms: u64,
    /// A closed cut is being written.
    pub in_flight: bool,
    /// Why nothing moves, if so.
    pub hold: Option<HoldStatus>,
}

/// A partition on hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HoldStatus {
    /// Stable name of the reason.
    pub reason: String,
    /// First offset concerned.
    pub from: i64,
    /// First offset after those concerned.
    pub to: i64,
    /// What was found and the way out.
    pub detail: String,
}
