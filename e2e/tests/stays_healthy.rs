//! An outage is no reason to restart a worker: `/health` stays 200 and names what is away, `/ready` never takes back
//! its word, and all lands when the servers are back.

use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, S3, Target, Worker, Workspace, patiently, produce, settings, sink, verify, worker,
};
use serde_json::{Value, json};

/// Waits until `/health` says this of Kafka and the store, `ok` or not; its code must be 200 all the while.
fn wait_for_health(worker: &mut Worker, kafka: bool, storage: bool) {
    patiently(Duration::from_secs(90), &format!("health says kafka {kafka}, storage {storage}"), || {
        worker.assert_alive();
        let (code, body) = worker.get("/health").ok_or("nobody listens")?;
        assert_eq!(code, 200, "an outage would restart the worker: {body}");
        let health: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(health["poll_loop"], "ok", "{body}");
        let is = |component: &str| health[component] == "ok";
        if (is("kafka"), is("storage")) == (kafka, storage) { Ok(()) } else { Err(body) }
    });
    assert_eq!(worker.code_of("/ready"), Some(200), "ready was taken back");
}

#[test]
fn an_outage_of_kafka_of_the_store_and_of_both_is_named_and_survived() {
    let (kafka, server, space) = (Kafka::own(), S3::own(), Workspace::new());
    let bucket = server.make_bucket("healthy");
    let target = Target::Bucket { server: &server, bucket: &bucket, prefix: "lake" };
    let topic = kafka.create_topic("healthy", 2);
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
    settings["retry"] = json!({"max_delay": "2s"});
    settings["breaker"] = json!({"open": "1s", "max_open": "2s"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let list = space.join("list.csv");
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    worker.wait_until_ready();
    wait_for_health(&mut worker, true, true);

    server.stop();
    produce(&kafka, &topic, &Mix::of(2_000, 2), &list);
    wait_for_health(&mut worker, true, false);
    kafka.stop();
    wait_for_health(&mut worker, false, false);
    server.start_again();
    wait_for_health(&mut worker, false, true);
    kafka.start_again();
    wait_for_health(&mut worker, true, true);

    patiently(Duration::from_secs(120), "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&topic, &topic)
    });
    let report = verify(&list, &topic, &target);
    assert_eq!(report.rows + report.dead, 2_000);
    worker::audit(&config);
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
}

#[test]
fn before_the_first_answer_health_is_200_and_ready_says_what_it_waits_for() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("unready", 1);
    let folder = space.join("lake");
    let access = Access::SaslSsl(Mechanism::ScramSha512);
    let mut settings = sink(&topic, &topic, kafka.settings(access), &Target::Folder(&folder));
    settings["kafka"]["sasl"]["password"] = "wrong-password".into();
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(Duration::from_secs(60), "ready says what it waits for", || {
        worker.assert_alive();
        let (code, words) = worker.get("/ready").ok_or("nobody listens")?;
        assert_eq!(code, 503, "{words}");
        if words.to_lowercase().contains("authentication") { Ok(()) } else { Err(words) }
    });
    let (code, body) = worker.get("/health").unwrap();
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &health["poll_loop"], &health["storage"]), (200, &json!("starting"), &json!("ok")), "{body}");
    assert!(health["kafka"].as_str().is_some_and(|words| words.to_lowercase().contains("authentication")), "{body}");
}
