//! What a log may do under a worker: abort transactions, lose its beginning, be deleted and made again. Nothing of it
//! may stop a partition for ever, and what is lost is named.

use std::path::PathBuf;
use std::time::Duration;

use eventsink_e2e::{
    Access, Fault, Kafka, Matches, Mix, Record, Rule, S3, StoreProxy, Target, Worker, Workspace, count_with_duckdb,
    patiently, produce, send_all, settings, sink, worker,
};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// A sink on disk for a topic of one partition.
struct Sink {
    space: Workspace,
    folder: PathBuf,
    topic: String,
    settings: Value,
}

impl Sink {
    fn new(stem: &str) -> Self {
        let (kafka, space) = (Kafka::shared(), Workspace::new());
        let folder = space.join("lake");
        let topic = kafka.create_topic(stem, 1);
        let settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &Target::Folder(&folder));
        Self { space, folder, topic, settings }
    }

    fn config(&self) -> PathBuf {
        settings::write(self.space.join("sink.yaml"), &self.settings)
    }

    fn start(&self) -> Worker {
        Worker::start(&self.config(), self.space.join("worker.log"), &[])
    }

    fn produce(&self, records: u64) {
        let mix = Mix { invalid_per_thousand: 0, ..Mix::of(records, 1) };
        let _ = produce(Kafka::shared(), &self.topic, &mix, &self.space.join("list.csv"));
    }

    /// Waits until the group has committed the end of the log.
    fn drain(&self, worker: &mut Worker) {
        patiently(SOON, "the group has committed everything", || {
            worker.assert_alive();
            Kafka::shared().drained(&self.topic, &self.topic).map_err(|words| format!("{words}\n{}", worker.log()))
        });
    }

    fn assert_rows(&self, rows: u64) {
        assert_eq!(count_with_duckdb(&self.folder, &self.topic), (rows, 0));
        worker::audit(&self.config());
    }
}

#[test]
fn aborted_transactions_leave_neither_rows_nor_lag() {
    let sink = Sink::new("transactions");
    let mut worker = sink.start();
    let producer: ThreadedProducer<DefaultProducerContext> =
        Kafka::shared().client().set("transactional.id", &sink.topic).create().expect("a producer");
    producer.init_transactions(SOON).expect("transactions");
    for (records, commit) in [(3, true), (5, false), (2, true), (4, false)] {
        producer.begin_transaction().expect("a transaction");
        for id in 0..records {
            let event = format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","data":{id}}}"#);
            let headers = rdkafka::message::OwnedHeaders::new()
                .insert(rdkafka::message::Header { key: "content-type", value: Some("application/cloudevents+json") });
            let record = BaseRecord::<(), String>::to(&sink.topic).partition(0).payload(&event).headers(headers);
            assert!(producer.send(record).is_ok(), "the producer takes it");
        }
        producer.flush(SOON).expect("the broker has it");
        let ended = if commit { producer.commit_transaction(SOON) } else { producer.abort_transaction(SOON) };
        ended.expect("the transaction ends");
    }
    sink.drain(&mut worker);
    sink.assert_rows(5);
}

#[test]
fn records_deleted_before_they_were_read_hold_the_partition_until_their_loss_is_accepted() {
    let mut sink = Sink::new("deleted");
    let mut worker = sink.start();
    sink.produce(100);
    sink.drain(&mut worker);
    worker.terminate();
    sink.produce(100);
    Kafka::shared().delete_records_below(&sink.topic, 0, 150);

    let mut worker = sink.start();
    worker.wait_until_log_says(&["OffsetLost", "the log begins at 150", "kafka.on_loss"]);
    worker.kill9();

    sink.settings["kafka"]["on_loss"] = "skip".into();
    let mut worker = sink.start();
    sink.drain(&mut worker);
    sink.assert_rows(150);
}

#[test]
fn a_shorter_topic_made_again_under_a_running_worker_is_read_from_its_beginning() {
    made_again(50);
}

