//! The counters of the worker, in the names of Prometheus. No event data in labels.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, HistogramVec, Opts, Registry,
};

/// Registry and counters.
pub struct Metrics {
    /// All of the metrics below.
    pub registry: Registry,
    /// Records by what became of them: `written`, `dead`, `filtered`; the first two once durable.
    pub records: IntCounterVec,
    /// Records that became dead letters, by reason; counted when decoded.
    pub dead: IntCounterVec,
    /// Cuts closed, by trigger.
    pub cuts: IntCounterVec,
    /// Cuts closed early because memory was short.
    pub early_cuts: IntCounter,
    /// Files written, by kind.
    pub files: IntCounterVec,
    /// Size of files.
    pub file_bytes: Histogram,
    /// Time from the first try of an upload to its end.
    pub upload_seconds: HistogramVec,
    /// Failed tries at the store, by kind.
    pub store_errors: IntCounterVec,
    /// Answers to commits.
    pub commits: IntCounterVec,
}
