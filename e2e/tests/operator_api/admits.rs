//! What the API server lets through, by the rules of the definition alone: for each of them one object that it takes and
//! one that it refuses, with words that say what to do.

use std::collections::BTreeSet;

use eventsink_e2e::{Cluster, Namespace};
use serde_json::{Value, json};

use crate::scene::{defined, sink, with};

/// One rule: a change that is taken, and one that is refused with these words.
struct Rule {
    words: &'static str,
    taken: Value,
    refused: Value,
}

fn rule(words: &'static str, taken: Value, refused: Value) -> Rule {
    Rule { words, taken, refused }
}

/// Rules about one object; the changes are to a sink on S3.
fn of_objects() -> Vec<Rule> {
    let security = |security: Value| json!({"kafka": {"security": security}});
    let scram = json!({"secretRef": {"name": "login"}});
    let azure = |fields: Value| {
        let azure = with(&json!({"account": "lake", "container": "events"}), &fields);
        json!({"storage": {"s3": null, "azure": azure}})
    };
    let gcs = |fields: Value| json!({"storage": {"s3": null, "gcs": with(&json!({"bucket": "lake"}), &fields)}});
    let key = json!({"name": "keys", "key": "key"});
    let folder = |path: &str| json!({"storage": {"s3": null, "filesystem": {"claimName": "files", "basePath": path}}});
    let s3 = |fields: Value| json!({"storage": {"s3": fields}});
    let plain = json!({"endpoint": "http://store:9000"});
    let allowed = with(&plain, &json!({"insecureHttp": true}));
    vec![
        rule(
            "deadLetter.topic must not be one of kafka.topics",
            json!({"deadLetter": {"topic": "orders-dead"}}),
            json!({"deadLetter": {"topic": "orders"}}),
        ),
        rule(
            "kafka.topics must not name a topic twice",
            json!({"kafka": {"topics": ["a", "b"]}}),
            json!({"kafka": {"topics": ["a", "b", "a"]}}),
        ),
        rule(
            "add kafka.security.sasl with a mechanism and a secretRef",
            security(json!({"protocol": "SASL_SSL", "sasl": scram})),
            security(json!({"protocol": "SASL_SSL"})),
        ),
        rule(
            "kafka.security.sasl is only used with the protocols SASL_SSL and SASL_PLAINTEXT",
            security(json!({"protocol": "SASL_PLAINTEXT", "sasl": scram})),
            security(json!({"protocol": "SSL", "sasl": scram})),
        ),
        rule(
            "kafka.security.tls is only used with the protocols SSL and SASL_SSL",
            security(json!({"protocol": "SSL", "tls": {"caSecretRef": {"name": "ca"}}})),
            security(json!({"protocol": "PLAINTEXT", "tls": {"caSecretRef": {"name": "ca"}}})),
        ),
        rule(
            "kafka.security.sasl.oauth belongs to the mechanism OAUTHBEARER",
            security(json!({"protocol": "SASL_SSL", "sasl": {
                "mechanism": "OAUTHBEARER", "secretRef": {"name": "login"}, "oauth": {"tokenUrl": "https://login/token"},
            }})),
            security(json!({"protocol": "SASL_SSL", "sasl": {"mechanism": "OAUTHBEARER", "secretRef": {"name": "login"}}})),
        ),
        rule(
            "storage needs exactly one of s3, azure, gcs and filesystem",
            gcs(json!({})),
            json!({"storage": {"gcs": {"bucket": "lake"}}}),
        ),
        rule("storage.s3.endpoint begins with http://", s3(allowed.clone()), s3(plain.clone())),
        rule("storage.azure.endpoint begins with http://", azure(allowed.clone()), azure(plain.clone())),
        rule("storage.gcs.endpoint begins with http://", gcs(allowed), gcs(plain)),
        rule(
            "storage.s3.sse.customerKeySecretRef belongs to the type Customer",
            s3(json!({"sse": {"type": "Customer", "customerKeySecretRef": key}})),
            s3(json!({"sse": {"type": "Kms", "customerKeySecretRef": key}})),
        ),
        rule(
            "storage.s3.sse.kmsKeyId belongs to the types Kms and KmsDsse",
            s3(json!({"sse": {"type": "KmsDsse", "kmsKeyId": "one"}})),
            s3(json!({"sse": {"type": "S3", "kmsKeyId": "one"}})),
        ),
        rule(
            "storage.s3.sse.bucketKey belongs to the type Kms",
            s3(json!({"sse": {"type": "Kms", "bucketKey": true}})),
            s3(json!({"sse": {"type": "KmsDsse", "bucketKey": true}})),
        ),
        rule(
            "takes at most one of accessKeySecretRef, sasTokenSecretRef and clientSecretRef",
            azure(json!({"accessKeySecretRef": key})),
            azure(json!({"accessKeySecretRef": key, "sasTokenSecretRef": key})),
        ),
        rule(
            "storage.azure.clientSecretRef needs clientId and tenantId",
            azure(json!({"clientSecretRef": key, "clientId": "one", "tenantId": "two"})),
            azure(json!({"clientSecretRef": key, "clientId": "one"})),
        ),
        rule("must stay inside of the volume: leave out '..'", folder("a/b..c"), folder("a/../../b")),
        rule(
            "file.rotation.maxBytes must be from 1KiB to 256MiB",
            json!({"file": {"rotation": {"maxBytes": "256MiB"}}}),
            json!({"file": {"rotation": {"maxBytes": "1Gi"}}}),
        ),
        rule(
            "file.rotation.maxAge and maxIdle must be at least 100ms",
            json!({"file": {"rotation": {"maxAge": "1h30m", "maxIdle": "100ms"}}}),
            json!({"file": {"rotation": {"maxIdle": "99ms"}}}),
        ),
        rule(
            "worker.memoryBudget must be at least 8Mi",
            json!({"worker": {"memoryBudget": "8MiB"}}),
            json!({"worker": {"memoryBudget": "512Ki"}}),
        ),
        rule(
            "scaling.minReplicas must not be above scaling.maxReplicas",
            json!({"scaling": {"minReplicas": 4, "maxReplicas": 4}}),
            json!({"scaling": {"minReplicas": 4, "maxReplicas": 3}}),
        ),
    ]
}

