//! The byte budget is hard: in a container of 256 MiB nothing is killed, however many files are open and however large
//! the records are, and every row is there.

use std::time::Duration;

use eventsink_e2e::{
    Access, Cgroup, Kafka, Mix, S3, Target, Worker, Workspace, folder, patiently, produce, settings, sink, verify,
    worker,
};
use serde_json::json;

const LIMIT: u64 = 256 << 20;
/// What a worker may take beyond its budget.
const BESIDE_THE_BUDGET: u64 = 96 << 20;

/// Lands a mix in a container of [`LIMIT`] bytes.
fn land(mix: &Mix) {
    let (kafka, server, space) = (Kafka::shared(), S3::shared(), Workspace::new());
    let bucket = server.make_bucket("budget");
    let target = Target::Bucket { server, bucket: &bucket, prefix: "lake" };
    let largest = (2_000_000 + 2 * mix.padding).to_string();
    let partitions = i32::try_from(mix.partitions).unwrap();
    let topic = kafka.create_topic_with("budget", partitions, &[("max.message.bytes", &largest)]);
    let list = space.join("list.csv");
    let produced = produce(kafka, &topic, mix, &list);
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
    settings["rotation"] = json!({"max_age": "1h", "max_idle": "5s"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let group = Cgroup::with_memory(LIMIT);
    let mut worker = Worker::start_in(&group, &config, space.join("worker.log"));
    patiently(Duration::from_secs(300), "the group has committed everything", || {
        assert_eq!(group.kills(), 0, "killed for want of memory");
        worker.assert_alive();
        kafka.drained(&topic, &topic).map_err(|words| format!("{words}\n{:?}", worker.status()))
    });
    let (peak, budget) = (worker.peak_memory(), worker.status().unwrap()["memory_budget"].as_u64().unwrap());
    eprintln!("{mix:?}: {} of {} MiB, group {} MiB", peak >> 20, budget >> 20, group.peak() >> 20);
    assert_eq!(budget, LIMIT / 100 * 60, "the worker sees the limit of its own group");
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    assert_eq!(group.kills(), 0, "killed for want of memory");
    assert!(peak <= budget + BESIDE_THE_BUDGET, "{peak} bytes are more than {budget} and {BESIDE_THE_BUDGET}");
    let report = verify(&list, &topic, &target);
    assert_eq!((report.rows, report.dead), (produced.rows, produced.dead));
    worker::audit(&config);
}

#[test]
fn sixty_partitions_with_one_file_each() {
    land(&Mix::of(400_000, 60));
}

#[test]
fn sixty_partitions_with_a_few_files_each() {
    land(&Mix { days: 2, versions: 2, ..Mix::of(400_000, 60) });
}

#[test]
fn sixty_partitions_with_sixty_four_files_each() {
    land(&Mix { days: 16, versions: 4, ..Mix::of(300_000, 60) });
}

#[test]
fn records_of_twenty_megabytes() {
    land(&Mix { padding: 20_000_000, invalid_per_thousand: 100, ..Mix::of(30, 6) });
}

#[test]
fn versions_that_alternate_make_no_more_files_than_versions_times_rotations() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let (lake, list) = (space.join("lake"), space.join("list.csv"));
    let topic = kafka.create_topic("versions", 1);
    let mix = Mix { versions: 2, invalid_per_thousand: 0, ..Mix::of(20_000, 1) };
    produce(kafka, &topic, &mix, &list);
    let target = Target::Folder(&lake);
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
    settings["rotation"] = json!({"max_records": 3_000, "max_age": "1h", "max_idle": "2s"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(Duration::from_secs(60), "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&topic, &topic)
    });
    let report = verify(&list, &topic, &target);
    let rotations = folder::ledger(&lake, "cuts").len() as u64;
    assert_eq!((report.rows, rotations, report.files), (20_000, 7, 2 * rotations));
    worker::audit(&config);
}
