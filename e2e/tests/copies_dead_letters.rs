//! The dead-letter topic gets every dead letter at least once, as it was, and nothing else; a sink that cannot copy,
//! or would copy most of a topic, holds where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, Record, Target, Worker, Workspace, count_with_duckdb, patiently, produce, read_all,
    send_all, settings, sink, verify, worker,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(90);
const SCRAM: Access = Access::SaslSsl(Mechanism::ScramSha512);
const OURS: &str = "eventsink.dlq.";

/// A sink on disk with a dead-letter topic.
struct Sink {
    space: Workspace,
    folder: PathBuf,
    topic: String,
    dead: String,
    settings: Value,
}

impl Sink {
    fn new(stem: &str, partitions: i32, dead: String) -> Self {
        let (kafka, space) = (Kafka::shared(), Workspace::new());
        let folder = space.join("lake");
        let topic = kafka.create_topic(stem, partitions);
        let mut settings = sink(&topic, &topic, kafka.settings(SCRAM), &Target::Folder(&folder));
        settings["dead_letter"] = json!({"topic": dead});
        Self { space, folder, topic, dead, settings }
    }

    fn config(&self) -> PathBuf {
        settings::write(self.space.join("sink.yaml"), &self.settings)
    }

    fn start(&self) -> Worker {
        Worker::start(&self.config(), self.space.join("worker.log"), &[])
    }

    fn drain(&self, worker: &mut Worker) {
        patiently(SOON, "the group has committed everything", || {
            worker.assert_alive();
            Kafka::shared().drained(&self.topic, &self.topic).map_err(|words| format!("{words}\n{}", worker.log()))
        });
    }

    /// Copies by the partition and offset that their headers name.
    fn copies(&self) -> BTreeMap<(i32, i64), Vec<Record>> {
        let mut copies: BTreeMap<_, Vec<Record>> = BTreeMap::new();
        for copy in read_all(Kafka::shared(), &self.dead) {
            let number = |name: &str| copy.header(&format!("{OURS}{name}")).and_then(|text| text.parse::<i64>().ok());
            let (partition, offset) = (number("partition").unwrap(), number("offset").unwrap());
            assert_eq!(copy.header("eventsink.dlq.topic"), Some(&*self.topic));
            copies.entry((i32::try_from(partition).unwrap(), offset)).or_default().push(copy);
        }
        copies
    }

    /// Waits until a partition holds for this reason, and gives its words.
    fn held(&self, worker: &mut Worker, partition: usize, reason: &str) -> String {
        patiently(SOON, &format!("partition {partition} holds with {reason}"), || {
            worker.assert_alive();
            let hold = partition_status(worker, partition)?["hold"].clone();
            if hold["reason"] == reason {
                Ok(hold["detail"].to_string())
            } else {
                Err(format!("{hold}\n{}", worker.log()))
            }
        })
    }

    /// Paths of all objects below the folder.
    fn objects(&self) -> Vec<String> {
        let (mut folders, mut objects) = (vec![self.folder.clone()], vec![]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { objects.push(path.display().to_string()) }
            }
        }
        objects
    }
}

fn partition_status(worker: &Worker, partition: usize) -> Result<Value, String> {
    let status = worker.status()?;
    let all = status["partitions"].as_array().ok_or("no partitions")?;
    all.iter().find(|found| found["partition"] == partition).cloned().ok_or_else(|| status.to_string())
}

fn event(partition: i32, id: u32) -> Record {
    let value = format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","data":{id}}}"#);
    let headers = vec![("content-type".to_owned(), Some(b"application/cloudevents+json".to_vec()))];
    Record { partition, value: Some(value.into_bytes()), headers, ..Record::default() }
}

/// Is no CloudEvent.
fn plain(partition: i32, value: &[u8]) -> Record {
    Record { partition, value: Some(value.to_vec()), ..Record::default() }
}

/// Bytes that no codec makes smaller (the generator of Knuth's MMIX).
fn noise(len: usize) -> Vec<u8> {
    let next =
        |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(len as u64), next).skip(1).map(|state| (state >> 56) as u8).take(len).collect()
}

