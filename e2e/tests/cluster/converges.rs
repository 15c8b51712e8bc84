//! An operator that is killed, and children that are taken away.

use std::thread;
use std::time::Duration;

use eventsink_e2e::{Cluster, Namespace, patiently};
use serde_json::{Value, json};

use crate::installed::{OPERATOR, install, wait_until_ready};
use crate::sink::{NAME, Sink};

const KINDS: [&str; 5] = ["serviceaccount", "configmap", "secret", "poddisruptionbudget", "deployment"];

#[test]
fn an_operator_that_is_killed_at_any_moment_makes_the_same_objects() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("killed");
    install(cluster, &namespace);
    let sink = Sink::new(cluster, &namespace, "killed", 2);
    let mut resource = sink.scaled(&json!({"mode": "Fixed"}));
    resource["spec"]["replicas"] = 2.into();
    namespace.apply(&resource);
    wait_until_ready(&namespace, NAME, 2);
    let undisturbed = children(&namespace);
    assert_eq!(undisturbed.len(), KINDS.len(), "{undisturbed:#?}");

    for pause in [0, 100, 200, 400, 800] {
        namespace.delete("eventsink", NAME);
        patiently(Duration::from_secs(60), "the children are gone", || {
            let left = children(&namespace);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        });
        let pods = namespace.names("pods", OPERATOR);
        namespace.apply(&resource);
        thread::sleep(Duration::from_millis(pause));
        pods.iter().for_each(|pod| cluster.kill9(&namespace, pod));
        // A fresh pod: the kubelet would make one that ends again and again wait ever longer.
        namespace.kubectl(&["delete", "pods", "--selector", OPERATOR]);
        wait_until_ready(&namespace, NAME, 2);
        assert_eq!(children(&namespace), undisturbed, "killed {pause} ms after apply");
    }
}

#[test]
fn a_child_that_is_deleted_or_changed_comes_back() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("drifts");
    install(cluster, &namespace);
    let sink = Sink::new(cluster, &namespace, "drifts", 2);
    namespace.apply(&sink.resource());
    wait_until_ready(&namespace, NAME, 2);
    let before = children(&namespace);

    for kind in KINDS {
        namespace.delete(kind, &own(&namespace, kind).expect("a child of each kind"));
        patiently(Duration::from_secs(60), &format!("the {kind} is back"), || {
            let now = children(&namespace);
            if now == before { Ok(()) } else { Err(format!("{now:#?}")) }
        });
    }
    let worker = format!("deployment/{NAME}-worker");
    namespace.kubectl(&["patch", &worker, "--patch", r#"{"spec":{"template":{"spec":{"enableServiceLinks":true}}}}"#]);
    patiently(Duration::from_secs(60), "the change is taken back", || {
        let now = children(&namespace);
        if now == before { Ok(()) } else { Err(format!("{now:#?}")) }
    });
}

/// Name of the sink's child of a kind.
fn own(namespace: &Namespace<'_>, kind: &str) -> Option<String> {
    let of_sink = "app.kubernetes.io/managed-by=eventsink-operator,app.kubernetes.io/instance=orders";
    namespace.names(kind, of_sink).into_iter().next()
}

/// What the operator has written, without what the API server, controllers and time add.
fn children(namespace: &Namespace<'_>) -> Vec<Value> {
    let child = |kind: &&str| namespace.get(kind, &own(namespace, kind)?);
    KINDS.iter().filter_map(child).map(without_what_others_write).collect()
}

fn without_what_others_write(mut object: Value) -> Value {
    if let Some(all) = object.as_object_mut() {
        all.remove("status");
    }
    let metadata = object["metadata"].as_object_mut().expect("an object has metadata");
    metadata.retain(|key, _| ["name", "labels"].contains(&key.as_str()));
    object
}
