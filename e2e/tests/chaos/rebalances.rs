//! Members that come, go and stand still: rows 6 to 8, 10, 11 and 17.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use eventsink_e2e::{Fault, Kafka, Matches, Mix, Rule, S3, Worker, patiently, produce, settings, worker};
use serde_json::{Value, json};

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

/// What a worker had planned before it was stopped.
struct Plan {
    manifests: Vec<(String, Value)>,
    files: Vec<String>,
}

impl Plan {
    fn of(scene: &Scene<'_>) -> Self {
        let plan = Self { manifests: scene.manifests(), files: scene.planned() };
        assert!(!plan.files.is_empty(), "cuts are planned");
        plan
    }

    /// The bytes of its files, all of which are there.
    fn contents(&self, scene: &Scene<'_>) -> Vec<Vec<u8>> {
        self.files.iter().map(|key| S3::shared().read(&scene.bucket, key)).collect()
    }
}

/// A worker that believes that nothing has happened wakes up beside its successor, which has drained the topic: it must
/// find out, drop what it had, and take its share again, and all the while no commit of the group goes back.
fn wakes_up_as_a_stranger(scene: &Scene<'_>, stopped: Worker, successor: Worker, plan: &Plan) {
    let drained = commits(scene);
    let written = plan.contents(scene);
    stopped.signal("CONT");
    patiently(SOON, "the stopped worker finds out and is a member again", || {
        assert_no_commit_goes_back(scene, &drained);
        let told = stopped.log().lines().any(|line| line.contains("partitions revoked") && line.contains("lost=true"));
        match (told, reads(&stopped).len(), reads(&successor).len()) {
            (true, mine, other) if mine > 0 && other > 0 && mine + other == drained.len() => Ok(()),
            _ => Err(stopped.log()),
        }
    });
    assert_no_commit_goes_back(scene, &drained);
    assert!(plan.contents(scene) == written, "a file was written again");

    scene.produce(RECORDS, None);
    scene.prove(vec![successor, stopped]);
    let now = scene.manifests();
    assert!(plan.manifests.iter().all(|manifest| now.contains(manifest)), "a manifest was changed");
    assert!(plan.contents(scene) == written, "a file was written again");
}

/// The group's commit for each partition.
fn commits(scene: &Scene<'_>) -> Vec<i64> {
    let progress = scene.kafka.progress(&scene.topic, &scene.topic).expect("the broker answers");
    progress.into_iter().map(|(committed, _)| committed).collect()
}

fn assert_no_commit_goes_back(scene: &Scene<'_>, before: &[i64]) {
    let now = commits(scene);
    assert!(now.iter().zip(before).all(|(now, before)| now >= before), "commits went back from {before:?} to {now:?}");
}

/// The puts of the stopped worker land only after the successor has written the same files and drained the topic.
#[test]
fn row_06_stopped_past_its_session_while_uploading() {
    let mut scene = Scene::new(Kafka::shared(), "row-06", PARTITIONS);
    // One cut of each partition is in flight, with one file of events.
    let held = PARTITIONS.unsigned_abs();
    scene.proxy.set(&[Rule { times: held.into(), ..Rule::every(Matches::Data, Fault::Hold) }]);
    let stopped = scene.start();
    scene.produce(RECORDS, None);
    scene.wait_for_faults(held as usize);
    stopped.signal("STOP");
    let plan = Plan::of(&scene);
    wait_past_the_session();
    let mut successor = [scene.start()];
    scene.drain(&mut successor);

    let (late, exists) = (plan.contents(&scene), scene.proxy.done().exists);
    scene.proxy.release();
    patiently(SOON, "the late puts are answered", || match scene.proxy.done().exists - exists {
        found if found >= u64::from(held) => Ok(()),
        found => Err(format!("{found} of {held} found the file of the successor")),
    });
    assert!(plan.contents(&scene) == late, "a late put replaced a file");
    let [successor] = successor;
    wakes_up_as_a_stranger(&scene, stopped, successor, &plan);
}

/// Without a coordinator no commit can land, so that the worker is stopped between the two for certain.
#[test]
fn row_07_stopped_past_its_session_before_the_commit() {
    let kafka = Kafka::own();
    let mut scene = Scene::new(&kafka, "row-07", PARTITIONS);
    let files = [Matches::Data, Matches::DeadLetters].map(|matches| Rule::every(matches, Fault::Hold));
    scene.proxy.set(&files);
    let stopped = scene.start();
    scene.produce(RECORDS, None);
    scene.wait_for_faults(PARTITIONS.unsigned_abs() as usize);
    kafka.stop();
    scene.proxy.release();
    patiently(SOON, "all planned files are written", || {
        let planned = scene.planned();
        let landed = scene.landed(&planned).len();
        let written = stopped.metric("eventsink_records_written_total").unwrap_or_default();
        if landed == planned.len() && written > 0.0 { Ok(()) } else { Err(format!("{landed} of {}", planned.len())) }
    });
    stopped.signal("STOP");
    let plan = Plan::of(&scene);
    assert_eq!(scene.landed(&plan.files), plan.files, "every planned file is there");
    kafka.start_again();
    assert!(commits(&scene).iter().all(|committed| *committed == 0), "nothing is committed");
    wait_past_the_session();
    let mut successor = [scene.start()];
    scene.drain(&mut successor);
    let [successor] = successor;
    wakes_up_as_a_stranger(&scene, stopped, successor, &plan);
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
                worker.assert_memory_within(BUDGET);
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
