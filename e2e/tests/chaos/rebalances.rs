//! Members that come, go and stand still: rows 6 to 8, 10, 11 and 17.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use eventsink_e2e::{Fault, Kafka, Matches, Mix, Rule, Worker, patiently, produce, settings, worker};
use serde_json::json;

use crate::scene::{SOON, Scene};

const PARTITIONS: i32 = 4;
const RECORDS: u64 = 5_000;

/// Partitions that a worker reads now, with the records that it has in its buffers.
fn reads(worker: &Worker) -> BTreeMap<i64, u64> {
    let status = worker.status().unwrap_or_default();
    let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
    let reads = partitions.iter().filter(|partition| partition["stage"] == "reading");
    reads.map(|one| (one["partition"].as_i64().unwrap_or(-1), one["buffered"].as_u64().unwrap_or(0))).collect()
}

fn counted(worker: &Worker, metric: &str) -> u64 {
    worker.metric(metric).map_or(0, |value| value as u64)
}

fn wait_until_read(worker: &Worker, records: u64) {
    patiently(SOON, "everything is read", || match counted(worker, "eventsink_records_consumed_total") {
        read if read >= records => Ok(()),
        read => Err(format!("{read} of {records}")),
    });
}

/// The session timeout of the scenes' workers, and time for the coordinator to notice that it is over.
fn wait_past_the_session() {
    thread::sleep(Duration::from_secs(9));
}

/// A worker is stopped while its planned files wait for `fault`, another takes over and finishes, and the first wakes up
/// in the belief that nothing has happened.
fn stopped_past_its_session(stem: &str, fault: Fault) {
    let mut scene = Scene::new(Kafka::shared(), stem, PARTITIONS);
    let files = [Matches::Data, Matches::DeadLetters].map(|matches| Rule::every(matches, fault));
    scene.proxy.set(&files);
    let stopped = scene.start();
    scene.produce(RECORDS, None);
    scene.wait_for_faults(1);
    stopped.signal("STOP");
    let (manifests, planned) = (scene.manifests(), scene.planned());
    assert!(!planned.is_empty(), "cuts are planned");
    wait_past_the_session();
    scene.proxy.release();
    let mut successor = vec![scene.start()];
    scene.drain(&mut successor);
    let drained = scene.kafka.progress(&scene.topic, &scene.topic).expect("the broker answers");

    stopped.signal("CONT");
    patiently(SOON, "the stopped worker is a member again", || match reads(&stopped).len() {
        0 => Err(stopped.log()),
        _ => Ok(()),
    });
    let after = scene.kafka.progress(&scene.topic, &scene.topic).expect("the broker answers");
    assert!(after >= drained, "a lost member moved the group's offsets: {drained:?}, then {after:?}");
    scene.produce(RECORDS, None);
    successor.push(stopped);
    scene.prove(successor);
    let now = scene.manifests();
    assert!(manifests.iter().all(|manifest| now.contains(manifest)), "a manifest was changed");
    assert_eq!(scene.landed(&planned), planned, "a planned file has its own name");
}

#[test]
fn row_06_stopped_past_its_session_while_uploading() {
    stopped_past_its_session("row-06", Fault::Hold);
}

#[test]
fn row_07_stopped_past_its_session_before_the_commit() {
    stopped_past_its_session("row-07", Fault::LandAndHold);
}

#[test]
fn row_08_a_member_joins_while_the_others_buffer() {
    let mut scene = Scene::new(Kafka::shared(), "row-08", PARTITIONS);
    let soon = scene.settings["rotation"].clone();
    scene.settings["rotation"] = json!({"max_age": "1h", "max_idle": "1h"});
    let mut first = scene.start();
    scene.produce(RECORDS, None);
    wait_until_read(&first, RECORDS);
    let before = patiently(SOON, "everything is buffered", || match reads(&first) {
        reads if reads.values().sum::<u64>() == RECORDS => Ok(reads),
        reads => Err(format!("{reads:?}")),
    });

    let mut second = scene.start();
    let kept = patiently(SOON, "both read their share", || match (reads(&first), reads(&second)) {
        (kept, moved) if kept.len() == 2 && moved.len() == 2 => Ok(kept),
        shares => Err(format!("{shares:?}")),
    });
    assert!(kept.iter().all(|one| before.get(one.0) == Some(one.1)), "kept partitions keep their buffers: {kept:?}");
    assert_eq!(counted(&first, "eventsink_records_consumed_total"), RECORDS, "nothing is read again by its keeper");
    let moved = RECORDS - kept.values().sum::<u64>();
    wait_until_read(&second, moved);
    assert_eq!(counted(&second, "eventsink_records_consumed_total"), moved);
    assert!(scene.manifests().is_empty(), "a rebalance made a tiny file");

    for worker in [&mut first, &mut second] {
        assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    }
    scene.settings["rotation"] = soon;
    let successor = scene.start();
    scene.prove(vec![successor]);
}

