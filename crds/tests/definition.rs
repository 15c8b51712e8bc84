//! The definition that is committed is the one that the types give, with every rule in it.
#![cfg(feature = "crdgen")]

use eventsink_crds::sink::EventSink;
use kube::CustomResourceExt as _;
use serde_json::Value;

const SOURCES: [&str; 7] = [
    include_str!("../src/sink/mod.rs"),
    include_str!("../src/sink/kafka.rs"),
    include_str!("../src/sink/storage.rs"),
    include_str!("../src/sink/file.rs"),
    include_str!("../src/sink/scaling.rs"),
    include_str!("../src/sink/secrets.rs"),
    include_str!("../src/sink/worker.rs"),
];

fn walk(value: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    see(path, value);
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| walk(value, &format!("{path}.{name}"), see)),
        Value::Array(all) => all.iter().for_each(|value| walk(value, path, see)),
        _ => {}
    }
}

fn schema() -> Value {
    let crd = serde_json::to_value(EventSink::crd()).expect("a tree");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn the_committed_definition_is_the_newest() {
    let committed = include_str!("../yaml/eventsinks.yaml");
    let committed: Value = serde_saphyr::from_str(committed).expect("it is YAML");
    assert_eq!(committed, serde_json::to_value(EventSink::crd()).expect("a tree"), "run `make generate`");
}

#[test]
fn every_rule_is_in_the_definition_and_says_what_to_do() {
    let mut messages = Vec::new();
    walk(&schema(), "", &mut |path, value| {
        if path.ends_with(".x-kubernetes-validations") && value.is_object() {
            messages.push(value["message"].as_str().expect("each rule has a message").to_owned());
        }
    });
    let written: usize = SOURCES.iter().map(|source| source.matches("Rule::new(").count()).sum();
    assert!(written > 20);
    assert_eq!(messages.len(), written, "a rule that is written in the wrong place vanishes without a word");
}

#[test]
fn every_field_is_described() {
    let mut bare = Vec::new();
    walk(&schema()["properties"]["spec"], "spec", &mut |path, value| {
        let is_field = path.rsplit('.').nth(1) == Some("properties") && value.get("type").is_some();
        if is_field && value.get("description").is_none() {
            bare.push(path.replace(".properties", ""));
        }
    });
    assert_eq!(bare, [""; 0]);
}
