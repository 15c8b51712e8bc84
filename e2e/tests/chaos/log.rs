//! A log that misbehaves: rows 14 to 16 and 26.

use std::time::Duration;

use eventsink_e2e::{Kafka, Mix, S3, Worker, patiently, produce, settings, verify, worker};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene};

/// Waits until a partition holds, and tells why, from where and to where.
fn hold(worker: &mut Worker) -> (String, i64, i64) {
    patiently(SOON, "a partition holds", || {
        worker.assert_alive();
        let status = worker.status()?;
        let held =
            status["partitions"].as_array().and_then(|all| all.iter().find(|one| !one["hold"].is_null()).cloned());
        let held = held.ok_or_else(|| status.to_string())?["hold"].clone();
        let number = |name: &str| held[name].as_i64().unwrap_or(-1);
        Ok((held["reason"].as_str().unwrap_or_default().to_owned(), number("from"), number("to")))
    })
}

/// Losses that the ledger names: first offset and first after.
fn named_losses(scene: &Scene<'_>) -> Vec<(i64, i64)> {
    let keys = S3::shared().keys(&scene.bucket);
    let lost = keys.iter().filter(|key| key.contains("/lost/"));
    lost.map(|key| {
        let name: Value = serde_json::from_slice(&S3::shared().read(&scene.bucket, key)).expect("a loss is JSON");
        (name["from"].as_i64().expect("a number"), name["to"].as_i64().expect("a number"))
    })
    .collect()
}

fn terminate(worker: &mut Worker) {
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
}

/// Makes the log of a topic on brokers 1 and 2 end at offset 1,000, where all of its records were written to files up to
/// 1,500, and then grow past that with other ones. `meanwhile` has its say while the log is short.
fn truncate_and_regrow(scene: &Scene<'_>, mut worker: Worker, meanwhile: impl FnOnce(&mut Worker)) -> Worker {
    let leads = |id| {
        patiently(SOON, "the broker leads", || match scene.kafka.leader(&scene.topic, 0)? {
            leader if leader == id => Ok(()),
            leader => Err(format!("{leader} leads")),
        });
    };
    leads(1);
    scene.produce_mix(&Mix { invalid_per_thousand: 0, ..Mix::of(1_000, 1) });
    scene.drain(std::slice::from_mut(&mut worker));
    scene.kafka.stop_broker(2);
    scene.produce_mix(&Mix { seed: 2, invalid_per_thousand: 0, ..Mix::of(500, 1) });
    scene.drain(std::slice::from_mut(&mut worker));
    meanwhile(&mut worker);
    scene.kafka.stop_broker(1);
    scene.kafka.start_broker(2);
    leads(2);
    let other = Mix { seed: 3, invalid_per_thousand: 0, ..Mix::of(2_000, 1) };
    let _ = produce(scene.kafka, &scene.topic, &other, &scene.space.join("other.csv"));
    scene.kafka.start_broker(1);
    worker
}

fn truncatable(kafka: &Kafka, stem: &str) -> String {
    let settings = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
    kafka.create_topic_on(stem, &[&[1, 2]], &settings)
}

/// What lies in files stays what was produced, and nothing that came after the truncation is among it.
fn assert_told(scene: &Scene<'_>, worker: &mut Worker) {
    let (reason, from, _) = hold(worker);
    assert_eq!((reason.as_str(), from), ("OffsetLost", 1_500));
    terminate(worker);
    let report = verify(&scene.list(), &scene.topic, &scene.target());
    assert_eq!((report.rows, report.dead), (1_500, 0));
}

#[test]
fn row_14_the_log_is_truncated_and_grows_past_the_frontier_while_it_is_read() {
    let kafka = Kafka::three_brokers();
    let mut scene = Scene::on(&kafka, "row-14", truncatable(&kafka, "row-14"), 1);
    let worker = scene.start();
    let mut worker = truncate_and_regrow(&scene, worker, |_| {});
    assert_told(&scene, &mut worker);
}

#[test]
fn row_14_the_log_is_truncated_and_grows_past_the_frontier_over_a_restart() {
    let kafka = Kafka::three_brokers();
    let mut scene = Scene::on(&kafka, "row-14-restart", truncatable(&kafka, "row-14-restart"), 1);
    let worker = scene.start();
    drop(truncate_and_regrow(&scene, worker, terminate));
    let mut worker = scene.start();
    assert_told(&scene, &mut worker);
}

#[test]
fn row_15_retention_passes_the_frontier_of_a_stopped_sink() {
    let mut scene = Scene::new(Kafka::shared(), "row-15", 1);
    scene.produce(1_000, None);
    let mut worker = scene.start();
    scene.drain(std::slice::from_mut(&mut worker));
    terminate(&mut worker);
    scene.produce_mix(&Mix { seed: 2, ..Mix::of(1_000, 1) });
    scene.kafka.delete_records_below(&scene.topic, 0, 1_500);

    let mut worker = scene.start();
    assert_eq!(hold(&mut worker), ("OffsetLost".into(), 1_000, 1_500));
    assert!(named_losses(&scene).is_empty(), "nothing is given up before somebody says so");
    terminate(&mut worker);
    scene.settings["kafka"]["on_loss"] = "skip".into();
    let worker = scene.start();
    scene.forget(0, 1_000..1_500);
    scene.prove(vec![worker]);
    assert_eq!(named_losses(&scene), [(1_000, 1_500)]);
}

