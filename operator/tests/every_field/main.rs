//! What the resource can say and what a worker can do never drift apart: every field of the resource changes something
//! that a sink becomes, and every setting of a worker comes from the resource. The few exceptions are named here.

use eventsink_crds::settings::Settings;
use eventsink_crds::sink::{EventSink, EventSinkSpec};
use eventsink_operator::build::{self, Children, Optional};
use eventsink_operator::projection;
use eventsink_operator::reconcile::dereference::Dereferenced;
use eventsink_operator::reconcile::validate::validate;
use eventsink_operator::scale::{self, Memory, Observed, Plan, Policy};
use kube::CustomResourceExt as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Settings that the resource does not speak of, and why.
const ONLY_THE_WORKER: [(&str, &str); 28] = [
    ("storage.allow_at_least_once", "a sink has more than one worker"),
    ("storage.proxy_url", "given by HTTPS_PROXY in the environment of a platform that has one"),
    ("storage.proxy_url_file", "the same"),
    ("storage.timeouts", "the defaults are for everybody"),
    ("retry", "the defaults are for everybody"),
    ("breaker", "the defaults are for everybody"),
    ("shutdown", "the grace period of the pod follows it"),
    ("observability.listen", "fixed: the pod's probes go there"),
    ("observability.log.format", "JSON, for log collectors"),
    ("observability.metrics", "the defaults are for everybody"),
    ("observability.traces", "given by OTEL_ variables of the platform"),
    ("kafka.consumer.session_timeout", "the default is for everybody"),
    ("kafka.consumer.max_poll_interval", "the default is for everybody"),
    ("kafka.consumer.client_rack", "not known to a Deployment: its pods are in several zones"),
    ("kafka.sasl.username", "secrets come as files"),
    ("kafka.sasl.password", "secrets come as files"),
    ("kafka.sasl.oauth.client_id", "secrets come as files"),
    ("kafka.sasl.oauth.client_secret", "secrets come as files"),
    ("kafka.tls.key_password", "keys in Secrets have none"),
    ("kafka.tls.key_password_file", "keys in Secrets have none"),
    ("storage.s3.access_key_id", "secrets come as files; so do all others of the stores"),
    ("storage.s3.secret_access_key", "secrets come as files"),
    ("storage.s3.session_token", "secrets come as files"),
    ("storage.s3.sse.customer_key", "secrets come as files"),
    ("storage.azure.access_key", "secrets come as files"),
    ("storage.azure.client_secret", "secrets come as files"),
    ("storage.azure.sas_token", "secrets come as files"),
    ("storage.azure.federated_token_file", "given by the platform's webhook in a variable"),
];

fn spec(text: &str) -> Value {
    let spec: EventSinkSpec = serde_saphyr::from_str(text).expect("it is a spec");
    serde_json::to_value(spec).expect("it was YAML")
}

/// A spec that says everything which can stand beside this store.
fn with_store(spec: &Value, store: &str) -> Value {
    let mut spec = spec.clone();
    let one = spec["storage"][store].take();
    spec["storage"] = json!({ store: one });
    spec
}

fn secrets() -> Dereferenced {
    let data = |secret: &str| {
        let value = |key: &str| {
            let label = if key.ends_with("key") { "PRIVATE KEY" } else { "CERTIFICATE" };
            match key.rsplit_once('.').map(|(_, kind)| kind) {
                Some("json") => format!("{{\"of\": \"{secret} {key}\"}}"),
                Some("crt" | "key") => {
                    let body = format!("{secret}{key}").replace('.', "/");
                    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
                }
                _ => format!("{secret} {key}"),
            }
        };
        let keys = [
            "id",
            "user",
            "secret",
            "word",
            "oauth.crt",
            "other.crt",
            "kafka.crt",
            "tls.crt",
            "user.crt",
            "tls.key",
            "user.key",
            "other",
            "token",
            "ssec",
            "store.crt",
            "access",
            "sas",
            "client",
            "account.json",
            "other.json",
        ];
        keys.map(|key| (key.to_owned(), value(key).into_bytes())).into()
    };
    let names = ["login", "ca", "client", "s3", "azure", "gcs"];
    let secrets = names.iter().flat_map(|name| [(*name).to_owned(), format!("{name}2")]);
    Dereferenced {
        secrets: secrets.map(|name| (name.clone(), data(&name))).collect(),
        claim: Some(vec!["ReadWriteMany".to_owned()]),
        ..Dereferenced::default()
    }
}

fn becomes(spec: &Value) -> (Children, Vec<Plan>) {
    let mut sink = EventSink::new("sink", serde_json::from_value(spec.clone()).expect("it is a spec"));
    sink.metadata.namespace = Some("team".to_owned());
    sink.metadata.uid = Some("uid".to_owned());
    let valid = validate(&sink, &secrets(), "image").unwrap_or_else(|error| panic!("{error}"));
    let policy = Policy::of(&sink.spec, valid.alone);
    let seen = [None, Some(1), Some(40)].map(|partitions| Observed { partitions, ..Observed::default() });
    (
        build::children(&valid, 2, Optional { network_policy: true, pod_monitor: true }),
        seen.iter().map(|seen| scale::plan(&policy, seen, &mut Memory::default(), Duration::ZERO)).collect(),
    )
}