/// Rules about changes: what was there, a change that is taken and one that is refused.
fn of_changes() -> Vec<(Value, Rule)> {
    let s3 = json!({"storage": {"s3": {"bucket": "lake", "basePath": "a"}}});
    let azure = json!({"storage": {"s3": null, "azure": {"account": "lake", "container": "events", "basePath": "a"}}});
    let gcs = json!({"storage": {"s3": null, "gcs": {"bucket": "lake", "basePath": "a"}}});
    let files = json!({"storage": {"s3": null, "filesystem": {"claimName": "files", "basePath": "a"}}});
    let group = json!({"kafka": {"groupId": "mine", "topics": ["a", "b"], "startFrom": "earliest"}});
    let same = json!({"file": {"format": "Avro", "compression": "Gzip"}, "kafka": {"topics": ["orders", "more"]}});
    let storage = |store: &str, field: &str| json!({"storage": {store: {field: "elsewhere"}}});
    let change = |old: &Value, words, refused| (old.clone(), rule(words, same.clone(), refused));
    let more = json!({"kafka": {"topics": ["b", "c", "a"]}});
    vec![
        (group.clone(), rule("kafka.groupId cannot be changed", more.clone(), json!({"kafka": {"groupId": null}}))),
        (group.clone(), rule("may grow but not shrink", more.clone(), json!({"kafka": {"topics": ["b", "c"]}}))),
        (group, rule("kafka.startFrom cannot be changed", more, json!({"kafka": {"startFrom": "latest"}}))),
        change(&s3, "the kind of storage cannot be changed", gcs.clone()),
        change(&s3, "storage.s3.bucket cannot be changed", storage("s3", "bucket")),
        change(&s3, "storage.s3.basePath cannot be changed", storage("s3", "basePath")),
        change(&azure, "storage.azure.account cannot be changed", storage("azure", "account")),
        change(&azure, "storage.azure.container cannot be changed", storage("azure", "container")),
        change(&azure, "storage.azure.basePath cannot be changed", storage("azure", "basePath")),
        change(&gcs, "storage.gcs.bucket cannot be changed", storage("gcs", "bucket")),
        change(&gcs, "storage.gcs.basePath cannot be changed", storage("gcs", "basePath")),
        change(&files, "storage.filesystem.claimName cannot be changed", storage("filesystem", "claimName")),
        change(&files, "storage.filesystem.basePath cannot be changed", storage("filesystem", "basePath")),
    ]
}

