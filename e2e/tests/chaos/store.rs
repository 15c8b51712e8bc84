//! A store that fails: rows 18 to 22.

use std::process::Command;
use std::thread;

use eventsink_e2e::{
    Access, Fault, Kafka, Matches, Mix, Rule, S3, Target, Worker, Workspace, patiently, produce, settings, sink,
    verify, worker,
};
use serde_json::json;

use crate::scene::{SOON, Scene};

const PARTITIONS: i32 = 4;
/// Budget of the rows that look at memory.
const BUDGET: u64 = 16 << 20;

/// More than three times what a worker may hold.
fn heavy() -> Mix {
    Mix { padding: 16 << 10, ..Mix::of(52_000, PARTITIONS.unsigned_abs()) }
}

fn rebalances(worker: &Worker) -> f64 {
    worker.metric("eventsink_rebalances_total").unwrap_or_default()
}

fn written(worker: &Worker) -> f64 {
    worker.metric("eventsink_records_written_total").unwrap_or_default()
}

/// Waits until the budget is gone and fetching pauses for it; the worker stays within it all the same.
fn wait_until_budget_is_gone(worker: &mut Worker) {
    worker.wait_until_log_says(&["byte budget", "paused=true"]);
    worker.assert_memory_within(BUDGET);
}

fn wait_until_it_writes(worker: &mut Worker, more_than: f64) {
    patiently(SOON, "the worker writes", || {
        worker.assert_alive();
        let written = written(worker);
        if written > more_than { Ok(()) } else { Err(format!("{written} rows")) }
    });
}

/// How long the producer needs for its records, and so how long the outage lasts: a minute, or so many seconds as
/// `EVENTSINK_OUTAGE` says.
fn outage() -> u64 {
    let Ok(text) = std::env::var("EVENTSINK_OUTAGE") else { return 60 };
    text.parse().unwrap_or_else(|error| panic!("EVENTSINK_OUTAGE is no number of seconds: {text}: {error}"))
}

#[test]
fn row_18_store_answers_503_for_a_minute() {
    let mut scene = Scene::new(Kafka::shared(), "row-18", PARTITIONS);
    scene.settings["memory"] = json!({"budget": BUDGET.to_string()});
    let mut worker = scene.start();
    let pace = u32::try_from(heavy().records / outage().max(1)).ok();
    let mix = Mix { pace, ..heavy() };
    let (before, landed) = thread::scope(|scope| {
        let producing = scope.spawn(|| scene.produce_mix(&mix));
        wait_until_it_writes(&mut worker, 0.0);
        let before = rebalances(&worker);
        scene.proxy.set(&[Rule::every(Matches::Any, Fault::Refuse(503))]);
        producing.join().expect("the producer did not panic");
        (before, written(&worker))
    });
    worker.assert_alive();
    assert_eq!(rebalances(&worker), before, "an outage of the store is no reason to rebalance");
    wait_until_budget_is_gone(&mut worker);
    assert!(scene.proxy.faults() > 0, "the store was asked");
    scene.proxy.heal();
    wait_until_it_writes(&mut worker, landed);
    assert_eq!(rebalances(&worker), before, "healing is no reason to rebalance");
    scene.drain(std::slice::from_mut(&mut worker));
    worker.assert_memory_within(BUDGET);
    scene.prove(vec![worker]);
}

#[test]
fn row_19_answers_are_lost_or_wrong_after_landing() {
    let mut scene = Scene::new(Kafka::shared(), "row-19", PARTITIONS);
    // Half of all requests fail, which opens it again and again.
    scene.settings["breaker"] = json!({"open": "1s", "max_open": "2s"});
    scene.proxy.set(&[
        Rule::share(25, Matches::Put, Fault::LandAndDrop),
        Rule::share(25, Matches::Put, Fault::LandAndRefuse(503)),
    ]);
    let worker = scene.start();
    scene.produce(20_000, Some(2_000));
    let workers = &mut [worker];
    scene.drain(workers);
    let done = scene.proxy.done();
    for fault in [Fault::LandAndDrop, Fault::LandAndRefuse(503)] {
        let met = |matches: &str| done.faults.iter().any(|(met, path)| *met == fault && path.contains(matches));
        assert!(met("/cuts/") && met(".parquet"), "{fault:?} met manifests and files: {done:?}");
    }
    assert!(done.exists > 0, "what had landed was found");
    scene.proxy.heal();
    let [worker] = workers;
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    scene.prove_files();
}

#[test]
fn row_20_conflicts_are_tried_again() {
    let mut scene = Scene::new(Kafka::shared(), "row-20", PARTITIONS);
    scene.proxy.set(&[Rule::share(40, Matches::Put, Fault::Refuse(409))]);
    let worker = scene.start();
    scene.produce(20_000, Some(2_000));
    let mut workers = vec![worker];
    scene.drain(&mut workers);
    assert!(scene.proxy.faults() > 10, "conflicts were met");
    scene.proxy.heal();
    scene.prove(workers);
}

