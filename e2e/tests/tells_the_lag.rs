//! How far a sink is behind, as `lag`, `/status` and `/metrics` tell it beside a real broker: right while records wait,
//! and 0 at rest, whatever ends the log.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, Record, Target, Worker, Workspace, patiently, produce, send_all, settings, sink,
    worker,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

const PARTITIONS: i32 = 2;
const SOON: Duration = Duration::from_secs(60);
const EVENT: &str = r#"{"specversion":"1.0","id":"i","source":"/s","type":"t"}"#;
const JSON: (&str, &str) = ("content-type", "application/cloudevents+json");

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

/// A worker, what it was started with, and the topic of one partition that it reads.
struct Sink {
    worker: Worker,
    config: PathBuf,
    topic: String,
    _space: Workspace,
}

impl Sink {
    fn start(kafka: &Kafka, topic: &str, max_age: &str) -> Self {
        let space = Workspace::new();
        let mut settings = sink(topic, topic, kafka.settings(Access::Plaintext), &Target::Folder(&space.join("lake")));
        settings["rotation"] = json!({"max_age": max_age, "max_idle": max_age});
        let config = settings::write(space.join("sink.yaml"), &settings);
        let worker = Worker::start(&config, space.join("worker.log"), &[]);
        Self { worker, config, topic: topic.to_owned(), _space: space }
    }

    /// Unread and buffered records, and whether one of them has an age; when `/status` and `/metrics` say the same.
    fn figures(&self) -> Result<(u64, u64, bool), String> {
        let status = self.worker.status()?;
        let partition = &status["partitions"][0];
        let figure = |name: &str| partition[name].as_u64().ok_or_else(|| format!("no {name} in {status}"));
        let sample = |name: &str| {
            let sample = format!("eventsink_{name}{{partition=\"0\",topic=\"{}\"}}", self.topic);
            self.worker.metric(&sample).ok_or_else(|| format!("no sample {sample} beside {status}"))
        };
        let told = (figure("unread")?, figure("buffered")?, figure("oldest_unpersisted_ms")? > 0);
        let age = sample("oldest_unpersisted_age_seconds")?;
        let measured = (sample("unread_records")?, sample("buffered_records")?, age > 0.0);
        let same = measured == (told.0 as f64, told.1 as f64, told.2);
        if same { Ok(told) } else { Err(format!("{measured:?} in the metrics of {status}")) }
    }

    fn wait_for(&mut self, what: &str, figures: (u64, u64, bool)) {
        patiently(SOON, what, || {
            self.worker.assert_alive();
            let told = self.figures()?;
            if told == figures { Ok(()) } else { Err(format!("{told:?} in {}", self.worker.status()?)) }
        });
    }

    /// Nothing is behind, by the worker and by the command.
    fn assert_rests(&mut self) {
        self.wait_for("no lag is told", (0, 0, false));
        patiently(SOON, "the command tells no lag", || {
            let (code, told) = lag(&self.config);
            let totals = &told["totals"];
            let rests = (code, &totals["unread"], &totals["unpersisted"]) == (Some(0), &0.into(), &0.into());
            if rests && totals["without_commit"] == 0 { Ok(()) } else { Err(told.to_string()) }
        });
    }
}

#[test]
fn records_that_wait_for_their_file_are_buffered_and_grow_old() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("waits", 1);
    let mut sink = Sink::start(kafka, &topic, "10s");
    produce(kafka, &topic, &Mix::of(300, 1), &space.join("list.csv"));
    sink.wait_for("all are read and wait", (0, 300, true));
    let (_, waiting) = lag(&sink.config);
    assert_eq!(waiting["totals"]["unpersisted"], 300, "{waiting}");
    sink.assert_rests();
}