fn own_headers(record: &Record) -> Vec<&(String, Option<Vec<u8>>)> {
    record.headers.iter().filter(|(name, _)| !name.starts_with(OURS)).collect()
}

#[test]
fn every_dead_letter_is_copied_as_it_was_whatever_is_killed() {
    let kafka = Kafka::shared();
    let sink = Sink::new("copied", 3, kafka.create_topic("copies", 2));
    let list = sink.space.join("list.csv");
    let check = worker::run("check", &sink.config());
    assert_eq!(check.code, Some(0), "{}", check.text);
    let mut worker = sink.start();
    let mix = Mix { pace: Some(1_000), ..Mix::of(10_000, 3) };
    thread::scope(|scope| {
        let producing = scope.spawn(|| produce(kafka, &sink.topic, &mix, &list));
        while !producing.is_finished() {
            // Odd, so that kills meet every phase of a cut.
            thread::sleep(Duration::from_millis(1_730));
            worker.kill9();
            worker = sink.start();
        }
    });
    sink.drain(&mut worker);
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());

    let _ = verify(&list, &sink.topic, &Target::Folder(&sink.folder));
    let text = std::fs::read_to_string(&list).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let expected: BTreeMap<(i32, i64), String> = rows
        .filter(|row| !row[2].is_empty())
        .map(|row| ((row[0].parse().unwrap(), row[1].parse().unwrap()), row[2].to_owned()))
        .collect();
    let copies = sink.copies();
    let coordinates = |keys: Vec<&(i32, i64)>| keys.into_iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(coordinates(copies.keys().collect()), coordinates(expected.keys().collect()));
    assert!(expected.len() > 50, "{} dead letters prove little", expected.len());
    for record in read_all(kafka, &sink.topic) {
        for copy in copies.get(&(record.partition, record.offset)).into_iter().flatten() {
            assert_eq!((&copy.key, &copy.value), (&record.key, &record.value));
            assert_eq!(own_headers(copy), own_headers(&record));
            let reason = &expected[&(record.partition, record.offset)];
            assert_eq!(copy.header("eventsink.dlq.reason"), Some(reason.as_str()));
            assert_eq!(copy.header("eventsink.dlq.attempt"), Some("1"));
        }
    }
}

#[test]
fn a_missing_dead_letter_topic_holds_only_partitions_with_dead_letters_until_it_is_there() {
    let kafka = Kafka::shared();
    let dead = kafka.create_topic("missing", 1);
    kafka.delete_topic(&dead);
    let sink = Sink::new("unhealthy", 2, dead);
    patiently(SOON, "check misses the topic", || {
        let check = worker::run("check", &sink.config());
        let said = check.text.contains("does not exist") && check.text.contains("dead_letter.topic");
        if check.code == Some(1) && said { Ok(()) } else { Err(check.text) }
    });
    send_all(kafka, &sink.topic, &[event(0, 1), plain(0, b"{}"), event(1, 1), event(1, 2)]);
    let mut worker = sink.start();
    let words = sink.held(&mut worker, 0, "DeadLetterTopic");
    assert!(words.contains(&sink.dead), "{words}");
    send_all(kafka, &sink.topic, &[event(1, 3)]);
    patiently(SOON, "the other partition goes on", || {
        let other = partition_status(&worker, 1)?;
        if other["frontier"] == 3 && other["hold"].is_null() { Ok(()) } else { Err(other.to_string()) }
    });
    assert_eq!(partition_status(&worker, 0).unwrap()["frontier"], 0);

    kafka.restore_topic(&sink.dead, 1);
    sink.drain(&mut worker);
    assert_eq!(sink.copies().into_keys().collect::<Vec<_>>(), [(0, 1)]);
    assert_eq!(count_with_duckdb(&sink.folder, &sink.topic), (4, 1));
    worker::audit(&sink.config());
}