#[test]
fn row_16_a_topic_deleted_and_made_again_while_the_sink_is_idle() {
    let mut scene = Scene::new(Kafka::shared(), "row-16", 1);
    let mut worker = scene.start();
    scene.produce(1_000, None);
    scene.drain(std::slice::from_mut(&mut worker));
    patiently(SOON, "the sink is idle", || {
        let marks = S3::shared().keys(&scene.bucket).into_iter().filter(|key| key.contains("/done/")).count();
        if marks > 0 { Ok(()) } else { Err("its last cut has no done mark".into()) }
    });
    scene.prove_files();
    let old = scene.manifests();
    scene.kafka.make_topic_again(&scene.topic, 1);
    // Longer than the old one: the old offset is within it, and nothing but the id tells.
    scene.produce_mix(&Mix { seed: 2, invalid_per_thousand: 0, ..Mix::of(1_700, 1) });
    assert_eq!(hold(&mut worker).0, "TopicRecreated");
    assert!(scene.manifests() == old, "nothing of the new topic is written before somebody says so");
    terminate(&mut worker);

    scene.settings["kafka"]["on_loss"] = "skip".into();
    let mut worker = scene.start();
    scene.drain(std::slice::from_mut(&mut worker));
    terminate(&mut worker);
    // Only the new topic's offsets can be compared: the old topic's files are taken away, which its proof was for.
    let new: Vec<_> = scene.manifests().into_iter().filter(|manifest| !old.contains(manifest)).collect();
    assert!(
        old.iter()
            .all(|(key, _)| new.iter().all(|(other, _)| other.split("/cuts/").next() != key.split("/cuts/").next()))
    );
    let audit = worker::run("audit --deep --kafka", &settings::write(scene.space.join("again.yaml"), &scene.settings));
    assert_eq!(audit.code, Some(0), "{}", audit.text);
    let rows = |manifests: &[(String, Value)]| -> u64 {
        let files = manifests.iter().flat_map(|(_, manifest)| manifest["files"].as_array().into_iter().flatten());
        files.filter_map(|file| file["rows"].as_u64()).sum()
    };
    assert_eq!((rows(&old), rows(&new)), (1_000, 1_700));
}

#[test]
fn row_26_aborted_and_hanging_transactions() {
    let mut scene = Scene::new(Kafka::shared(), "row-26", 1);
    scene.settings["rotation"] = json!({"max_age": "1s", "max_idle": "500ms"});
    let mut worker = scene.start();
    scene.produce(1_000, None);
    let aborted = transaction(&scene, "aborted", 300);
    aborted.abort_transaction(SOON).expect("the transaction ends");
    let hanging = transaction(&scene, "hanging", 200);
    scene.produce_mix(&Mix { seed: 2, ..Mix::of(1_000, 1) });
    let (frontier, unread) = patiently(SOON, "the wait for the end of a transaction shows", || {
        worker.assert_alive();
        let status = worker.status()?;
        let partition = &status["partitions"][0];
        let number = |name: &str| partition[name].as_i64().unwrap_or(-1);
        let waits = number("frontier") == 1_301 && number("unread") >= 1_200 && partition["hold"].is_null();
        if waits { Ok((number("frontier"), number("unread"))) } else { Err(partition.to_string()) }
    });
    assert_eq!((frontier, unread), (1_301, 1_200), "the wait is told as unread records");
    // Its producer is gone without a word; the coordinator aborts it when its time is over.
    drop(hanging);
    scene.drain(std::slice::from_mut(&mut worker));
    patiently(SOON, "nothing is unread", || match worker.status()?["partitions"][0]["unread"].as_u64() {
        Some(0) => Ok(()),
        unread => Err(format!("{unread:?}")),
    });
    scene.prove(vec![worker]);
}

/// A transaction with so many records, all in the log and neither committed nor aborted.
fn transaction(scene: &Scene<'_>, name: &str, records: usize) -> ThreadedProducer<DefaultProducerContext> {
    let mut client = scene.kafka.client();
    client.set("transactional.id", format!("{}-{name}", scene.topic)).set("transaction.timeout.ms", "10000");
    let producer: ThreadedProducer<DefaultProducerContext> = client.create().expect("a producer");
    producer.init_transactions(SOON).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    for _ in 0..records {
        let record = BaseRecord::<(), str>::to(&scene.topic).partition(0).payload("never to be seen");
        assert!(producer.send(record).is_ok(), "the producer takes it");
    }
    producer.flush(Duration::from_secs(30)).expect("the broker has it");
    producer
}