#[test]
fn row_20_an_object_of_somebody_else_is_not_overwritten() {
    let mut scene = Scene::new(Kafka::shared(), "row-20-foreign", 1);
    scene.proxy.set(&[Rule::every(Matches::Data, Fault::Hold)]);
    let mut worker = scene.start();
    scene.produce(2_000, None);
    scene.wait_for_faults(1);
    let key = scene.planned().into_iter().find(|key| !key.contains("/_dlq/")).expect("a file is planned");
    let foreign = "events/_eventsink/owner.json";
    S3::shared().copy(&scene.bucket, foreign, &key);
    scene.proxy.release();
    patiently(SOON, "the partition holds", || {
        worker.assert_alive();
        let status = worker.status()?;
        let hold = &status["partitions"][0]["hold"]["reason"];
        if hold == "ForeignObject" { Ok(()) } else { Err(status.to_string()) }
    });
    let bytes = |key: &str| S3::shared().read(&scene.bucket, key);
    assert!(bytes(&key) == bytes(foreign), "it is as it was");
    S3::shared().remove(&scene.bucket, &key);
    scene.prove(vec![worker]);
}

/// Slow until the budget is gone.
#[test]
fn row_21_slow_store() {
    let mut scene = Scene::new(Kafka::shared(), "row-21-slow", PARTITIONS);
    scene.settings["memory"] = json!({"budget": BUDGET.to_string()});
    scene.proxy.set(&[Rule::every(Matches::Put, Fault::Throttle(50_000))]);
    let mut worker = scene.start();
    scene.produce_mix(&heavy());
    wait_until_budget_is_gone(&mut worker);
    scene.proxy.heal();
    let mut workers = vec![worker];
    scene.drain(&mut workers);
    workers[0].assert_memory_within(BUDGET);
    scene.prove(workers);
}

#[test]
fn row_21_denied_then_healed() {
    let mut scene = Scene::new(Kafka::shared(), "row-21-denied", PARTITIONS);
    scene.settings["memory"] = json!({"budget": BUDGET.to_string()});
    let mut worker = scene.start();
    worker.wait_until_ready();
    scene.proxy.set(&[Rule::every(Matches::Any, Fault::Refuse(403))]);
    scene.produce(10_000, None);
    scene.wait_for_faults(3);
    patiently(SOON, "the worker names the refusal", || {
        worker.assert_alive();
        let status = worker.status()?;
        let words = status["store_error"].as_str().unwrap_or_default().to_owned();
        if words.contains("AccessDenied") { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(written(&worker), 0.0, "nothing could be written");
    worker.assert_memory_within(BUDGET);
    scene.proxy.heal();
    // The proof counts the dead letters: those of the list, none more.
    scene.prove(vec![worker]);
}

/// There is no spool on disk: the disk that can fill up is that of the `file` backend.
#[test]
fn row_22_disk_full() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let (folder, list) = (space.join("lake"), space.join("list.csv"));
    std::fs::create_dir(&folder).expect("the folder is new");
    let topic = kafka.create_topic("row-22", PARTITIONS);
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &Target::Folder(&folder));
    settings["retry"] = json!({"max_delay": "2s"});
    settings["memory"] = json!({"budget": BUDGET.to_string()});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let size = 1 << 30;
    let mut worker = Worker::start_on_small_disk(&config, space.join("worker.log"), &folder, size);
    worker.wait_until_ready();
    let inside = worker.sees(&folder);
    let ballast = inside.join("ballast");
    std::fs::write(&ballast, vec![1; 1023 << 20]).expect("there is room for it");
    // The last mebibyte takes some files; one of them meets the end of the disk in its middle.
    let produced = produce(kafka, &topic, &heavy(), &list);
    worker.wait_until_log_says(&["no space left"]);
    worker.assert_alive();
    wait_until_budget_is_gone(&mut worker);
    std::fs::remove_file(&ballast).expect("it is there");
    patiently(SOON, "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&topic, &topic)
    });
    let report = verify(&list, &topic, &Target::Folder(&inside));
    assert_eq!((report.rows, report.dead), (produced.rows, produced.dead));
    // The audit resolves paths, and so would look at the folder below the mount.
    let copy = space.join("copy");
    let copied = Command::new("cp").arg("--recursive").args([&inside, &copy]).status();
    assert!(copied.is_ok_and(|status| status.success()), "the folder cannot be copied");
    settings["storage"] = Target::Folder(&copy).settings();
    worker::audit(&settings::write(space.join("audit.yaml"), &settings));
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
}
