//! The same objects come of a sink whatever happens: drift, other managers, an operator that is killed.

use std::thread;
use std::time::Duration;

use eventsink_e2e::{Namespace, patiently};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene, message, sink, with};

const CHILDREN: [(&str, &str); 5] = [
    ("serviceaccount", "orders-worker"),
    ("configmap", "orders-settings"),
    ("secret", "orders-credentials"),
    ("poddisruptionbudget", "orders-worker"),
    ("deployment", "orders-worker"),
];

/// What the operator has written, without what the API server, controllers and time add.
fn children(namespace: &Namespace<'_>) -> Vec<Value> {
    let child = |(kind, name): &(&str, &str)| {
        let mut object = namespace.get(kind, name)?;
        object.as_object_mut()?.remove("status");
        object["metadata"].as_object_mut()?.retain(|key, _| ["name", "labels"].contains(&key.as_str()));
        Some(object)
    };
    CHILDREN.iter().filter_map(child).collect()
}

fn wait_for_the_same(namespace: &Namespace<'_>, expected: &[Value], what: &str) {
    patiently(SOON, what, || {
        let found = children(namespace);
        if found == expected { Ok(()) } else { Err(format!("{found:#?}")) }
    });
}

#[test]
fn a_child_that_is_deleted_or_changed_comes_back_and_fields_of_others_stay() {
    let scene = Scene::new("drifts");
    let _operator = scene.operator(&[]);
    scene.namespace.apply(&sink("orders", 2));
    scene.wait_for_ready("orders", "False", "WorkersNotReady");
    let before = children(&scene.namespace);
    assert_eq!(before.len(), CHILDREN.len());
    for (kind, name) in CHILDREN {
        scene.namespace.kubectl(&["delete", kind, name, "--wait=false"]);
        wait_for_the_same(&scene.namespace, &before, &format!("the {kind} is back"));
    }
    for (kind, patch) in [
        ("configmap/orders-settings", json!({"data": {"application.yaml": "sink: other"}})),
        ("secret/orders-credentials", json!({"data": {"kafka-password": "bWluZQ=="}, "metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}})),
        ("serviceaccount/orders-worker", json!({"automountServiceAccountToken": true})),
        ("deployment/orders-worker", json!({"spec": {"replicas": 9}})),
    ] {
        // By patch, as people do; what they add beside the operator's fields is theirs, and data of a Secret is a map of
        // many owners, so it is compared only in what the operator wrote.
        scene.namespace.kubectl(&["patch", kind, "--type=merge", "-p", &patch.to_string()]);
        patiently(SOON, &format!("{kind} is as before"), || {
            let found = children(&scene.namespace);
            let same = found.iter().zip(&before).all(|(found, before)| contains(found, before));
            if same && found.len() == before.len() { Ok(()) } else { Err(format!("{found:#?}")) }
        });
    }
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "orders-worker", "annotations": {"team.example/owner": "lake"}},
        "spec": {"revisionHistoryLimit": 2},
    });
    scene.namespace.apply(&theirs);
    scene.namespace.kubectl(&["scale", "eventsink/orders", "--replicas=3"]);
    let after = scene.wait_for_replicas("orders", 3);
    assert_eq!(after["metadata"]["annotations"]["team.example/owner"], "lake");
    assert_eq!(after["spec"]["revisionHistoryLimit"], 2);
}

/// Whether everything of `part` is in `whole`.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)))
        }
        _ => whole == part,
    }
}

#[test]
fn an_object_of_somebody_else_is_not_taken_over() {
    let scene = Scene::new("foreign");
    let _operator = scene.operator(&[]);
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "orders-settings"}, "data": {"theirs": "yes"},
    });
    scene.namespace.apply(&theirs);
    scene.namespace.apply(&sink("orders", 1));
    let told = scene.wait_for_ready("orders", "False", "NotOwned");
    let words = message(&told, "Ready");
    assert!(words.contains("ConfigMap orders-settings") && words.contains("rename"), "{words}");
    assert_eq!(scene.namespace.get("configmap", "orders-settings").expect("it stays")["data"], theirs["data"]);
    assert_eq!(scene.namespace.get("deployment", "orders-worker"), None);
}

#[test]
fn an_operator_that_is_killed_at_any_moment_makes_the_same_objects() {
    let scene = Scene::new("killed");
    let orders = with(&sink("orders", 2), &json!({"spec": {"file": {"format": "Avro"}}}));
    let mut operator = scene.operator(&[]);
    scene.namespace.apply(&orders);
    scene.wait_for_ready("orders", "False", "WorkersNotReady");
    let expected = children(&scene.namespace);
    assert_eq!(expected.len(), CHILDREN.len());
    for pause in [0, 150, 250, 300, 350, 400, 500, 700] {
        scene.namespace.delete("eventsink", "orders");
        patiently(SOON * 2, "the children are gone", || {
            let left = children(&scene.namespace);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        });
        scene.namespace.apply(&orders);
        thread::sleep(Duration::from_millis(pause));
        operator.kill9();
        // The same pod, started again by its kubelet: the Lease is still its own.
        operator = scene.operator(&[]);
        wait_for_the_same(&scene.namespace, &expected, &format!("killed {pause} ms after apply"));
        scene.wait_for_ready("orders", "False", "WorkersNotReady");
    }
}
