//! Workers that end at exactly the worst moment: rows 1 to 5 and 9.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use eventsink_e2e::{
    Access, Fault, Kafka, Matches, Mix, Rule, S3, Target, Worker, Workspace, folder, patiently, produce, settings,
    sink, verify, worker,
};
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
        let written: f64 = ["rows", "dead_letters"].iter().filter_map(|kind| files_written(&worker, kind)).sum();
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
fn row_05_kill_after_the_commit() {
    let mut scene = Scene::new(Kafka::shared(), "row-05", PARTITIONS);
    let mut workers = vec![scene.start()];
    scene.produce(RECORDS, None);
    scene.drain(&mut workers);
    workers[0].kill9();
    let before = S3::shared().keys(&scene.bucket);
    let mut successor = scene.start();
    successor.wait_until_ready();
    scene.prove(vec![successor]);
    let new: Vec<_> = S3::shared().keys(&scene.bucket).into_iter().filter(|key| !before.contains(key)).collect();
    assert!(new.iter().all(|key| key.contains("/done/")), "nothing is written twice: {new:?}");
}

/// Encoded files wait in memory, so the only thing on disk that a kill can leave is what the `file` backend was
/// writing: a part of a file under a staged name, beside the names that readers look at.
#[test]
fn row_05_kill_leaves_a_part_of_a_file_in_a_folder() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let (folder, list) = (space.join("lake"), space.join("list.csv"));
    let target = Target::Folder(&folder);
    let topic = kafka.create_topic("row-05-folder", PARTITIONS);
    let settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("first.log"), &[]);
    let mix = Mix { pace: Some(2_000), ..Mix::of(40_000, PARTITIONS.unsigned_abs()) };
    let produced = thread::scope(|scope| {
        let producing = scope.spawn(|| produce(kafka, &topic, &mix, &list));
        for kill in 0..5 {
            patiently(SOON, "files are written", || match files_written(&worker, "rows") {
                Some(files) if files > 0.0 => Ok(()),
                files => Err(format!("{files:?}")),
            });
            worker.kill9();
            leave_a_part(&folder, kill);
            worker = Worker::start(&config, space.join(&format!("worker-{kill}.log")), &[]);
        }
        producing.join().expect("the producer did not panic")
    });
    patiently(SOON, "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&topic, &topic)
    });
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    let report = verify(&list, &topic, &target);
    assert_eq!((report.rows, report.dead), (produced.rows, produced.dead));
    worker::audit(&config);
}

/// The first half of some landed file under the name under which it was staged.
fn leave_a_part(folder: &Path, number: usize) {
    let mut files = folder::files(folder);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    let landed = &files[number % files.len()];
    let bytes = std::fs::read(landed).expect("it has landed");
    std::fs::write(format!("{}#1", landed.display()), &bytes[..bytes.len() / 2]).expect("the folder is ours");
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
    let began = Instant::now();
    assert_eq!(worker.terminate().code(), Some(0), "an end at the deadline is orderly too:\n{}", worker.log());
    assert!(began.elapsed() < Duration::from_secs(30), "it ended {:?} after SIGTERM", began.elapsed());
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