/// Bounds and patterns that need no rule: refused changes.
fn beyond_the_schema() -> Vec<(&'static str, Value)> {
    vec![
        ("spec.kafka.topics", json!({"kafka": {"topics": []}})),
        ("spec.kafka.topics[0]", json!({"kafka": {"topics": ["no spaces"]}})),
        ("spec.kafka.bootstrapServers", json!({"kafka": {"bootstrapServers": []}})),
        ("spec.kafka.startFrom", json!({"kafka": {"startFrom": "yesterday"}})),
        ("spec.kafka.security.protocol", json!({"kafka": {"security": {"protocol": "TLS"}}})),
        ("spec.replicas", json!({"replicas": -1})),
        ("spec.scaling.minReplicas", json!({"scaling": {"minReplicas": 0}})),
        ("spec.scaling.mode", json!({"scaling": {"mode": "Magic"}})),
        ("spec.file.compression", json!({"file": {"compression": "Brotli"}})),
        ("spec.deadLetter.floodThreshold", json!({"deadLetter": {"floodThreshold": "101%"}})),
        ("spec.storage.s3.secretRef.name", json!({"storage": {"s3": {"secretRef": {"name": "../../other/secrets/x"}}}})),
        ("spec.storage.s3.secretRef.accessKeyIdKey", json!({"storage": {"s3": {"secretRef": {
            "name": "keys", "accessKeyIdKey": "a/b",
        }}}})),
        ("spec.worker.serviceAccountName", json!({"worker": {"serviceAccountName": "No Name"}})),
    ]
}

/// Sends all objects at once, as a dry run; returns what kubectl said of each refused one, by the number in its name.
fn refusals(namespace: &Namespace<'_>, verb: &[&str], objects: &[Value]) -> Vec<Option<String>> {
    let mut objects = objects.to_vec();
    objects.iter_mut().for_each(|object| object["metadata"]["namespace"] = namespace.name.as_str().into());
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let mut arguments = verb.to_vec();
    arguments.extend(["--dry-run=server", "-f", "-"]);
    let said = Cluster::shared().kubectl_with(&arguments, &list.to_string()).err().unwrap_or_default();
    let refused: Vec<&str> = said.split("Error from server").filter(|part| !part.trim().is_empty()).collect();
    assert!(refused.iter().all(|part| part.starts_with(" (Invalid)")), "{said}");
    let of = |object: &Value| {
        let name = format!("{} is invalid", object["metadata"]["name"]);
        refused.iter().find(|part| part.contains(&name)).map(|part| (*part).to_owned())
    };
    objects.iter().map(of).collect()
}

fn numbered(spec: &Value, number: usize) -> Value {
    with(&sink(&format!("sink-{number:03}"), 1), &json!({ "spec": spec }))
}

