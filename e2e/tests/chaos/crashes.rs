//! Workers that end at exactly the worst moment: rows 1 to 5 and 9.

use eventsink_e2e::{Fault, Kafka, Matches, Rule, S3, Worker, patiently};
use serde_json::json;

use crate::scene::{SOON, Scene};

const RECORDS: u64 = 5_000;
const PARTITIONS: i32 = 4;

/// Every put of a file that a manifest plans.
fn files(fault: Fault) -> [Rule; 2] {
    [Rule::every(Matches::Data, fault), Rule::every(Matches::DeadLetters, fault)]
}

#[test]
fn row_01_kill_while_reading() {
    let mut scene = Scene::new(Kafka::shared(), "row-01", PARTITIONS);
    let soon = scene.settings["rotation"].clone();
    scene.settings["rotation"] = json!({"max_age": "1h", "max_idle": "1h"});
    let mut worker = scene.start();
    scene.produce(RECORDS, None);
    patiently(SOON, "the worker reads", || match worker.metric("eventsink_records_consumed_total") {
        Some(read) if read > 0.0 => Ok(()),
        read => Err(format!("{read:?}")),
    });
    worker.kill9();
    assert!(scene.manifests().is_empty(), "no cut was planned");
    scene.settings["rotation"] = soon;
    let successor = scene.start();
    scene.prove(vec![successor]);
}

#[test]
fn row_02_kill_after_the_manifest() {
    let mut scene = Scene::new(Kafka::shared(), "row-02", PARTITIONS);
    scene.proxy.set(&files(Fault::Hold));
    let mut worker = scene.start();
    scene.produce(RECORDS, None);
    scene.wait_for_faults(1);
    worker.kill9();
    let (manifests, planned) = (scene.manifests(), scene.planned());
    assert!(!planned.is_empty() && scene.landed(&planned).is_empty(), "cuts are planned, no file is there");
    scene.proxy.heal();
    let successor = scene.start();
    scene.prove(vec![successor]);
    assert_kept(&scene, &manifests, &planned);
}

#[test]
fn row_02_kill_before_the_reply_to_the_manifest() {
    let mut scene = Scene::new(Kafka::shared(), "row-02-reply", PARTITIONS);
    scene.proxy.set(&[Rule::every(Matches::Manifest, Fault::LandAndHold)]);
    let mut worker = scene.start();
    scene.produce(RECORDS, None);
    scene.wait_for_faults(1);
    patiently(SOON, "a manifest is there", || if scene.manifests().is_empty() { Err("none".into()) } else { Ok(()) });
    worker.kill9();
    let (manifests, planned) = (scene.manifests(), scene.planned());
    assert!(scene.landed(&planned).is_empty(), "no file is there");
    scene.proxy.heal();
    let successor = scene.start();
    scene.prove(vec![successor]);
    assert_kept(&scene, &manifests, &planned);
}

#[test]
fn row_03_kill_before_the_reply_to_a_file() {
    let mut scene = Scene::new(Kafka::shared(), "row-03", PARTITIONS);
    scene.proxy.set(&files(Fault::LandAndHold));
    let mut worker = scene.start();
    scene.produce(RECORDS, None);
    patiently(SOON, "a planned file is there", || match scene.landed(&scene.planned()) {
        landed if landed.is_empty() => Err(format!("{:?}", scene.proxy.done())),
        _ => Ok(()),
    });
    worker.kill9();
    let (manifests, planned) = (scene.manifests(), scene.planned());
    let before = contents(&scene, &scene.landed(&planned));
    scene.proxy.heal();
    let successor = scene.start();
    scene.prove(vec![successor]);
    assert_kept(&scene, &manifests, &planned);
    for (key, bytes) in before {
        assert!(S3::shared().read(&scene.bucket, &key) == bytes, "{key} was written again");
    }
}

#[test]
fn row_04_kill_before_the_commit() {
    let kafka = Kafka::own();
    let mut scene = Scene::new(&kafka, "row-04", PARTITIONS);
    scene.proxy.set(&files(Fault::Hold));
    let mut worker = scene.start();
    scene.produce(RECORDS, None);
    scene.wait_for_faults(PARTITIONS.unsigned_abs() as usize);
    // Without a coordinator no commit can land.
    kafka.stop();
    scene.proxy.release();
    patiently(SOON, "all planned files are written", || {
        let written: f64 = ["event", "dead_letter"].iter().filter_map(|kind| files_written(&worker, kind)).sum();
        let planned = scene.planned().len();
        if planned > 0 && written >= planned as f64 { Ok(()) } else { Err(format!("{written} of {planned}")) }
    });
    worker.kill9();
    let (manifests, planned) = (scene.manifests(), scene.planned());
    let before = contents(&scene, &scene.landed(&planned));
    assert_eq!(before.len(), planned.len(), "every planned file is there");
    kafka.start_again();
    let progress = kafka.progress(&scene.topic, &scene.topic).expect("the broker is back");
    assert!(progress.iter().all(|(committed, _)| *committed == 0), "nothing is committed: {progress:?}");
    let successor = scene.start();
    scene.prove(vec![successor]);
    assert_kept(&scene, &manifests, &planned);
    for (key, bytes) in before {
        assert!(S3::shared().read(&scene.bucket, &key) == bytes, "{key} was written again");
    }
}

#[test]
fn row_09_sigterm_during_an_upload() {
    let mut scene = Scene::new(Kafka::shared(), "row-09", PARTITIONS);
    scene.proxy.set(&files(Fault::Hold));
    let mut worker = scene.start();
    scene.produce(RECORDS, None);
    scene.wait_for_faults(1);
    worker.signal("TERM");
    worker.wait_until_log_says(&["stop"]);
    scene.proxy.release();
    assert_eq!(worker.wait().code(), Some(0), "SIGTERM is an orderly end:\n{}", worker.log());
    let planned = scene.planned();
    assert_eq!(scene.landed(&planned), planned, "the worker finishes what it planned");
    let successor = scene.start();
    scene.prove(vec![successor]);
}

#[test]
fn row_09_sigterm_while_the_store_never_answers() {
    let mut scene = Scene::new(Kafka::shared(), "row-09-late", PARTITIONS);
    scene.settings["shutdown"] = json!({"deadline": "3s"});
    scene.proxy.set(&files(Fault::Hold));
    let mut worker = scene.start();
    scene.produce(RECORDS, None);
    scene.wait_for_faults(1);
    let ended = worker.terminate();
    assert!(ended.code().is_some(), "it ends by itself: {ended}");
    let (manifests, planned) = (scene.manifests(), scene.planned());
    scene.proxy.heal();
    let successor = scene.start();
    scene.prove(vec![successor]);
    assert_kept(&scene, &manifests, &planned);
}

fn files_written(worker: &Worker, kind: &str) -> Option<f64> {
    worker.metric(&format!("eventsink_files_written_total{{kind=\"{kind}\"}}"))
}

fn contents(scene: &Scene<'_>, keys: &[String]) -> Vec<(String, Vec<u8>)> {
    keys.iter().map(|key| (key.clone(), S3::shared().read(&scene.bucket, key))).collect()
}

/// Every manifest of before is as it was, and every file that it planned is there under its own name.
fn assert_kept(scene: &Scene<'_>, manifests: &[(String, serde_json::Value)], planned: &[String]) {
    let after = scene.manifests();
    assert!(manifests.iter().all(|manifest| after.contains(manifest)), "a manifest was changed");
    assert_eq!(scene.landed(planned), planned, "a planned file has its own name");
}
