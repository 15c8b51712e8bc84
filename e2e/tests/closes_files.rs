//! Files close by size, by records, by age and by idleness: each limit alone, the others out of reach.
//! Closing tests also hold the HTTP pages against what landed.

use std::path::PathBuf;
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mix, Produced, Target, Worker, Workspace, patiently, produce, settings, sink, verify,
};
use serde_json::{Value, json};

const RECORDS: u64 = 4_000;

/// A sink of one partition that closed a cut by one limit alone.
struct Landing {
    worker: Worker,
    produced: Produced,
    topic: String,
    list: PathBuf,
    folder: PathBuf,
    _space: Workspace,
}

/// Produces with `limit` alone in reach, and waits until it, and nothing else, has closed a cut.
fn landing_by(limit: &str, value: &str, pace: Option<u32>) -> Landing {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("rotation", 1);
    let (folder, list) = (space.join("lake"), space.join("list.csv"));
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &Target::Folder(&folder));
    settings["rotation"] =
        json!({"max_bytes": "256MiB", "max_records": 100_000_000, "max_age": "1d", "max_idle": "1d"});
    settings["rotation"][limit] = value.into();
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    worker.wait_until_ready();
    let produced = produce(kafka, &topic, &Mix { pace, ..Mix::of(RECORDS, 1) }, &list);
    let trigger = limit.trim_start_matches("max_");
    patiently(Duration::from_secs(60), &format!("{limit} closes a cut"), || {
        worker.assert_alive();
        let written = worker.metric("eventsink_records_written_total");
        if closed(&worker, trigger) >= 1.0 && written >= Some(1.0) { Ok(()) } else { Err(format!("{written:?}")) }
    });
    for other in
        ["bytes", "records", "age", "idle", "memory", "leaving", "held"].iter().filter(|other| **other != trigger)
    {
        assert_eq!(closed(&worker, other), 0.0, "{other} closed a cut, {limit} alone was in reach");
    }
    Landing { worker, produced, topic, list, folder, _space: space }
}

fn closed(worker: &Worker, trigger: &str) -> f64 {
    worker.metric(&format!("eventsink_cuts_closed_total{{trigger=\"{trigger}\"}}")).unwrap_or_default()
}

impl Landing {
    /// Waits for the rest and compares with the list.
    fn all(self) -> Self {
        patiently(Duration::from_secs(60), "the group has committed everything", || {
            Kafka::shared().drained(&self.topic, &self.topic)
        });
        verify(&self.list, &self.topic, &Target::Folder(&self.folder));
        self
    }
}

#[test]
fn idleness_closes_files() {
    landing_by("max_idle", "1s", None).all();
}

#[test]
fn age_closes_files_while_records_keep_coming() {
    // Four seconds of records, never a pause of a second.
    landing_by("max_age", "1s", Some(1_000)).all();
}

#[test]
fn records_close_files_at_exactly_their_number() {
    let landed = landing_by("max_records", "1000", None).all();
    assert_eq!(closed(&landed.worker, "records"), (RECORDS / 1000) as f64);
}

#[test]
fn size_closes_files_near_it() {
    let landed = landing_by("max_bytes", "16KiB", None);
    let files = |bound: &str| landed.worker.metric(&format!("eventsink_file_size_bytes_bucket{{le=\"{bound}\"}}"));
    assert_eq!(files("65536"), files("+Inf"), "no file is far above 16 KiB");
    let sum = landed.worker.metric("eventsink_file_size_bytes_sum");
    assert!(sum >= Some(8192.0), "files of {sum:?} bytes in all are far below 16 KiB");
}

#[test]
fn the_pages_tell_what_landed() {
    let landed = landing_by("max_idle", "1s", None).all();
    let worker = &landed.worker;
    assert_eq!(worker.metric("eventsink_records_consumed_total"), Some(RECORDS as f64));
    assert_eq!(worker.metric("eventsink_records_written_total"), Some(landed.produced.rows as f64));
    assert_eq!(worker.metric("eventsink_records_dead_total"), Some(landed.produced.dead as f64));
    let status = patiently(Duration::from_secs(30), "nothing is unread or buffered", || {
        let status = worker.status()?;
        let partition = &status["partitions"][0];
        let calm = partition["unread"] == 0 && partition["buffered"] == 0 && partition["high_watermark"] == RECORDS;
        if calm { Ok(status) } else { Err(partition.to_string()) }
    });
    assert_eq!(status["guarantee"], "exactly-once-in-a-file");
    assert_eq!(status["partitions"][0]["frontier"], RECORDS);
    assert_eq!(status["partitions"][0]["hold"], Value::Null);
    assert_eq!((worker.code_of("/health"), worker.code_of("/ready")), (Some(200), Some(200)));
}