/// Paths of all leaves; lists and maps of the user's own keys are leaves.
fn leaves(value: &Value, path: &str, all: &mut BTreeMap<String, Value>) {
    let own_keys =
        ["options", "extensions", "requests", "limits", "nodeSelector", "podLabels", "podAnnotations", "affinity"];
    match value {
        Value::Object(fields) if !own_keys.iter().any(|name| path.ends_with(&format!(".{name}"))) => {
            for (name, value) in fields {
                leaves(value, &format!("{path}.{name}"), all);
            }
        }
        _ => drop(all.insert(path.to_owned(), value.clone())),
    }
}

fn at<'a>(value: &'a mut Value, path: &str) -> &'a mut Value {
    path.trim_start_matches('.').split('.').fold(value, |value, name| &mut value[name])
}

#[test]
fn every_field_of_the_resource_changes_what_a_sink_becomes() {
    let (one, other) = (spec(include_str!("one.yaml")), spec(include_str!("other.yaml")));
    let mut idle = BTreeSet::new();
    for store in ["s3", "azure", "gcs", "filesystem"] {
        let (one, other) = (with_store(&one, store), with_store(&other, store));
        let before = becomes(&one);
        let mut found = BTreeMap::new();
        leaves(&other, "", &mut found);
        for (path, value) in found {
            // External and Fixed read other fields than the modes that count.
            let mut changed = one.clone();
            let mut before = before.clone();
            if path == ".replicas" {
                changed["scaling"]["mode"] = json!("Fixed");
                before = becomes(&changed);
            }
            *at(&mut changed, &path) = value;
            if becomes(&changed) == before {
                idle.insert(path);
            }
        }
    }
    // Read by the mode Lag alone, which has tests of its own.
    let lag = [".scaling.scaleDownSeconds", ".scaling.targetDrainSeconds", ".scaling.unreadPerReplica"];
    assert_eq!(idle, lag.map(str::to_owned).into());
}

#[test]
fn the_specs_of_this_test_name_every_field_of_the_resource() {
    let mut given = BTreeMap::new();
    leaves(&spec(include_str!("one.yaml")), "", &mut given);
    let crd = serde_json::to_value(EventSink::crd()).expect("it is a tree");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut missing = Vec::new();
    properties(schema, "", &mut |path| {
        if !given.contains_key(path) {
            missing.push(path.to_owned());
        }
    });
    assert_eq!(missing, [""; 0]);
}

fn properties(schema: &Value, path: &str, leaf: &mut impl FnMut(&str)) {
    match schema["properties"].as_object() {
        Some(fields) => fields.iter().for_each(|(name, schema)| properties(schema, &format!("{path}.{name}"), leaf)),
        None => leaf(path),
    }
}

#[test]
fn every_setting_of_a_worker_comes_from_the_resource_or_is_named() {
    let one = spec(include_str!("one.yaml"));
    let other = spec(include_str!("other.yaml"));
    let mut said = BTreeSet::new();
    let mut all = BTreeSet::new();
    for store in ["s3", "azure", "gcs", "filesystem"] {
        let project = |spec: &Value| {
            let spec: EventSinkSpec = serde_json::from_value(spec.clone()).expect("it is a spec");
            let settings = projection::settings(&spec, "team", "sink").expect("it fits");
            let mut found = BTreeMap::new();
            leaves(&serde_json::to_value(settings).expect("it is a tree"), "", &mut found);
            found
        };
        let mut basic = one.clone();
        basic["kafka"]["security"]["sasl"]["mechanism"] = json!("PLAIN");
        basic["kafka"]["security"]["sasl"].as_object_mut().expect("an object").remove("oauth");
        let defaults = {
            let mut found = BTreeMap::new();
            leaves(&serde_json::to_value(Settings::default()).expect("it is a tree"), "", &mut found);
            found
        };
        for settings in [
            project(&with_store(&one, store)),
            project(&with_store(&other, store)),
            project(&with_store(&basic, store)),
        ] {
            for (path, value) in settings {
                if defaults.get(&path) != Some(&value) {
                    said.insert(path.clone());
                }
                all.insert(path);
            }
        }
    }
    let named = |path: &String| {
        ONLY_THE_WORKER.iter().any(|(name, _)| {
            let name = format!(".{name}");
            *path == name || path.starts_with(&format!("{name}."))
        })
    };
    let silent: Vec<_> = all.difference(&said).filter(|path| !named(path)).collect();
    assert!(silent.is_empty(), "neither projected nor named: {silent:#?}");
    let stale: Vec<_> = said.iter().filter(|path| named(path)).collect();
    assert!(stale.is_empty(), "named, yet projected: {stale:#?}");
}