#[test]
fn a_transaction_that_is_open_is_unread_and_one_that_ended_leaves_no_lag() {
    let kafka = Kafka::shared();
    let topic = kafka.create_topic("open", 1);
    let mut sink = Sink::start(kafka, &topic, "1s");
    let producer: ThreadedProducer<DefaultProducerContext> =
        kafka.client().set("transactional.id", &topic).create().expect("a producer");
    producer.init_transactions(SOON).expect("transactions");
    for commit in [true, false] {
        producer.begin_transaction().expect("a transaction");
        for _ in 0..7 {
            let headers = OwnedHeaders::new().insert(Header { key: JSON.0, value: Some(JSON.1) });
            let record = BaseRecord::<(), str>::to(&topic).partition(0).payload(EVENT).headers(headers);
            assert!(producer.send(record).is_ok(), "the producer takes it");
        }
        producer.flush(SOON).expect("the broker has it");
        sink.wait_for("the records cannot be read yet", (7, 0, false));
        let (_, told) = lag(&sink.config);
        assert_eq!(told["totals"]["unread"], 0, "the log may be read up to them: {told}");
        let ended = if commit { producer.commit_transaction(SOON) } else { producer.abort_transaction(SOON) };
        ended.expect("the transaction ends");
        sink.assert_rests();
    }
    worker::audit(&sink.config);
}

/// Waits until the cleaner has left so many records.
fn wait_until_cleaned(kafka: &Kafka, topic: &str, left: usize) {
    patiently(SOON, "the log is compacted", || {
        let consumer: BaseConsumer =
            kafka.client().set("group.id", topic).set("enable.partition.eof", "true").create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
        consumer.assign(&list).expect("an assignment");
        let records = std::iter::from_fn(|| consumer.poll(SOON).and_then(Result::ok)).count();
        if records == left { Ok(()) } else { Err(format!("{records} records are there")) }
    });
}

#[test]
fn a_compacted_log_whose_end_is_gone_leaves_no_lag() {
    let kafka = Kafka::own();
    let compacted = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0"), ("delete.retention.ms", "0")];
    let topic = kafka.create_topic_with("compacted", 1, &compacted);
    let header = (JSON.0.to_owned(), Some(JSON.1.into()));
    let event = |key: u8| Record {
        key: Some(vec![key]),
        value: Some(EVENT.into()),
        headers: vec![header.clone()],
        ..Record::default()
    };
    let tombstone = |key: u8| Record { key: Some(vec![key]), ..Record::default() };
    send_all(&kafka, &topic, &(0..20).map(|at| event(at % 5)).collect::<Vec<_>>());
    send_all(&kafka, &topic, &[tombstone(3), tombstone(4)]);

    // A tombstone stays for one cleaning more than what it deletes.
    kafka.seal_log(&topic, 0, 22);
    wait_until_cleaned(&kafka, &topic, 5);
    kafka.seal_log(&topic, 0, 22);
    wait_until_cleaned(&kafka, &topic, 3);

    let mut sink = Sink::start(&kafka, &topic, "1s");
    sink.assert_rests();
    let status = sink.worker.status().expect("it listens");
    assert_eq!(status["partitions"][0]["frontier"], 22, "{status}");
    worker::audit(&sink.config);
}

#[test]
fn a_partition_on_hold_tells_what_waits_and_what_comes() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("held", 1);
    let mut sink = Sink::start(kafka, &topic, "1s");
    produce(kafka, &topic, &Mix::of(300, 1), &space.join("first.csv"));
    sink.assert_rests();
    assert_eq!(sink.worker.terminate().code(), Some(0), "{}", sink.worker.log());
    produce(kafka, &topic, &Mix::of(100, 1), &space.join("second.csv"));
    move_offset(kafka, &topic, 350);
    sink.worker = Worker::start(&sink.config, space.join("held.log"), &[]);
    sink.wait_for("what waits is told", (100, 0, false));
    produce(kafka, &topic, &Mix::of(50, 1), &space.join("third.csv"));
    sink.wait_for("what comes is told", (150, 0, false));
}
