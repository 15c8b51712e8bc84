//! The promise under kill -9, at any moment, again and again.

use std::thread;
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, S3, Target, Worker, Workspace, patiently, produce, settings, sink, verify, worker,
};
use serde_json::json;

const PARTITIONS: i32 = 12;
const KILLS: u32 = 30;
const RECORDS: u64 = 300_000;
/// One kill in this time on average; odd, so that it keeps no step with the rotation.
const PERIOD: Duration = Duration::from_millis(3_100);

#[test]
fn thirty_kills_of_three_workers_lose_and_double_nothing() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let server = S3::shared();
    let bucket = server.make_bucket("kills");
    let target = Target::Bucket { server, bucket: &bucket, prefix: "events" };
    let topic = kafka.create_topic("kills", PARTITIONS);
    let access = Access::SaslSsl(Mechanism::ScramSha512);
    let mut settings = sink(&topic, &topic, kafka.settings(access), &target);
    // Short files, so that kills meet every phase of a cut.
    settings["rotation"] = json!({"max_age": "1s", "max_idle": "500ms"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let list = space.join("list.csv");
    let start = |number: usize| Worker::start(&config, space.join(&format!("worker-{number}.log")), &[]);

    let mut workers: Vec<_> = (0..3).map(start).collect();
    let seconds = PERIOD.as_secs_f64() * f64::from(KILLS);
    // The records last as long as the kills.
    let pace = (RECORDS as f64 / seconds) as u32;
    let mix = Mix { pace: Some(pace), ..Mix::of(RECORDS, PARTITIONS.unsigned_abs()) };
    let produced = thread::scope(|scope| {
        let producing = scope.spawn(|| produce(kafka, &topic, &mix, &list));
        for kill in 0..KILLS {
            thread::sleep(pause(kill));
            let victim = kill as usize % workers.len();
            workers[victim].assert_alive();
            workers[victim].kill9();
            workers[victim] = start(victim);
        }
        producing.join().expect("the producer did not panic")
    });

    patiently(Duration::from_secs(180), "the group has committed everything", || {
        workers.iter_mut().for_each(Worker::assert_alive);
        kafka.drained(&topic, &topic)
    });
    for worker in &mut workers {
        assert_eq!(worker.terminate().code(), Some(0), "SIGTERM is an orderly end:\n{}", worker.log());
    }
    let report = verify(&list, &topic, &target);
    assert_eq!((report.rows, report.dead), (produced.rows, produced.dead));
    worker::audit(&config);
}

/// From a third to five thirds of the period, the same in every run; the sum over all kills is the period's.
fn pause(kill: u32) -> Duration {
    PERIOD * (1 + (kill * 3) % 5) / 3
}
