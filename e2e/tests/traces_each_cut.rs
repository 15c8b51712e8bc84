//! What a collector sees of a worker, and what a worker cares about a collector: nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use eventsink_e2e::collector::{Collector, attributes};
use eventsink_e2e::{
    Access, Kafka, Mix, Target, Worker, Workspace, patiently, produce, settings, sink, verify, worker,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

const BY_HEADER: &str = "0af7651916cd43dd8448eb211c80319c";
const BY_EXTENSION: &str = "1af7651916cd43dd8448eb211c80319c";
const BY_DEAD_LETTER: &str = "2af7651916cd43dd8448eb211c80319c";

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-b7ad6b7169203331-01")
}

/// An event with a header, one with an extension, a dead letter with a header, and an event whose header is wrong.
fn produce_traced(kafka: &Kafka, topic: &str) {
    let event = |id: &str, more: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","data":"payload-canary"{more}}}"#)
    };
    let extension = format!(r#","traceparent":"{}""#, traceparent(BY_EXTENSION));
    let records = [
        (event("first", ""), Some(traceparent(BY_HEADER))),
        (event("second", &extension), None),
        ("payload-canary".to_owned(), Some(traceparent(BY_DEAD_LETTER))),
        (event("fourth", ""), Some("00-nonsense-01".to_owned())),
    ];
    let producer: BaseProducer = kafka.client().create().unwrap();
    for (body, traceparent) in &records {
        let kind = Header { key: "content-type", value: Some("application/cloudevents+json") };
        let mut headers = OwnedHeaders::new().insert(kind);
        if let Some(value) = traceparent {
            headers = headers.insert(Header { key: "traceparent", value: Some(value) });
        }
        producer.send(BaseRecord::<(), _>::to(topic).payload(body).headers(headers)).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

fn by_name<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[test]
fn a_collector_sees_each_cut_whole_and_linked_to_its_producers() {
    let (kafka, space, collector) = (Kafka::shared(), Workspace::new(), Collector::start());
    let topic = kafka.create_topic("traced", 1);
    let folder = space.join("lake");
    produce_traced(kafka, &topic);
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &Target::Folder(&folder));
    settings["observability"]["traces"] =
        json!({"endpoint": collector.endpoint, "headers": "authorization=token-canary"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(Duration::from_secs(60), "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&topic, &topic)
    });
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());

    let spans = collector.spans();
    let root = by_name(&spans, &format!("process {topic}"))[0];
    let children: Vec<_> = spans.iter().filter(|span| span.parent_span_id == root.span_id).collect();
    let mut names: Vec<_> = children.iter().map(|span| span.name.replace(&topic, "TOPIC")).collect();
    names.sort();
    assert_eq!(names, ["commit TOPIC", "encode", "manifest", "poll TOPIC", "upload", "upload"], "{spans:#?}");
    assert!(root.parent_span_id.is_empty() && root.kind() == SpanKind::Consumer, "{root:#?}");
    for child in &children {
        let kind = if child.name == "encode" { SpanKind::Internal } else { SpanKind::Client };
        assert_eq!((&child.trace_id, child.kind()), (&root.trace_id, kind), "{}", child.name);
        assert!(child.start_time_unix_nano >= root.start_time_unix_nano, "{} began before its cut", child.name);
        assert!(child.end_time_unix_nano <= root.end_time_unix_nano, "{} outlives its cut", child.name);
    }
    says_what_it_did(root, &children, &topic);
    let (resource, headers) = collector.sender();
    assert_eq!(resource["service.name"], "eventsink-worker");
    assert_eq!(resource["eventsink.sink"], topic);
    assert_eq!(headers["authorization"], "token-canary");
    assert!(!format!("{spans:?}").contains("payload-canary"), "a payload is in the spans");
    assert!(!worker.log().contains("token-canary"), "a secret is in the log");
}

fn says_what_it_did(root: &Span, children: &[&Span], topic: &str) {
    let links: BTreeMap<String, BTreeMap<String, String>> =
        root.links.iter().map(|link| (hex(&link.trace_id), attributes(&link.attributes))).collect();
    let linked: BTreeSet<&str> = links.keys().map(String::as_str).collect();
    assert_eq!(linked, BTreeSet::from([BY_HEADER, BY_EXTENSION, BY_DEAD_LETTER]));
    assert_eq!(links[BY_EXTENSION]["cloudevents.event_id"], "second");
    assert_eq!(links[BY_DEAD_LETTER]["messaging.kafka.offset"], "2");
    let told = attributes(&root.attributes);
    for (name, value) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", topic),
        ("messaging.destination.partition.id", "0"),
        ("messaging.consumer.group.name", topic),
        ("messaging.batch.message_count", "4"),
        ("eventsink.cut.from", "0"),
        ("eventsink.cut.to", "4"),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
    }
    let uploads = children.iter().filter(|span| span.name == "upload").map(|span| attributes(&span.attributes));
    let rows: BTreeSet<_> = uploads.map(|upload| upload["eventsink.file.rows"].clone()).collect();
    assert_eq!(rows, BTreeSet::from(["1".to_owned(), "3".to_owned()]));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_collector_that_is_away_is_one_line_in_the_log() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let space = Workspace::new();
    let (mut worker, topic) = lands_all_without(&space, &format!("http://{free}/v1/traces"));
    worker.wait_until_log_says(&["traces are lost"]);
    // More to lose, at the latest when the worker stops.
    lands(&mut worker, &topic, &Mix { seed: 2, ..Mix::of(10, 2) }, &space.join("more.csv"));
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    let lines = worker.log().lines().filter(|line| line.contains("the collector does not take them")).count();
    assert_eq!(lines, 1, "{}", worker.log());
}

#[test]
fn a_collector_that_hangs_delays_nothing() {
    // The system takes the connection; nobody ever reads from it.
    let hangs = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let space = Workspace::new();
    let (mut worker, _) = lands_all_without(&space, &format!("http://{}/v1/traces", hangs.local_addr().unwrap()));
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    worker::one_line_with(&worker.log(), &["the last traces are lost"]);
}

fn lands_all_without(space: &Workspace, endpoint: &str) -> (Worker, String) {
    let kafka = Kafka::shared();
    let topic = kafka.create_topic("untraced", 2);
    let folder = space.join("lake");
    let (target, list) = (Target::Folder(&folder), space.join("list.csv"));
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
    settings["rotation"] = json!({"max_age": "500ms", "max_idle": "200ms"});
    settings["observability"]["traces"] = json!({"endpoint": endpoint});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    worker.wait_until_ready();
    lands(&mut worker, &topic, &Mix { pace: Some(1000), ..Mix::of(2000, 2) }, &list);
    verify(&list, &topic, &target);
    (worker, topic)
}

fn lands(worker: &mut Worker, topic: &str, mix: &Mix, list: &Path) {
    let kafka = Kafka::shared();
    produce(kafka, topic, mix, list);
    patiently(Duration::from_secs(60), "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(topic, topic)
    });
}
