//! The main promise on healthy parts: every record is in exactly one row or one dead letter.

use std::time::Duration;

use eventsink_e2e::{
    Access, Azure, Gcs, Kafka, Mechanism, Mix, S3, Target, Worker, Workspace, count_with_duckdb, patiently, produce,
    settings, sink, verify, worker,
};

const PARTITIONS: i32 = 12;

#[test]
fn two_workers_land_200_000_events_on_disk_exactly_once() {
    let space = Workspace::new();
    let folder = space.join("lake");
    let target = Target::Folder(&folder);
    let topic = lands(&space, &target, "disk", "parquet");
    let (rows, dead) = count_with_duckdb(&folder, &topic);
    assert_eq!(rows + dead, 200_000, "DuckDB counts the same");
}

#[test]
fn two_workers_land_200_000_events_on_s3_exactly_once() {
    let server = S3::shared();
    let bucket = server.make_bucket("lands");
    lands(&Workspace::new(), &Target::Bucket { server, bucket: &bucket, prefix: "events" }, "s3", "parquet");
}

#[test]
fn two_workers_land_200_000_events_as_avro_exactly_once() {
    let space = Workspace::new();
    let folder = space.join("lake");
    let topic = lands(&space, &Target::Folder(&folder), "avro", "avro");
    assert_eq!(count_with_duckdb(&folder, &topic), (0, 0), "no file is Parquet");
}

#[test]
fn two_workers_land_200_000_events_on_azure_exactly_once() {
    let server = Azure::shared();
    let container = server.make_container("lands");
    lands(&Workspace::new(), &Target::Azure(server, &container, "events"), "azure");
}

#[test]
fn two_workers_land_200_000_events_on_google_cloud_exactly_once() {
    let server = Gcs::shared();
    let bucket = server.make_bucket("lands");
    lands(&Workspace::new(), &Target::Gcs(server, &bucket, "events"), "gcs");
}

/// Produces while two workers of one group run over TLS and SCRAM, then checks list, files and ledger.
/// Returns the topic.
fn lands(space: &Workspace, target: &Target<'_>, stem: &str, format: &str) -> String {
    let kafka = Kafka::shared();
    let topic = kafka.create_topic(stem, PARTITIONS);
    let access = Access::SaslSsl(Mechanism::ScramSha512);
    let mut settings = sink(&topic, &topic, kafka.settings(access), target);
    settings["storage"]["format"] = format.into();
    let config = settings::write(space.join("sink.yaml"), &settings);
    let list = space.join("list.csv");

    let mut workers: Vec<_> =
        (0..2).map(|number| Worker::start(&config, space.join(&format!("worker-{number}.log")), &[])).collect();
    workers.iter_mut().for_each(Worker::wait_until_ready);
    let mix = Mix { days: 2, ..Mix::of(200_000, PARTITIONS.unsigned_abs()) };
    let produced = produce(kafka, &topic, &mix, &list);
    patiently(Duration::from_secs(180), "the group has committed everything", || {
        workers.iter_mut().for_each(Worker::assert_alive);
        kafka.drained(&topic, &topic)
    });
    for worker in &mut workers {
        assert_eq!(worker.terminate().code(), Some(0), "SIGTERM is an orderly end:\n{}", worker.log());
    }

    let report = verify(&list, &topic, target);
    assert_eq!((report.rows, report.dead), (produced.rows, produced.dead));
    worker::audit(&config);
    topic
}
