//! The servers and the producer themselves: a test on them proves nothing while they are wrong.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use eventsink_e2e::{Access, Azure, Gcs, Kafka, Mechanism, Mix, S3, Workspace, produce};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

#[test]
fn the_producers_list_names_every_record_of_the_log() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("list", 3);
    let list = space.join("list.csv");
    let produced = produce(kafka, &topic, &Mix::of(20_000, 3), &list);
    assert_eq!(produced.rows + produced.dead, 20_000);

    let consumer: BaseConsumer = kafka.client().set("group.id", "nobody").create().unwrap();
    let mut partitions = TopicPartitionList::new();
    for partition in 0..3 {
        partitions.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let mut log = BTreeSet::new();
    while log.len() < 20_000 {
        let message = consumer.poll(Duration::from_secs(30)).expect("a record").unwrap();
        log.insert((message.partition(), message.offset()));
    }
    let text = std::fs::read_to_string(list).unwrap();
    let listed: BTreeSet<(i32, i64)> = text.lines().skip(1).map(place).collect();
    assert!(log == listed, "the list and the log differ");
    kafka.delete_topic(&topic);
}

fn place(line: &str) -> (i32, i64) {
    let mut fields = line.split(',');
    (fields.next().unwrap().parse().unwrap(), fields.next().unwrap().parse().unwrap())
}

#[test]
fn every_listener_lets_its_users_in() {
    let kafka = Kafka::shared();
    let mechanisms = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];
    let sasl = mechanisms.iter().flat_map(|m| [Access::SaslPlaintext(*m), Access::SaslSsl(*m)]);
    for access in [Access::Plaintext, Access::Ssl].into_iter().chain(sasl) {
        let client: BaseConsumer = client(kafka, access).create().unwrap();
        let answer = client.fetch_metadata(None, Duration::from_secs(20));
        assert!(answer.is_ok(), "{access:?}: {:?}", answer.err());
    }
}

#[test]
fn the_tls_listener_refuses_a_client_without_a_certificate() {
    let kafka = Kafka::shared();
    let mut config = client(kafka, Access::Ssl);
    config.remove("ssl.certificate.location");
    config.remove("ssl.key.location");
    let client: BaseConsumer = config.create().unwrap();
    assert!(client.fetch_metadata(None, Duration::from_secs(3)).is_err());
}

/// The worker's settings in the words of librdkafka.
fn client(kafka: &Kafka, access: Access) -> ClientConfig {
    let settings = kafka.settings(access);
    let names = [
        ("/bootstrap_servers", "bootstrap.servers"),
        ("/security_protocol", "security.protocol"),
        ("/sasl/mechanism", "sasl.mechanism"),
        ("/sasl/username", "sasl.username"),
        ("/sasl/password", "sasl.password"),
        ("/tls/ca_file", "ssl.ca.location"),
        ("/tls/certificate_file", "ssl.certificate.location"),
        ("/tls/key_file", "ssl.key.location"),
    ];
    let mut config = ClientConfig::new();
    for (pointer, name) in names {
        if let Some(value) = settings.pointer(pointer).and_then(|value| value.as_str()) {
            config.set(name, value);
        }
    }
    config.set("log_level", "0");
    config
}

#[test]
fn an_old_node_is_named_before_anything_is_installed() {
    let space = Workspace::new();
    let node = space.join("node");
    std::fs::write(&node, "#!/bin/sh\necho v18.19.0\n").unwrap();
    std::fs::set_permissions(&node, Permissions::from_mode(0o755)).unwrap();
    let folder = node.parent().unwrap().display();
    let done = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/rigs/azure"))
        .arg("get")
        .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()))
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && words.contains("node is v18.19.0") && words.contains("20 or newer"), "{words}");
}

#[test]
fn the_stores_have_buckets() {
    let names =
        [S3::shared().make_bucket("rig"), Azure::shared().make_container("rig"), Gcs::shared().make_bucket("rig")];
    assert!(names.iter().all(|name| name.starts_with("rig-")), "{names:?}");
}
