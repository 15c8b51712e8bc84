//! The counters of the worker, in Prometheus' conventions. No event data in labels.

use crate::cut::Trigger;
use crate::events::{Note, Reason};
use crate::files::FileKind;
use crate::kafka::dead_letters::Copied;
use crate::kafka::poll::Pulse;
use crate::store::StoreErrorKind;
use eventsink_crds::status::{BreakerState, WorkerStatus};
use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// Registry and counters.
pub struct Metrics {
    registry: Registry,
    /// Name of the sink, a label of every metric.
    sink: String,
    /// Whether what is told of partitions carries their numbers.
    partition_label: bool,
    /// Rows of events in files that are durable.
    pub written: IntCounter,
    /// Rows of dead letters in files that are durable.
    pub dead: IntCounter,
    /// Copies of dead letters for their topic, by [`Copied`]; a cut that is adopted may be copied again.
    pub copied: IntCounterVec,
    /// Records left out by the sink's policy, counted when they are read.
    pub filtered: IntCounter,
    /// Records dropped because their offset was already accounted for, or because reading had begun anew elsewhere.
    pub stale: IntCounter,
    /// Records that can never become an event, by [`Reason`], counted when they are decoded: a record that is read
    /// again counts again.
    pub rejected: IntCounterVec,
    /// Valid events with something odd about them, by [`Note`], counted like `rejected`.
    pub lenient: IntCounterVec,
    /// Rows whose folder is `dt=1970-01-01` because no timestamp was usable.
    pub undated: IntCounter,
    /// Cuts that had more folders than may be open at once, so that rows went to `other`.
    pub overflowed: IntCounter,
    /// Cuts closed, by [`Trigger`].
    pub cuts: IntCounterVec,
    /// Files written, by kind.
    pub files: IntCounterVec,
    /// Size of files.
    pub file_bytes: Histogram,
    /// Time spent on encoding, by step: `rows` of one batch, decoding included, and `close` of one cut.
    pub encode_seconds: HistogramVec,
    /// Time from the first try of an upload to its end.
    pub upload_seconds: HistogramVec,
    /// Tries of uploads that failed and are made again, by kind of failure.
    pub upload_retries: IntCounterVec,
    /// Failed tries at the store, uploads included, by kind.
    pub store_errors: IntCounterVec,
    /// Commits that Kafka refused or did not answer, by code.
    pub commit_failures: IntCounterVec,
    /// Unix time of the last commit that succeeded; 0 before the first.
    pub last_commit: Gauge,
}

impl Metrics {
    /// Fresh counters of a sink in a registry of their own. Those whose labels are known are there from the start, so that a
    /// rate over the first of a kind is not lost.
    ///
    /// # Errors
    /// Two metrics with one name.
    pub fn new(sink: &str) -> prometheus::Result<Self> {
        let new = New(registry(sink)?);
        let metrics = Self {
            written: new.counter("eventsink_records_written_total", "Events in durable files.")?,
            dead: new.counter("eventsink_records_dead_total", "Dead letters in durable files.")?,
            copied: new.counters("eventsink_dead_letter_copies_total", "Dead letters for their topic.", "outcome")?,
            filtered: new.counter("eventsink_records_filtered_total", "Records left out by policy, when read.")?,
            stale: new.counter("eventsink_records_stale_total", "Records read that were accounted for already.")?,
            rejected: new.counters("eventsink_records_rejected_total", "No valid events, when decoded.", "reason")?,
            lenient: new.counters("eventsink_decode_lenient_total", "Valid events with an oddity.", "rule")?,
            undated: new.counter("eventsink_rows_undated_total", "Rows under 1970-01-01 for want of a time.")?,
            overflowed: new.counter("eventsink_cuts_overflowed_total", "Cuts with rows in the folder other.")?,
            cuts: new.counters("eventsink_cuts_closed_total", "Cuts closed, by what closed them.", "trigger")?,
            files: new.counters("eventsink_files_written_total", "Files written.", "kind")?,
            file_bytes: new.sizes("eventsink_file_size_bytes", "Size of files.")?,
            encode_seconds: new.times("eventsink_encode_duration_seconds", "Encoding a batch or a close.", "step")?,
            upload_seconds: new.times("eventsink_upload_duration_seconds", "Uploads, retries included.", "outcome")?,
            upload_retries: new.counters(
                "eventsink_upload_retries_total",
                "Uploads tried again, by failure.",
                "kind",
            )?,
            store_errors: new.counters("eventsink_store_errors_total", "Failed tries at the store.", "kind")?,
            commit_failures: new.counters("eventsink_commit_failures_total", "Commits that failed.", "code")?,
            last_commit: new.gauge("eventsink_last_commit_timestamp_seconds", "Unix time of the last good commit.")?,
            registry: new.0,
            sink: sink.to_owned(),
            partition_label: true,
        };
        for reason in Reason::ALL {
            metrics.rejected.with_label_values(&[reason.as_str()]);
        }
        for outcome in Copied::ALL {
            metrics.copied.with_label_values(&[outcome.as_str()]);
        }
        for note in Note::ALL {
            metrics.lenient.with_label_values(&[note.as_str()]);
        }
        for trigger in Trigger::ALL {
            metrics.cuts.with_label_values(&[trigger.as_str()]);
        }
        for kind in StoreErrorKind::ALL {
            metrics.store_errors.with_label_values(&[kind.as_str()]);
            metrics.upload_retries.with_label_values(&[kind.as_str()]);
        }
        for kind in [FileKind::Rows, FileKind::DeadLetters] {
            metrics.files.with_label_values(&[kind.as_str()]);
        }
        Ok(metrics)
    }

