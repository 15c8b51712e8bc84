//! The pure stages of a reconcile: what is checked, what is built and what is said, without any server.

mod builds;
mod says;
mod validates;

use eventsink_crds::sink::{EventSink, EventSinkSpec};
use eventsink_operator::reconcile::dereference::Dereferenced;
use serde_json::{Value, json};

/// A sink on S3 with a login and a certificate, with a merge of `change` into its spec.
fn sink(change: &Value) -> EventSink {
    let mut spec = json!({
        "kafka": {
            "bootstrapServers": ["kafka:9092"], "topics": ["orders"],
            "security": {
                "protocol": "SASL_SSL",
                "sasl": {"secretRef": {"name": "login"}},
                "tls": {"caSecretRef": {"name": "ca"}},
            },
        },
        "storage": {"s3": {"bucket": "lake"}},
    });
    merge(&mut spec, change);
    let spec: EventSinkSpec = serde_json::from_value(spec).expect("it is a spec");
    let mut sink = EventSink::new("orders", spec);
    sink.metadata.namespace = Some("team".to_owned());
    sink.metadata.uid = Some("uid".to_owned());
    sink.metadata.generation = Some(7);
    sink
}

fn merge(into: &mut Value, change: &Value) {
    match change {
        Value::Object(fields) => {
            for (name, value) in fields {
                merge(&mut into[name.as_str()], value);
            }
        }
        other => *into = other.clone(),
    }
    if let Value::Object(fields) = into {
        fields.retain(|_, value| !value.is_null());
    }
}

const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

/// Its Secrets.
fn found(secrets: &[(&str, &str, &str)]) -> Dereferenced {
    let mut found = Dereferenced::default();
    for (secret, key, value) in secrets {
        found.secrets.entry((*secret).to_owned()).or_default().insert((*key).to_owned(), value.as_bytes().to_vec());
    }
    found
}

/// All of them as they should be.
fn whole() -> Dereferenced {
    found(&[("login", "username", "ann"), ("login", "password", "word"), ("ca", "ca.crt", CA)])
}