#[test]
fn row_10_ten_joins_and_leaves_in_a_minute() {
    const STEPS: u32 = 10;
    const PACE: u32 = 1_000;
    const BUDGET: u64 = 64 << 20;
    let mut scene = Scene::new(Kafka::shared(), "row-10", 8);
    scene.settings["rotation"] = json!({"max_age": "4s", "max_idle": "2s"});
    scene.settings["memory"] = json!({"budget": "64MiB"});
    let mix = Mix { pace: Some(PACE), ..Mix::of(u64::from(PACE) * 60, 8) };
    let (kafka, topic, list) = (scene.kafka, scene.topic.clone(), scene.list());
    let mut workers = vec![scene.start()];
    let mut left = Vec::new();
    thread::scope(|scope| {
        let producing = scope.spawn(|| produce(kafka, &topic, &mix, &list));
        for step in 0..STEPS {
            thread::sleep(Duration::from_secs(6));
            for worker in &mut workers {
                worker.assert_alive();
                assert!(worker.resident_bytes() < BUDGET + (160 << 20), "{} bytes", worker.resident_bytes());
            }
            // Two come, then one goes, in turn by SIGTERM and by kill -9.
            if step % 3 < 2 {
                workers.push(scene.start());
                continue;
            }
            let mut worker = workers.remove(0);
            if step % 2 == 0 {
                assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
            } else {
                worker.kill9();
            }
            left.push(worker.log());
        }
        producing.join().expect("the producer did not panic")
    });
    scene.drain(&mut workers);
    left.extend(workers.iter().map(Worker::log));
    let moved: usize = left.iter().map(|log| assigned(log)).sum();
    let tiny = tiny_cuts(&scene, i64::from(PACE) / 8);
    assert!(tiny <= moved, "{tiny} tiny cuts, {moved} partitions moved");
    scene.prove(workers);
}

/// How many partitions the log says were assigned.
fn assigned(log: &str) -> usize {
    let lines =
        log.lines().filter_map(|line| line.split_once("partitions assigned partitions=").map(|(_, names)| names));
    lines.map(|names| names.split_whitespace().count()).sum()
}

/// Cuts of fewer offsets than `least`, the last of each partition not counted.
fn tiny_cuts(scene: &Scene<'_>, least: i64) -> usize {
    let mut cuts: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    for (_, manifest) in scene.manifests() {
        let number = |name: &str| manifest[name].as_i64().expect("a number");
        cuts.entry(number("partition")).or_default().push((number("from"), number("to")));
    }
    for of_partition in cuts.values_mut() {
        of_partition.sort_unstable();
        of_partition.pop();
    }
    cuts.values().flatten().filter(|(from, to)| to - from < least).count()
}

/// The library's newer protocol (KIP-848) is the missing feature that excuses the row: its commits fail with stale
/// epochs by the hundred, so that no setting may turn it on.
#[test]
fn row_11_the_protocol_with_stale_epochs_is_refused_with_a_reason() {
    let mut scene = Scene::new(Kafka::shared(), "row-11", 1);
    scene.settings["kafka"]["options"] = json!({"group.protocol": "consumer"});
    let config = settings::write(scene.space.join("refused.yaml"), &scene.settings);
    let refused = worker::run("start", &config);
    assert_eq!(refused.code, Some(2), "{}", refused.text);
    let _ = refused.one_line_with(&["group.protocol", "stale epochs"]);
}

#[test]
fn row_17_partitions_that_are_added_are_read_from_their_beginning() {
    let mut scene = Scene::new(Kafka::shared(), "row-17", 3);
    // Even a sink that began at the end of the log wants all of a partition that came later.
    scene.settings["kafka"]["consumer"]["start_from"] = "latest".into();
    scene.settings["kafka"]["options"] = json!({"topic.metadata.refresh.interval.ms": 5000});
    let mut worker = scene.start();
    worker.wait_until_log_says(&["genesis fixed"]);
    scene.produce(2_000, None);
    scene.kafka.grow_topic(&scene.topic, 6);
    scene.produce_mix(&Mix { seed: 2, ..Mix::of(6_000, 6) });
    patiently(SOON, "six partitions are read", || match reads(&worker) {
        reads if reads.len() == 6 => Ok(()),
        reads => Err(format!("{reads:?}")),
    });
    for partition in 3..6 {
        patiently(SOON, "the new partition has a first cut", || {
            let first =
                scene.manifests().into_iter().find(|(_, cut)| cut["partition"] == partition && cut["from"] == 0);
            first.map(drop).ok_or_else(|| format!("{} cuts, none is it", scene.manifests().len()))
        });
    }
    scene.prove(vec![worker]);
}
