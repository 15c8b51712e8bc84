//! Two processes that both believe they own every partition: the ledger must settle it, not the group.

use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, S3, Target, Worker, Workspace, patiently, produce, settings, sink, verify, worker,
};
use serde_json::json;

const PARTITIONS: i32 = 12;

#[test]
fn two_owners_of_every_partition_write_each_row_once() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let server = S3::shared();
    let bucket = server.make_bucket("owners");
    let target = Target::Bucket { server, bucket: &bucket, prefix: "events" };
    let topic = kafka.create_topic("owners", PARTITIONS);
    let access = Access::SaslSsl(Mechanism::ScramSha512);
    let mut settings = sink(&topic, &topic, kafka.settings(access), &target);
    settings["rotation"] = json!({"max_age": "1s", "max_idle": "500ms"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let list = space.join("list.csv");

    let mut owners: Vec<_> = (0..2)
        .map(|number| Worker::start(&config, space.join(&format!("owner-{number}.log")), &["--assign-all"]))
        .collect();
    owners.iter_mut().for_each(Worker::wait_until_ready);
    // Slow enough for some ten cuts of each partition.
    let mix = Mix { pace: Some(5_000), ..Mix::of(100_000, PARTITIONS.unsigned_abs()) };
    let produced = produce(kafka, &topic, &mix, &list);
    patiently(Duration::from_secs(180), "the group has committed everything", || {
        owners.iter_mut().for_each(Worker::assert_alive);
        kafka.drained(&topic, &topic)
    });
    for owner in &mut owners {
        assert_eq!(owner.terminate().code(), Some(0), "SIGTERM is an orderly end:\n{}", owner.log());
    }
    let report = verify(&list, &topic, &target);
    assert_eq!((report.rows, report.dead), (produced.rows, produced.dead));
    worker::audit(&config);
}