    /// Whether what is told of partitions carries their numbers, or is told per topic.
    #[must_use]
    pub fn per_partition(self, partition_label: bool) -> Self {
        Self { partition_label, ..self }
    }

    /// The text that Prometheus scrapes: the counters, and the present state of the worker.
    ///
    /// # Errors
    /// A metric without a value.
    pub fn text(&self, status: &WorkerStatus, pulse: &Pulse) -> prometheus::Result<Vec<u8>> {
        let now = registry(&self.sink)?;
        state(&now, status, pulse)?;
        per_partition(&now, status, self.partition_label)?;
        let mut families = self.registry.gather();
        families.extend(now.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

/// A registry whose metrics say which sink they are of.
fn registry(sink: &str) -> prometheus::Result<Registry> {
    Registry::new_custom(None, Some(HashMap::from([("sink".to_owned(), sink.to_owned())])))
}

/// Makes metrics and registers them.
struct New(Registry);

impl New {
    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
        let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        let gauge = Gauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// From 4 KiB to 256 MiB, the largest file.
    fn sizes(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let buckets = prometheus::exponential_buckets(4096.0, 4.0, 9)?;
        let sizes = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
        self.0.register(Box::new(sizes.clone()))?;
        Ok(sizes)
    }

    /// From 1 ms to a minute.
    fn times(&self, name: &str, help: &str, label: &str) -> prometheus::Result<HistogramVec> {
        let buckets = prometheus::exponential_buckets(0.001, 3.0, 11)?;
        let times = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), &[label])?;
        self.0.register(Box::new(times.clone()))?;
        Ok(times)
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
    count(
        "eventsink_bytes_consumed_total",
        "Bytes of keys, values and headers read.",
        pulse.bytes.load(Ordering::Relaxed),
    )?;
    count("eventsink_rebalances_total", "Assignments and revocations.", pulse.rebalances.load(Ordering::Relaxed))?;
    let breaker = match status.breaker {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
    };
    gauge("eventsink_breaker_state", "Breaker of the store: 0 closed, 1 half-open, 2 open.", breaker)?;
    gauge("eventsink_memory_used_bytes", "Bytes of the budget in use.", status.memory_used)?;
    gauge("eventsink_memory_budget_bytes", "Byte budget.", status.memory_budget)?;
    gauge("eventsink_partitions", "Partitions assigned.", status.partitions.len() as u64)?;
    let stalled = IntGaugeVec::new(Opts::new("eventsink_partitions_stalled", "Partitions on hold."), &["reason"])?;
    for hold in status.partitions.iter().filter_map(|partition| partition.hold.as_ref()) {
        stalled.with_label_values(&[&hold.reason]).inc();
    }
    registry.register(Box::new(stalled))?;
    let build = IntGaugeVec::new(Opts::new("eventsink_build_info", "Version of the worker."), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))
}

/// What is told of partitions: of each, or summed per topic, and then the oldest age of any.
fn per_partition(registry: &Registry, status: &WorkerStatus, label: bool) -> prometheus::Result<()> {
    let labels = if label { &["topic", "partition"][..] } else { &["topic"] };
    let gauge = |name: &str, help: &str| {
        let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
        registry.register(Box::new(gauge.clone()))?;
        prometheus::Result::Ok(gauge)
    };
    let unread = gauge("eventsink_unread_records", "Records not read yet.")?;
    let kept = gauge("eventsink_log_records", "Offsets that the log has, read ones included.")?;
    let buffered = gauge("eventsink_buffered_records", "Records read, not yet durable.")?;
    let age = gauge(
        "eventsink_oldest_unpersisted_age_seconds",
        "Age of the oldest record that was read and is not durable.",
    )?;
    for partition in &status.partitions {
        let number = partition.partition.to_string();
        let at = &[partition.topic.as_str(), number.as_str()][..labels.len()];
        // Unknown is not zero: without both ends there is no sample.
        if (partition.read_position >= 0 || partition.hold.is_some()) && partition.high_watermark >= 0 {
            unread.with_label_values(at).add(partition.unread as f64);
        }
        if partition.low_watermark >= 0 && partition.high_watermark >= partition.low_watermark {
            kept.with_label_values(at).add((partition.high_watermark - partition.low_watermark) as f64);
        }
        buffered.with_label_values(at).add(partition.buffered as f64);
        let age = age.with_label_values(at);
        age.set(age.get().max(partition.oldest_unpersisted_ms as f64 / 1000.0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventsink_crds::status::PartitionStatus;
    use std::collections::HashSet;

    fn scraped(partitions: Vec<PartitionStatus>) -> String {
        let status = WorkerStatus { partitions, ..WorkerStatus::default() };
        let text = Metrics::new("lake").unwrap().text(&status, &Pulse::default()).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_name_is_told_once_and_by_the_conventions() {
        let text = scraped(vec![PartitionStatus { topic: "t".to_owned(), ..PartitionStatus::default() }]);
        let mut names = HashSet::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(names.insert(name), "{name} twice");
            assert!(name.starts_with("eventsink_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        }
        assert!(names.len() > 20, "{text}");
    }

    #[test]
    fn every_sample_says_which_sink_it_is_of() {
        let text = scraped(vec![PartitionStatus { topic: "t".to_owned(), ..PartitionStatus::default() }]);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.contains("sink=\"lake\""), "{line}");
        }
    }

    #[test]
    fn what_never_happened_is_zero_and_not_absent() {
        let text = scraped(vec![]);
        for sample in [
            "eventsink_records_written_total{sink=\"lake\"} 0",
            "eventsink_records_rejected_total{reason=\"MissingAttribute\",sink=\"lake\"} 0",
            "eventsink_decode_lenient_total{rule=\"HeaderCase\",sink=\"lake\"} 0",
            "eventsink_cuts_closed_total{trigger=\"memory\",sink=\"lake\"} 0",
            "eventsink_dead_letter_copies_total{outcome=\"parked\",sink=\"lake\"} 0",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample} is not in\n{text}");
        }
    }

    #[test]
    fn the_breaker_is_a_number() {
        for (breaker, number) in [(BreakerState::Closed, 0), (BreakerState::HalfOpen, 1), (BreakerState::Open, 2)] {
            let status = WorkerStatus { breaker, ..WorkerStatus::default() };
            let text = Metrics::new("lake").unwrap().text(&status, &Pulse::default()).unwrap();
            let sample = format!("eventsink_breaker_state{{sink=\"lake\"}} {number}\n");
            assert!(String::from_utf8(text).unwrap().contains(&sample), "{breaker:?} is not {number}");
        }
    }

    #[test]
    fn a_partition_whose_position_is_unknown_has_no_unread_sample() {
        let unknown = PartitionStatus { topic: "t".to_owned(), read_position: -1, ..PartitionStatus::default() };
        assert!(!scraped(vec![unknown]).contains("eventsink_unread_records{"));
        let known = PartitionStatus { topic: "t".to_owned(), high_watermark: 7, unread: 7, ..Default::default() };
        assert!(scraped(vec![known]).contains("eventsink_unread_records{partition=\"0\",topic=\"t\",sink=\"lake\"} 7"));
    }

    #[test]
    fn without_the_label_partitions_are_told_per_topic() {
        let one = |partition: i32, unread: u64, oldest_unpersisted_ms: u64| PartitionStatus {
            topic: "t".to_owned(),
            partition,
            high_watermark: 10,
            unread,
            oldest_unpersisted_ms,
            ..PartitionStatus::default()
        };
        let status = WorkerStatus { partitions: vec![one(0, 3, 9000), one(1, 4, 2000)], ..WorkerStatus::default() };
        let text = Metrics::new("lake").unwrap().per_partition(false).text(&status, &Pulse::default()).unwrap();
        let text = String::from_utf8(text).unwrap();
        for sample in [
            "eventsink_unread_records{topic=\"t\",sink=\"lake\"} 7",
            "eventsink_log_records{topic=\"t\",sink=\"lake\"} 20",
            "eventsink_oldest_unpersisted_age_seconds{topic=\"t\",sink=\"lake\"} 9",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample} is not in\n{text}");
        }
        assert!(!text.contains("partition="), "{text}");
    }
}
