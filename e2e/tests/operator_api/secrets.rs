//! Secrets that a sink refers to: what is wrong with them is said, what changes reaches the pods, and nothing of them is
//! told anywhere else.

use eventsink_e2e::{cluster::condition, patiently};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene, message, with, with_secrets};

/// Looks like a certificate, as far as that can be seen without using it.
const CA: &str = "-----BEGIN CERTIFICATE-----\nQ0FOQVJZLWluLXRoZS1jYQ==\n-----END CERTIFICATE-----\n";

#[test]
fn a_secret_that_is_missing_or_malformed_is_named_and_heals_without_a_restart() {
    let scene = Scene::new("heals");
    let _operator = scene.operator(&[]);
    scene.namespace.apply(&with_secrets("orders"));
    let says = |reason: &str, words: &[&str]| {
        let sink = scene.wait_for_ready("orders", "False", reason);
        let message = message(&sink, "CredentialsValid");
        words.iter().for_each(|word| assert!(message.contains(word), "not {word:?}: {message}"));
        assert_eq!((condition(&sink, "CredentialsValid"), condition(&sink, "Stalled")), ("False".into(), "True".into()));
    };
    says("SecretNotFound", &["spec.kafka.security.sasl.secretRef", "Secret login", "create it"]);
    scene.namespace.secret("login", &[("username", "ann")]);
    says("SecretKeyMissing", &["Secret login", "no key password"]);
    scene.namespace.secret("login", &[("username", "ann"), ("password", "")]);
    says("SecretKeyMalformed", &["key password of the Secret login", "is empty"]);
    scene.namespace.secret("login", &[("username", "ann"), ("password", "one\ntwo")]);
    says("SecretKeyMalformed", &["key password of the Secret login", "more than one line"]);
    scene.namespace.secret("login", &[("username", "ann"), ("password", "word\n")]);
    scene.namespace.secret("ca", &[("ca.crt", "-----BEGIN CERTIFICATE-----\nQ0E=\n")]);
    says("SecretKeyMalformed", &["spec.kafka.security.tls.caSecretRef", "key ca.crt of the Secret ca", "PEM"]);
    scene.namespace.secret("ca", &[("ca.crt", CA)]);
    says("SecretNotFound", &["spec.storage.s3.secretRef", "Secret keys"]);
    scene.namespace.secret("keys", &[("accessKeyId", "id"), ("secretAccessKey", "key")]);
    let sink = scene.wait_for_ready("orders", "False", "WorkersNotReady");
    assert_eq!(condition(&sink, "CredentialsValid"), "True");
    scene.wait_for_replicas("orders", 1);

    // What runs goes on as it is while somebody mends the Secret.
    let before = scene.namespace.get("secret", "orders-credentials").expect("the sink's own")["data"].clone();
    scene.namespace.delete("secret", "keys");
    says("SecretNotFound", &["Secret keys"]);
    assert_eq!(scene.namespace.get("secret", "orders-credentials").expect("it stays")["data"], before);
    let events = scene.namespace.list("events.events.k8s.io", "");
    let warns = events.iter().filter(|event| event["type"] == "Warning" && event["reason"] == "SecretNotFound");
    assert!(warns.clone().count() > 0, "people are told by Events: {events:#?}");
    assert!(warns.clone().count() <= 3, "repeats become a series: {:#?}", warns.collect::<Vec<_>>());
}

#[test]
fn another_content_of_a_secret_makes_another_pod_and_the_same_content_does_not() {
    let scene = Scene::new("rolls");
    let _operator = scene.operator(&[]);
    let login = |password: &str| scene.namespace.secret("login", &[("username", "ann"), ("password", password)]);
    login("first");
    scene.namespace.secret("ca", &[("ca.crt", CA)]);
    scene.namespace.secret("keys", &[("accessKeyId", "id"), ("secretAccessKey", "key")]);
    scene.namespace.apply(&with_secrets("orders"));
    let hash = |deployment: &Value| {
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        annotations["eventsink.dev/credentials-hash"].as_str().unwrap_or_default().to_owned()
    };
    let first = hash(&scene.wait_for_replicas("orders", 1));
    assert_eq!(first.len(), 32);
    login("second");
    let changed = scene.namespace.wait_for("deployment", "orders-worker", SOON, |object| {
        if hash(object) == first { Err("the same pods".to_owned()) } else { Ok(()) }
    });
    assert_ne!(hash(&changed), first);
    // A label is no content.
    scene.namespace.kubectl(&["label", "secret", "login", "team=lake"]);
    login("first");
    scene.namespace.wait_for("deployment", "orders-worker", SOON, |object| {
        if hash(object) == first { Ok(()) } else { Err(hash(object)) }
    });
}

#[test]
fn nothing_of_a_secret_is_told_anywhere() {
    let scene = Scene::new("canary");
    let mut operator = scene.operator(&["--log=debug"]);
    let canaries = ["CANARY-user", "CANARY-password", "CANARY-access-key", "CANARY-secret-key", "Q0FOQVJZLWluLXRoZS1jYQ"];
    scene.namespace.secret("login", &[("username", canaries[0]), ("password", canaries[1])]);
    scene.namespace.secret("ca", &[("ca.crt", CA)]);
    scene.namespace.secret("keys", &[("accessKeyId", canaries[2]), ("secretAccessKey", canaries[3])]);
    scene.namespace.apply(&with_secrets("orders"));
    // Kafka is asked with them, and refuses.
    let change = json!({"spec": {"scaling": {"mode": "Partitions"}}});
    scene.namespace.apply(&with(&with_secrets("counted"), &change));
    scene.wait_for_replicas("orders", 1);
    // Errors are where secrets slip out.
    scene.namespace.secret("login", &[("username", canaries[0]), ("password", &format!("{}\n\n{0}", canaries[1]))]);
    scene.wait_for_ready("orders", "False", "SecretKeyMalformed");
    scene.namespace.secret("ca", &[("ca.crt", &CA.replace("-----END", "-----KEIN"))]);
    scene.namespace.secret("login", &[("username", canaries[0]), ("password", canaries[1])]);
    patiently(SOON, "the certificate is named", || {
        let sink = scene.namespace.get("eventsink", "orders").expect("it was applied");
        let words = message(&sink, "Ready");
        if words.contains("ca.crt") { Ok(()) } else { Err(words) }
    });
    let metrics = operator.get("/metrics").map(|(_, text)| text).unwrap_or_default();
    operator.kill9();
    let mut told = vec![("the log".to_owned(), operator.log()), ("the metrics".to_owned(), metrics)];
    for kind in ["eventsinks", "configmaps", "deployments", "replicasets", "pods", "events", "serviceaccounts"] {
        // Managed fields hold names of fields alone, but who knows.
        told.push((kind.to_owned(), scene.namespace.kubectl(&["get", kind, "-o", "yaml", "--show-managed-fields"])));
    }
    let own = scene.namespace.kubectl(&["get", "secret", "orders-credentials", "-o", "jsonpath={.metadata}"]);
    told.push(("the own Secret's metadata".to_owned(), own));
    for (place, text) in told {
        assert!(!text.is_empty(), "nothing in {place}");
        for canary in canaries {
            let encoded = encode(canary);
            for secret in [canary, encoded.as_str()] {
                assert!(!text.contains(secret), "{secret} is in {place}");
            }
        }
    }
}

/// Base64 without the last group, whose form depends on what follows.
fn encode(text: &str) -> String {
    use base64::Engine as _;
    let whole = text.len() / 3 * 3;
    base64::engine::general_purpose::STANDARD.encode(&text[..whole])
}
