//! What people and Prometheus see of a worker: metrics that promtool finds nothing wrong with, alerts that fire when
//! they should, a log whose filter changes, and never a secret or a payload.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, Record, S3, Target, Worker, Workspace, patiently, produce, send_all, settings, sink,
    worker,
};
use serde_json::json;

fn promtool(arguments: &[&str], input: &str) -> Output {
    let rig = Path::new(env!("CARGO_MANIFEST_DIR")).join("rigs/promtool");
    let mut tool = Command::new(rig)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run the script rigs/promtool: {error}"));
    tool.stdin.take().expect("its input is a pipe").write_all(input.as_bytes()).expect("it reads its input");
    tool.wait_with_output().expect("it is our child")
}

fn passes_promtool(worker: &Worker) -> String {
    let (_, text) = worker.get("/metrics").expect("it listens");
    let output = promtool(&["check", "metrics"], &text);
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && words.is_empty(), "promtool says:\n{words}\nof\n{text}");
    text
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_of_a_worker_in_trouble() {
    let (kafka, server, space) = (Kafka::shared(), S3::own(), Workspace::new());
    let bucket = server.make_bucket("watched");
    let target = Target::Bucket { server: &server, bucket: &bucket, prefix: "lake" };
    let (topic, other) = (kafka.create_topic("watched", 2), kafka.create_topic("watched-other", 1));
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
    settings["kafka"]["consumer"]["topics"] = json!([topic, other]);
    settings["retry"] = json!({"max_delay": "1s"});
    settings["breaker"] = json!({"open": "1s", "max_open": "2s"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    produce(kafka, &other, &Mix::of(100, 1), &space.join("other.csv"));
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(Duration::from_secs(60), "the other topic is committed", || kafka.drained(&topic, &other));

    let mix = Mix { invalid_per_thousand: 100, pace: Some(1_000), ..Mix::of(3_000, 2) };
    server.stop();
    produce(kafka, &topic, &mix, &space.join("list.csv"));
    wait_for(&mut worker, "eventsink_store_errors_total{kind=\"unreachable\"}");
    server.start_again();
    patiently(Duration::from_secs(60), "the group has committed everything", || kafka.drained(&topic, &topic));
    let text = passes_promtool(&worker);
    for family in
        ["records_written", "records_dead", "records_rejected", "upload_duration", "encode_duration", "file_size"]
    {
        let begins = format!("eventsink_{family}");
        let lives = |line: &str| line.starts_with(&begins) && !line.ends_with(" 0");
        assert!(text.lines().any(lives), "{family} never came to life in\n{text}");
    }
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());

    kafka.make_topic_again(&other, 1);
    let mut worker = Worker::start(&config, space.join("again.log"), &[]);
    wait_for(&mut worker, "eventsink_partitions_stalled{reason=\"TopicRecreated\"}");
    passes_promtool(&worker);
}

/// Waits until a sample is above zero.
fn wait_for(worker: &mut Worker, sample: &str) {
    patiently(Duration::from_secs(90), sample, || {
        worker.assert_alive();
        let value = worker.metric(sample);
        if value.is_some_and(|value| value > 0.0) { Ok(()) } else { Err(format!("{value:?}")) }
    });
}

#[test]
fn every_alert_fires_when_it_should_and_keeps_silent_else() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/prometheus");
    let file = |name: &str| folder.join(name).display().to_string();
    for (verb, name) in [("check", "alerts.yaml"), ("test", "alerts-test.yaml")] {
        let output = promtool(&[verb, "rules", &file(name)], "");
        let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "promtool {verb} rules says:\n{words}");
    }
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let (rules, tests) = (read("alerts.yaml"), read("alerts-test.yaml"));
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let cases: Vec<_> =
            tests.split("- eval_time: ").filter(|case| case.contains(&format!("alertname: {alert}\n"))).collect();
        assert!(cases.iter().any(|case| case.contains("exp_alerts: []")), "{alert} has no silent case");
        assert!(cases.iter().any(|case| case.contains("exp_labels")), "{alert} has no firing case");
    }
}

#[test]
fn the_log_filter_changes_while_the_worker_runs() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("filter", 1);
    let folder = space.join("lake");
    let settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &Target::Folder(&folder));
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    worker.wait_until_ready();
    assert_eq!(worker.get("/log"), Some((200, "info\n".to_owned())));
    let (code, words) = worker.put("/log", "info,eventsink_worker=nonsense").unwrap();
    assert_eq!(code, 400, "{words}");
    assert!(words.contains("nonsense") && words.contains("eventsink_worker=debug"), "{words}");
    assert_eq!(worker.put("/log", " ").unwrap().0, 400);
    assert_eq!(worker.put("/log", &"a".repeat(5000)).unwrap().0, 413);
    assert_eq!(worker.get("/log"), Some((200, "info\n".to_owned())), "a wrong filter changes nothing");

    let (code, words) = worker.put("/log", "info,eventsink_worker::kafka=debug").unwrap();
    assert_eq!(code, 200, "{words}");
    worker::one_line_with(&worker.log(), &["log filter changed", "eventsink_worker::kafka=debug"]);
    assert!(!worker.log().contains("commit answered"), "{}", worker.log());
    produce(kafka, &topic, &Mix::of(10, 1), &space.join("list.csv"));
    worker.wait_until_log_says(&["commit answered"]);
}

