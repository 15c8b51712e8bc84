//! Every way into Kafka that the settings offer lands events.

use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, Target, Worker, Workspace, patiently, produce, settings, sink, verify,
};

#[test]
fn events_land_over_plaintext() {
    lands_over(Access::Plaintext);
}

#[test]
fn events_land_over_tls_with_a_client_certificate() {
    lands_over(Access::Ssl);
}

#[test]
fn events_land_over_sasl_plaintext_with_plain() {
    lands_over(Access::SaslPlaintext(Mechanism::Plain));
}

#[test]
fn events_land_over_sasl_plaintext_with_scram_sha_256() {
    lands_over(Access::SaslPlaintext(Mechanism::ScramSha256));
}

#[test]
fn events_land_over_sasl_plaintext_with_scram_sha_512() {
    lands_over(Access::SaslPlaintext(Mechanism::ScramSha512));
}

#[test]
fn events_land_over_sasl_tls_with_plain() {
    lands_over(Access::SaslSsl(Mechanism::Plain));
}

#[test]
fn events_land_over_sasl_tls_with_scram_sha_256() {
    lands_over(Access::SaslSsl(Mechanism::ScramSha256));
}

#[test]
fn events_land_over_sasl_tls_with_scram_sha_512() {
    lands_over(Access::SaslSsl(Mechanism::ScramSha512));
}

fn lands_over(access: Access) {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("access", 2);
    let folder = space.join("lake");
    let target = Target::Folder(&folder);
    let list = space.join("list.csv");
    produce(kafka, &topic, &Mix::of(200, 2), &list);
    let mut settings = sink(&topic, &topic, kafka.settings(access), &target);
    settings["rotation"]["max_idle"] = "200ms".into();
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(Duration::from_secs(60), "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&topic, &topic)
    });
    verify(&list, &topic, &target);
}
