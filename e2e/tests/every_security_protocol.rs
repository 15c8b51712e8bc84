//! Every way into Kafka that the settings offer lands events.

use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, Target, TokenEndpoint, Worker, Workspace, patiently, produce, settings, sink, verify,
};
use serde_json::Value;

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

/// Tokens live 4 s and the brokers end a session with its token: events flow over several of them.
#[test]
fn events_land_over_sasl_tls_with_oauthbearer_while_tokens_expire() {
    let endpoint = TokenEndpoint::start(Duration::from_secs(4));
    let mut kafka = Kafka::shared().settings(Access::SaslSsl(Mechanism::OAuthBearer));
    kafka["sasl"]["oauth"] = endpoint.settings();
    let mix = Mix { pace: Some(50), ..Mix::of(600, 2) };
    let mut worker = lands(kafka, &mix);
    assert!(endpoint.given() >= 4, "12 s of events need more than {} tokens", endpoint.given());
    assert_eq!(worker.metric("eventsink_rebalances_total"), Some(1.0), "no session was lost");
    worker.assert_alive();
    assert!(!worker.log().contains(TokenEndpoint::SECRET), "{}", worker.log());
}

#[test]
fn events_land_over_sasl_plaintext_with_oauthbearer() {
    let endpoint = TokenEndpoint::start(Duration::from_secs(600));
    let mut kafka = Kafka::shared().settings(Access::SaslPlaintext(Mechanism::OAuthBearer));
    kafka["sasl"]["oauth"] = endpoint.settings();
    lands(kafka, &Mix::of(200, 2));
}

fn lands_over(access: Access) {
    lands(Kafka::shared().settings(access), &Mix::of(200, 2));
}

/// The worker is up before the first event of the mix comes, and all of them land.
fn lands(way_in: Value, mix: &Mix) -> Worker {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let topic = kafka.create_topic("access", 2);
    let folder = space.join("lake");
    let target = Target::Folder(&folder);
    let list = space.join("list.csv");
    let mut settings = sink(&topic, &topic, way_in, &target);
    settings["rotation"]["max_idle"] = "200ms".into();
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    worker.wait_until_ready();
    produce(kafka, &topic, mix, &list);
    patiently(Duration::from_secs(60), "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&topic, &topic)
    });
    verify(&list, &topic, &target);
    worker
}