#[test]
fn no_secret_and_no_payload_is_told_at_any_level() {
    let (kafka, server, space) = (Kafka::shared(), S3::shared(), Workspace::new());
    let bucket = server.make_bucket("canary");
    let target = Target::Bucket { server, bucket: &bucket, prefix: "lake" };
    let topic = kafka.create_topic("canary", 1);
    let access = Access::SaslSsl(Mechanism::Plain);
    let mut settings = sink(&topic, &topic, kafka.settings(access), &target);
    settings["observability"]["log"]["filter"] = "trace".into();
    settings["observability"]["traces"] =
        json!({"endpoint": "http://127.0.0.1:1/v1/traces", "headers": "authorization=header-canary"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    worker.wait_until_ready();
    produce(kafka, &topic, &Mix { invalid_per_thousand: 100, ..Mix::of(300, 1) }, &space.join("list.csv"));
    send_all(kafka, &topic, &with_canary());
    patiently(Duration::from_secs(60), "the group has committed everything", || kafka.drained(&topic, &topic));
    worker.wait_until_log_says(&["traces are lost"]);
    let bodies = ["/status", "/metrics", "/health", "/ready", "/log"].map(|path| worker.get(path).unwrap().1);
    assert_eq!(worker.terminate().code(), Some(0));
    let wrong = say_wrong_secrets(&settings, &space);

    let log = worker.log();
    assert!(log.contains("TRACE"), "the log is not at trace");
    let secrets = [&kafka.addresses.password, &server.at.secret_access_key];
    let bytes = format!("{:?}", CANARY.as_bytes());
    let bytes = bytes.trim_matches(['[', ']']);
    let own = ["header-canary", "password-canary", "key-canary", CANARY, bytes];
    for told in bodies.iter().chain([&log, &wrong]) {
        for secret in secrets.iter().map(|secret| secret.as_str()).chain(own) {
            let line = told.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is told: {}", line.unwrap_or_default());
        }
    }
}

/// Stands in payloads, keys and headers. No quotes: a log escapes them.
const CANARY: &str = "moonflower";

/// Events in both modes, text and binary, and dead letters, all with the canary where nothing may be told.
fn with_canary() -> Vec<Record> {
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let json = format!(r#"{{"specversion":"1.0","id":"i","source":"/s","type":"t","data":{{"word":"{CANARY}"}}}}"#);
    let attributes = [("ce_specversion", "1.0"), ("ce_id", "i"), ("ce_source", "/s"), ("ce_type", "t")];
    let structured = vec![header("content-type", "application/cloudevents+json"), header("x-word", CANARY)];
    let mut binary: Vec<_> = attributes.map(|(name, value)| header(name, value)).to_vec();
    binary.push(header("x-word", CANARY));
    let bytes = [b"\xff\x00\xfe", CANARY.as_bytes()].concat();
    let record = |headers: &[_], value: &[u8]| Record {
        key: Some(CANARY.into()),
        value: Some(value.to_vec()),
        headers: headers.to_vec(),
        ..Record::default()
    };
    vec![
        record(&structured, json.as_bytes()),
        record(&structured, &json.as_bytes()[..json.len() - 1]),
        record(&binary, &bytes),
        record(&binary[1..], &bytes),
    ]
}

/// The log of a worker whose password and key are refused, when errors are full of words.
fn say_wrong_secrets(settings: &serde_json::Value, space: &Workspace) -> String {
    let mut told = String::new();
    for (path, secret, words) in [
        ("/kafka/sasl/password", "password-canary", "authentication"),
        ("/storage/s3/secret_access_key", "key-canary", "denied"),
    ] {
        let mut settings = settings.clone();
        *settings.pointer_mut(path).unwrap() = secret.into();
        let config = settings::write(space.join("wrong.yaml"), &settings);
        let mut worker = Worker::start(&config, space.join(&format!("{secret}.log")), &[]);
        worker.wait_until_log_says(&[words]);
        told.push_str(&worker.log());
        told.extend(["/status", "/health", "/ready"].map(|path| worker.get(path).unwrap().1));
    }
    told
}