#[test]
fn what_the_topic_cannot_take_stands_in_the_file_that_its_copy_names() {
    let kafka = Kafka::shared();
    let sink = Sink::new("large", 1, kafka.create_topic_with("small", 1, &[("max.message.bytes", "4000")]));
    let attempt = |number: &str| vec![("eventsink.dlq.attempt".to_owned(), Some(number.as_bytes().to_vec()))];
    let mut records: Vec<_> = (0..30).map(|id| event(0, id)).collect();
    records.extend((0..10).map(|at| plain(0, &noise(1000 + at))));
    records.push(plain(0, &noise(10_000)));
    records.push(Record { key: Some(noise(10_000)), ..plain(0, b"{}") });
    records.push(Record { headers: attempt("2"), ..plain(0, b"{}") });
    records.push(Record { headers: attempt("3"), ..plain(0, b"{}") });
    send_all(kafka, &sink.topic, &records);
    let mut worker = sink.start();
    sink.drain(&mut worker);

    let copies = sink.copies();
    let values: Vec<_> = copies.iter().map(|(at, copies)| (at.1, copies[0].value.as_ref().map(Vec::len))).collect();
    let whole = (0..10).map(|at| (30 + at as i64, Some(1000 + at)));
    assert_eq!(values, whole.chain([(40, None), (42, Some(2))]).collect::<Vec<_>>());
    assert_eq!(copies[&(0, 42)][0].header("eventsink.dlq.attempt"), Some("3"));
    let object = copies[&(0, 40)][0].header("eventsink.dlq.object").unwrap();
    assert!(object.starts_with("_dlq/") && sink.folder.join(object).is_file(), "{object}");
    for (outcome, count) in [("sent", 11.0), ("oversized", 1.0), ("parked", 2.0)] {
        let sample = format!("eventsink_dead_letter_copies_total{{outcome=\"{outcome}\"}}");
        assert_eq!(worker.metric(&sample), Some(count), "{outcome}");
    }
}

#[test]
fn a_record_that_the_topic_refuses_for_what_it_is_holds_up_no_other() {
    let kafka = Kafka::shared();
    // Takes no record without a key.
    let sink = Sink::new("keyless", 1, kafka.create_topic_with("compacted", 1, &[("cleanup.policy", "compact")]));
    let keyed = |key: &str| Record { key: Some(key.as_bytes().to_vec()), ..plain(0, b"{}") };
    let mut records: Vec<_> = (0..10).map(|id| event(0, id)).collect();
    records.extend([keyed("a"), plain(0, b"{}"), keyed("b"), plain(0, b"{}")]);
    send_all(kafka, &sink.topic, &records);
    let mut worker = sink.start();
    sink.drain(&mut worker);
    assert_eq!(sink.copies().into_keys().collect::<Vec<_>>(), [(0, 10), (0, 12)]);
    assert_eq!(worker.metric("eventsink_dead_letter_copies_total{outcome=\"parked\"}"), Some(2.0));
    assert_eq!(worker.log().matches("dead letters are only in their file").count(), 1, "{}", worker.log());
}

#[test]
fn a_flood_of_plain_json_holds_without_a_trace_and_lands_under_another_policy() {
    let kafka = Kafka::shared();
    let mut sink = Sink::new("flood", 1, kafka.create_topic("dry", 1));
    let records: Vec<_> = (0..310).map(|id| if id % 31 == 0 { event(0, id) } else { plain(0, b"{\"a\":1}") }).collect();
    send_all(kafka, &sink.topic, &records);
    let mut worker = sink.start();
    let words = sink.held(&mut worker, 0, "PoisonFlood");
    assert!(words.contains("300 of 310 records (96%)") && words.contains("NotACloudEvent 300"), "{words}");
    assert_eq!(worker.metric("eventsink_partitions_stalled{reason=\"PoisonFlood\"}"), Some(1.0));
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    let written = sink.objects().into_iter().filter(|path| path.ends_with(".parquet") || path.contains("/cuts/"));
    assert_eq!(written.collect::<Vec<_>>(), Vec::<String>::new());
    assert!(read_all(kafka, &sink.dead).is_empty());

    sink.settings["events"] = json!({"non_cloud_events": "skip"});
    let mut worker = sink.start();
    sink.drain(&mut worker);
    assert_eq!(count_with_duckdb(&sink.folder, &sink.topic), (10, 0));
    worker::audit(&sink.config());
}
