//! A ledger that denies records which Kafka still has, or has lost its newest manifest, is found out, and an honest one
//! is not.

use std::path::Path;
use std::time::Duration;

use eventsink_e2e::{Access, Kafka, Target, Worker, Workspace, folder, patiently, settings, sink, worker};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_ledger_that_calls_records_absent_is_found_out_by_the_log_alone() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let folder = space.join("lake");
    let topic = kafka.create_topic("denied", 1);
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &Target::Folder(&folder));
    settings["events"] = serde_json::json!({"non_cloud_events": "skip"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    produce(kafka, &topic);
    let mut running = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(SOON, "the group has committed everything", || kafka.drained(&topic, &topic));
    // Without a mark the newest cut counts as finished by its files alone.
    running.kill9();
    folder::remove_done_marks(&folder);
    worker::audit(&config);

    deny_filtered(&folder);
    let plain = worker::run("audit --deep", &config);
    assert_eq!(plain.code, Some(0), "the bucket alone does not contradict itself:\n{}", plain.text);
    let asked = worker::run("audit --kafka", &config);
    assert_eq!(asked.code, Some(1), "{}", asked.text);
    asked.one_line_with(&["finding", "kafka has records at offsets 1, 3, and", "restore the manifests"]);
}

#[test]
fn a_deleted_tip_is_known_by_its_files_and_by_the_commit_of_the_group() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let folder = space.join("lake");
    let topic = kafka.create_topic("beheaded", 1);
    let settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &Target::Folder(&folder));
    let config = settings::write(space.join("sink.yaml"), &settings);
    produce(kafka, &topic);
    let mut running = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(SOON, "the group has committed everything", || kafka.drained(&topic, &topic));
    running.kill9();
    for kind in ["cuts", "done"] {
        folder::ledger(&folder, kind).iter().for_each(|object| std::fs::remove_file(object).expect("an object"));
    }

    let audit = worker::run("audit", &config);
    assert_eq!(audit.code, Some(1), "{}", audit.text);
    audit.one_line_with(&["finding", &format!("/{topic}/"), "names manifest", "which is not in the ledger"]);
    let lag = worker::run("lag", &config);
    assert_eq!(lag.code, Some(1), "{}", lag.text);
    lag.one_line_with(&["hold", "LedgerMissing", "offset 5 was committed for manifest", "restore the objects"]);
    let mut again = Worker::start(&config, space.join("again.log"), &[]);
    again.wait_until_log_says(&["LedgerMissing", "offset 5 was committed for manifest"]);
}

/// Events at even offsets, records that are none at odd ones: 1 and 3.
fn produce(kafka: &Kafka, topic: &str) {
    let producer: ThreadedProducer<DefaultProducerContext> = kafka.client().create().expect("a producer");
    for id in 0..5 {
        let event = format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t"}}"#);
        let name = if id % 2 == 0 { "application/cloudevents+json" } else { "text/plain" };
        let headers = rdkafka::message::OwnedHeaders::new()
            .insert(rdkafka::message::Header { key: "content-type", value: Some(name) });
        let record = BaseRecord::<(), String>::to(topic).partition(0).payload(&event).headers(headers);
        assert!(producer.send(record).is_ok(), "the producer takes it");
    }
    producer.flush(SOON).expect("the broker has it");
}

/// Makes every manifest say that what it filtered was never there.
fn deny_filtered(folder: &Path) {
    let mut denied = 0;
    for manifest in folder::ledger(folder, "cuts") {
        let mut json: Value = serde_json::from_slice(&std::fs::read(&manifest).expect("a manifest")).expect("JSON");
        let filtered = std::mem::replace(&mut json["filtered"], serde_json::json!([]));
        denied += filtered.as_array().map_or(0, Vec::len);
        json["absent"] = filtered;
        std::fs::write(&manifest, json.to_string()).expect("it can be written");
    }
    assert_eq!(denied, 2, "two filtered ranges");
}