#[test]
fn each_rule_about_an_object_takes_what_is_right_and_says_what_to_do_else() {
    let (cluster, _defined) = defined();
    let namespace = cluster.namespace("rules");
    let rules = of_objects();
    let objects = |of: fn(&Rule) -> &Value| -> Vec<Value> {
        rules.iter().enumerate().map(|(number, rule)| numbered(of(rule), number)).collect()
    };
    for (rule, said) in rules.iter().zip(refusals(&namespace, &["create"], &objects(|rule| &rule.taken))) {
        assert_eq!(said, None, "refused, but right by {:?}", rule.words);
    }
    for (rule, said) in rules.iter().zip(refusals(&namespace, &["create"], &objects(|rule| &rule.refused))) {
        let said = said.unwrap_or_else(|| panic!("taken, against {:?}", rule.words));
        assert!(said.contains(rule.words), "not {:?}: {said}", rule.words);
    }
}

#[test]
fn each_rule_about_a_change_lets_other_changes_through() {
    let (cluster, _defined) = defined();
    let namespace = cluster.namespace("changes");
    let rules = of_changes();
    let old: Vec<Value> = rules.iter().enumerate().map(|(number, (old, _))| numbered(old, number)).collect();
    namespace.kubectl(&["get", "eventsinks"]);
    old.iter().for_each(|object| namespace.apply(object));
    let objects = |of: fn(&Rule) -> &Value| -> Vec<Value> {
        rules.iter().zip(&old).map(|((_, rule), old)| with(old, &json!({"spec": of(rule)}))).collect()
    };
    for ((_, rule), said) in rules.iter().zip(refusals(&namespace, &["replace"], &objects(|rule| &rule.taken))) {
        assert_eq!(said, None, "refused, but right by {:?}", rule.words);
    }
    for ((_, rule), said) in rules.iter().zip(refusals(&namespace, &["replace"], &objects(|rule| &rule.refused))) {
        let said = said.unwrap_or_else(|| panic!("taken, against {:?}", rule.words));
        assert!(said.contains(rule.words), "not {:?}: {said}", rule.words);
    }
}

#[test]
fn bounds_and_names_are_kept_with_the_path_of_the_field() {
    let (cluster, _defined) = defined();
    let namespace = cluster.namespace("bounds");
    let cases = beyond_the_schema();
    let objects: Vec<Value> = cases.iter().enumerate().map(|(number, (_, spec))| numbered(spec, number)).collect();
    for ((path, _), said) in cases.iter().zip(refusals(&namespace, &["create"], &objects)) {
        let said = said.unwrap_or_else(|| panic!("taken, against the bounds of {path}"));
        assert!(said.contains(path), "not {path}: {said}");
    }
    let long = with(&sink("x", 1), &json!({"metadata": {"name": "n".repeat(53)}}));
    let said = refusals(&namespace, &["create"], &[long])[0].clone().unwrap_or_default();
    assert!(said.contains("metadata.name must be at most 52 characters"), "{said}");
    let long = with(&sink("x", 1), &json!({"metadata": {"name": "n".repeat(52)}}));
    assert_eq!(refusals(&namespace, &["create"], &[long]), [None]);
}

#[test]
fn every_rule_of_the_definition_is_tried() {
    let (cluster, _defined) = defined();
    let text = cluster.kubectl(&["get", "crd", "eventsinks.eventsink.dev", "-o", "json"]);
    let definition: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
    let mut found = BTreeSet::new();
    messages(&definition["spec"], &mut found);
    assert!(found.len() > 30, "{found:?}");
    let mut tried: Vec<&str> = of_objects().iter().map(|rule| rule.words).collect();
    tried.extend(of_changes().iter().map(|(_, rule)| rule.words));
    tried.push("metadata.name must be at most 52 characters");
    let untried: Vec<_> =
        found.iter().filter(|message| !tried.iter().any(|words| message.contains(words))).collect();
    assert!(untried.is_empty(), "{untried:#?}");
}

fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                found.insert(rule["message"].as_str().expect("each rule has a message").to_owned());
            }
            fields.values().for_each(|value| messages(value, found));
        }
        Value::Array(all) => all.iter().for_each(|value| messages(value, found)),
        _ => {}
    }
}
