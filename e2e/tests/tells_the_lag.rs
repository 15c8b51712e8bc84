//! `lag` beside a real broker: three figures per partition, and what would hold the sink, without joining its group.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, Target, Worker, Workspace, patiently, produce, settings, sink, worker,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

const PARTITIONS: i32 = 2;

/// Exit code and answer.
fn lag(config: &Path) -> (Option<i32>, Value) {
    let mut command = Command::new(worker::binary());
    let output = command.args(["lag", "--json", "--config"]).arg(config).output().expect("the worker runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let answer = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}{err}"));
    (output.status.code(), answer)
}

fn move_offset(kafka: &Kafka, topic: &str, to: i64) {
    let consumer: BaseConsumer = kafka.client().set("group.id", topic).create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(to)).expect("an offset");
    consumer.commit(&list, CommitMode::Sync).expect("the broker takes the commit");
}

#[test]
fn lag_tells_what_is_unread_what_is_not_durable_and_what_would_hold() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("lag", PARTITIONS);
    let folder = space.join("lake");
    std::fs::create_dir(&folder).expect("a folder");
    let access = Access::SaslSsl(Mechanism::ScramSha512);
    let settings = sink(&topic, &topic, kafka.settings(access), &Target::Folder(&folder));
    let config = settings::write(space.join("sink.yaml"), &settings);

    produce(kafka, &topic, &Mix::of(1_000, PARTITIONS.unsigned_abs()), &space.join("first.csv"));
    let (code, fresh) = lag(&config);
    assert_eq!((code, &fresh["ledger"]), (Some(0), &Value::Null), "{fresh}");
    assert_eq!(fresh["totals"]["without_ledger"], PARTITIONS, "unknown is not zero: {fresh}");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0, "lag writes nothing");

    let mut sink = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(Duration::from_secs(60), "the group has committed everything", || {
        sink.assert_alive();
        kafka.drained(&topic, &topic)
    });
    assert_eq!(sink.terminate().code(), Some(0), "{}", sink.log());
    let (code, drained) = lag(&config);
    let totals = &drained["totals"];
    assert_eq!((code, &totals["unread"], &totals["unpersisted"]), (Some(0), &0.into(), &0.into()), "{drained}");
    assert_eq!(drained["topics"][0]["partitions"][1]["tip"]["finished"], true, "{drained}");

    produce(kafka, &topic, &Mix::of(500, PARTITIONS.unsigned_abs()), &space.join("second.csv"));
    let (_, behind) = lag(&config);
    let totals = &behind["totals"];
    assert_eq!((&totals["unread"], &totals["unpersisted"]), (&500.into(), &500.into()), "{behind}");

    let partition = &behind["topics"][0]["partitions"][0];
    let (end, frontier) = (partition["log_end"].as_i64().expect("an end"), partition["frontier"].as_i64());
    assert!(Some(end) > frontier, "{behind}");
    move_offset(kafka, &topic, end);
    let (code, moved) = lag(&config);
    let partition = &moved["topics"][0]["partitions"][0];
    assert_eq!((code, &partition["hold"]["reason"]), (Some(1), &"OffsetsMoved".into()), "{moved}");
    assert_eq!(partition["unread"], 0, "the commit says so: {moved}");
    assert_eq!(partition["unpersisted"].as_i64(), frontier.map(|frontier| end - frontier), "the ledger knows: {moved}");

    let text = worker::run("lag", &config);
    text.one_line_with(&["hold:", &topic, "OffsetsMoved"]);
    text.one_line_with(&["lag:", "1 partition would be held"]);
}
