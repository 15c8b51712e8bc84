//! The main promise on healthy parts: every record is in exactly one row or one dead letter.

use std::time::Duration;

use eventsink_e2e::{
    Access, Azure, Gcs, Kafka, Mechanism, Mix, S3, Target, Worker, Workspace, count_with_duckdb, count_with_spark,
    fetch, patiently, produce, settings, sink, verify, worker,
};

const PARTITIONS: i32 = 12;

macro_rules! two_workers_land_200_000_events_exactly_once {
    ($($store:ident),*) => { $(
        mod $store {
            #[test]
            fn as_parquet() {
                super::$store("parquet");
            }

            #[test]
            fn as_avro() {
                super::$store("avro");
            }
        }
    )* };
}

two_workers_land_200_000_events_exactly_once!(on_disk, on_s3, on_azure, on_google_cloud);

fn on_disk(format: &str) {
    let space = Workspace::new();
    lands(&space, &Target::Folder(&space.join("lake")), "disk", format);
}

fn on_s3(format: &str) {
    let server = S3::shared();
    let bucket = server.make_bucket("lands");
    lands(&Workspace::new(), &Target::Bucket { server, bucket: &bucket, prefix: "events" }, "s3", format);
}

fn on_azure(format: &str) {
    let server = Azure::shared();
    let container = server.make_container("lands");
    lands(&Workspace::new(), &Target::Azure(server, &container, "events"), "azure", format);
}

fn on_google_cloud(format: &str) {
    let server = Gcs::shared();
    let bucket = server.make_bucket("lands");
    lands(&Workspace::new(), &Target::Gcs(server, &bucket, "events"), "gcs", format);
}

/// Produces while two workers of one group run over TLS and SCRAM, then checks list, files and ledger.
fn lands(space: &Workspace, target: &Target<'_>, stem: &str, format: &str) {
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
    if format == "parquet" {
        let copy = space.join("copy");
        fetch(target, &copy);
        let counts = (produced.rows, produced.dead);
        assert_eq!(count_with_duckdb(&copy, &topic), counts, "DuckDB");
        assert_eq!(count_with_spark(&copy, &topic), counts, "Spark");
    }
}
