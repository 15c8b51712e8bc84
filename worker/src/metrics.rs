//! The counters of the worker, in Prometheus' conventions. No event data in labels.

use crate::kafka::poll::Pulse;
use eventsink_crds::status::WorkerStatus;
use prometheus::{
    Encoder as _, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use std::sync::atomic::Ordering;

/// Registry and counters.
pub struct Metrics {
    registry: Registry,
    /// Records by what became of them: `written` and `dead` once durable, `filtered` once read.
    pub records: IntCounterVec,
    /// Dead letters by reason, counted when decoded.
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

impl Metrics {
    /// Fresh counters in a registry of their own.
    ///
    /// # Errors
    /// Two metrics with one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let records = counters("eventsink_records_total", "Records by what became of them.", "disposition")?;
        let dead = counters("eventsink_records_dead_total", "Dead letters by reason, counted when decoded.", "reason")?;
        let cuts = counters("eventsink_cuts_closed_total", "Cuts closed, by trigger.", "trigger")?;
        let files = counters("eventsink_files_written_total", "Files written, by kind.", "kind")?;
        let store_errors = counters("eventsink_store_errors_total", "Failed tries at the store.", "kind")?;
        let commits = counters("eventsink_commits_total", "Answers to commits.", "outcome")?;
        let early_cuts = IntCounter::new("eventsink_cuts_early_total", "Cuts closed early because memory was short.")?;
        registry.register(Box::new(early_cuts.clone()))?;
        let sizes = prometheus::exponential_buckets(4096.0, 4.0, 9)?;
        let file_bytes =
            Histogram::with_opts(HistogramOpts::new("eventsink_file_size_bytes", "Size of files.").buckets(sizes))?;
        registry.register(Box::new(file_bytes.clone()))?;
        let times = prometheus::exponential_buckets(0.005, 3.0, 10)?;
        let upload_seconds = HistogramVec::new(
            HistogramOpts::new("eventsink_upload_duration_seconds", "Time of an upload, retries included.")
                .buckets(times),
            &["outcome"],
        )?;
        registry.register(Box::new(upload_seconds.clone()))?;
        Ok(Self { registry, records, dead, cuts, early_cuts, files, file_bytes, upload_seconds, store_errors, commits })
    }

    /// The text that Prometheus scrapes: the counters, and the present state of the worker.
    ///
    /// # Errors
    /// A metric without a value.
    pub fn text(&self, status: &WorkerStatus, pulse: &Pulse) -> prometheus::Result<Vec<u8>> {
        let now = Registry::new();
        state(&now, status, pulse)?;
        let mut families = self.registry.gather();
        families.extend(now.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

/// The state at this moment: no counter has to be kept in step with it.
fn state(registry: &Registry, status: &WorkerStatus, pulse: &Pulse) -> prometheus::Result<()> {
    let gauge = |name: &str, help: &str, value: u64| {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(Box::new(gauge))
    };
    let count = |name: &str, help: &str, value: u64| {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        registry.register(Box::new(counter))
    };
    count("eventsink_records_consumed_total", "Records read.", pulse.records.load(Ordering::Relaxed))?;
    count("eventsink_bytes_consumed_total", "Bytes of keys and values read.", pulse.bytes.load(Ordering::Relaxed))?;
    count("eventsink_rebalances_total", "Assignments and revocations.", pulse.rebalances.load(Ordering::Relaxed))?;
    let failed = pulse.commit_failures.load(Ordering::Relaxed);
    count("eventsink_commit_failures_total", "Commits that failed, per partition.", failed)?;
    gauge("eventsink_memory_used_bytes", "Bytes of the budget in use.", status.memory_used)?;
    gauge("eventsink_memory_budget_bytes", "Byte budget.", status.memory_budget)?;
    gauge("eventsink_partitions", "Partitions assigned.", status.partitions.len() as u64)?;
    per_partition(registry, status)?;
    let stalled = IntGaugeVec::new(Opts::new("eventsink_partitions_stalled", "Partitions on hold."), &["reason"])?;
    for hold in status.partitions.iter().filter_map(|partition| partition.hold.as_ref()) {
        stalled.with_label_values(&[&hold.reason]).inc();
    }
    registry.register(Box::new(stalled))?;
    let build = IntGaugeVec::new(Opts::new("eventsink_build_info", "Version of the worker."), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))
}

fn per_partition(registry: &Registry, status: &WorkerStatus) -> prometheus::Result<()> {
    let labels = ["topic", "partition"];
    let unread = IntGaugeVec::new(Opts::new("eventsink_unread_records", "Records not read yet."), &labels)?;
    let buffered =
        IntGaugeVec::new(Opts::new("eventsink_buffered_records", "Records read, not yet durable."), &labels)?;
    let age = GaugeVec::new(
        Opts::new("eventsink_oldest_unpersisted_age_seconds", "Age of the oldest record read and not yet durable."),
        &labels,
    )?;
    for partition in &status.partitions {
        let number = partition.partition.to_string();
        let at = [partition.topic.as_str(), number.as_str()];
        unread.with_label_values(&at).set(i64::try_from(partition.unread).unwrap_or(i64::MAX));
        buffered.with_label_values(&at).set(i64::try_from(partition.buffered).unwrap_or(i64::MAX));
        age.with_label_values(&at).set(partition.oldest_unpersisted_ms as f64 / 1000.0);
    }
    registry.register(Box::new(unread))?;
    registry.register(Box::new(buffered))?;
    registry.register(Box::new(age))
}