#[test]
fn a_new_sink_begins_at_the_first_record_that_the_log_still_has() {
    let sink = Sink::new("begins-later");
    sink.produce(100);
    Kafka::shared().delete_records_below(&sink.topic, 0, 60);
    let mut worker = sink.start();
    sink.drain(&mut worker);
    sink.assert_rows(40);
    let log = worker.log();
    assert!(!log.contains("on hold"), "nothing is lost to a sink that begins here:\n{log}");
}

/// The old offset is within the new topic: nothing but its id tells.
#[test]
fn a_longer_topic_made_again_under_a_running_worker_is_read_from_its_beginning() {
    made_again(300);
}

fn made_again(records: u64) {
    let mut sink = Sink::new("again");
    sink.settings["kafka"]["on_loss"] = "skip".into();
    let mut worker = sink.start();
    sink.produce(100);
    sink.drain(&mut worker);
    Kafka::shared().make_topic_again(&sink.topic, 1);
    sink.produce(records);
    sink.drain(&mut worker);
    let audit = worker::run("audit", &sink.config());
    assert_eq!(audit.code, Some(0), "{}", audit.text);
    let topics = audit.text.lines().filter(|line| line.contains(&sink.topic)).collect::<Vec<_>>().join("\n");
    for rows in [100, records] {
        assert!(topics.split_whitespace().any(|word| word == rows.to_string()), "{rows} rows in:\n{}", audit.text);
    }
}

/// One event of its own batch for each name.
fn send_in_batches(kafka: &Kafka, topic: &str, names: &[String]) {
    let headers = vec![("content-type".to_owned(), Some("application/cloudevents+json".into()))];
    for name in names {
        let event = format!(r#"{{"specversion":"1.0","id":"{name}","source":"/s","type":"t"}}"#);
        let record = Record { value: Some(event.into()), headers: headers.clone(), ..Record::default() };
        send_all(kafka, topic, &[record]);
    }
}

/// The library tells of a batch that is damaged while records before it wait: one cut is in flight, and the next one
/// full.
#[test]
fn a_damaged_batch_holds_the_partition_behind_the_records_before_it() {
    let (kafka, server, space) = (Kafka::own(), S3::shared(), Workspace::new());
    let (topic, bucket) = (kafka.create_topic("damaged", 1), server.make_bucket("damaged"));
    let names: Vec<_> = (0..20).map(|at| format!("event-{at:02}")).collect();
    send_in_batches(&kafka, &topic, &names);
    kafka.damage_log(&topic, 0, "event-12");

    let proxy = StoreProxy::before(&server.at.endpoint);
    proxy.set(&[Rule::every(Matches::Data, Fault::Hold)]);
    let target = Target::Bucket { server, bucket: &bucket, prefix: "lake" };
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
    settings["storage"]["s3"]["endpoint"] = proxy.endpoint.clone().into();
    settings["rotation"] = json!({"max_records": 5, "max_age": "1h", "max_idle": "1h"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(SOON, "a cut is in flight, and all before the damage was read", || {
        worker.assert_alive();
        let read = worker.metric("eventsink_records_consumed_total");
        let ready = !proxy.done().faults.is_empty() && read >= Some(12.0);
        if ready { Ok(()) } else { Err(format!("{read:?}, {:?}", proxy.done())) }
    });
    proxy.release();
    patiently(SOON, "the partition holds at the damaged record", || {
        worker.assert_alive();
        let status = worker.status()?;
        let hold = &status["partitions"][0]["hold"];
        let found = (&hold["reason"], &hold["from"], &status["partitions"][0]["frontier"]);
        if found == (&"PartitionStalled".into(), &12.into(), &12.into()) { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    let progress = kafka.progress(&topic, &topic).expect("the broker answers");
    assert_eq!(progress, [(12, 20)], "what is behind the damage waits");
    worker::audit(&config);
}
