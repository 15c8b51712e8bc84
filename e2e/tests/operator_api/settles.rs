//! Sinks that come to rest: for kstatus and Argo CD nothing is under way, and nothing is written any more.

use std::thread;
use std::time::Duration;

use eventsink_e2e::{cluster::condition, patiently};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene, message, sink, with};

#[test]
fn a_suspended_sink_has_no_workers_and_settles() {
    let scene = Scene::new("suspends");
    let _operator = scene.operator(&[]);
    scene.namespace.apply(&sink("orders", 2));
    scene.wait_for_replicas("orders", 2);
    let works = scene.wait_for_ready("orders", "False", "WorkersNotReady");
    assert_eq!(condition(&works, "Reconciling"), "True");
    scene.namespace.apply(&with(&sink("orders", 2), &json!({"spec": {"suspend": true}})));
    scene.wait_for_replicas("orders", 0);
    let rests = scene.wait_for_ready("orders", "True", "Suspended");
    assert_eq!((condition(&rests, "Reconciling"), condition(&rests, "Stalled")), (String::new(), String::new()));
    assert_eq!(rests["status"]["replicas"], 0);
    assert_eq!(scene.namespace.get("poddisruptionbudget", "orders-worker"), None);
    // Nothing that the operator writes makes it write again.
    thread::sleep(Duration::from_secs(3));
    let later = scene.namespace.get("eventsink", "orders").expect("it was applied");
    assert_eq!(later["metadata"]["resourceVersion"], rests["metadata"]["resourceVersion"]);
    scene.namespace.apply(&sink("orders", 2));
    scene.wait_for_replicas("orders", 2);
}

#[test]
fn a_sink_that_lacks_its_secret_can_be_suspended_and_scaled_to_zero() {
    let scene = Scene::new("rests");
    let _operator = scene.operator(&[]);
    for (name, rest) in [("one", json!({"suspend": true})), ("other", json!({"replicas": 0}))] {
        scene.namespace.apply(&sink(name, 2));
        scene.wait_for_replicas(name, 2);
        let lacks = with(&sink(name, 2), &json!({"spec": {"storage": {"s3": {"secretRef": {"name": "gone"}}}}}));
        scene.namespace.apply(&lacks);
        scene.wait_for_ready(name, "False", "SecretNotFound");
        scene.wait_for_replicas(name, 2);
        scene.namespace.apply(&with(&lacks, &json!({"spec": rest})));
        scene.wait_for_replicas(name, 0);
        let told = scene.wait_for_ready(name, "False", "SecretNotFound");
        assert_eq!(condition(&told, "Stalled"), "True");
        // It comes back as it was when it fits again.
        scene.namespace.apply(&sink(name, 2));
        scene.wait_for_replicas(name, 2);
    }
}

#[test]
fn what_the_api_server_refuses_is_said_in_its_words_and_stalls() {
    let scene = Scene::new("refused");
    let _operator = scene.operator(&[]);
    let resources = json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
    scene.namespace.apply(&with(&sink("orders", 1), &json!({"spec": {"worker": {"resources": resources}}})));
    let told = scene.wait_for_ready("orders", "False", "ApplyFailed");
    assert_eq!(condition(&told, "Stalled"), "True");
    assert!(message(&told, "Ready").contains("must be less than or equal to memory limit"), "{:#}", told["status"]);
    scene.namespace.apply(&sink("orders", 1));
    scene.wait_for_replicas("orders", 1);
}

#[test]
fn a_platform_that_makes_no_pod_is_heard() {
    let scene = Scene::new("no-pods");
    let _operator = scene.operator(&[]);
    scene.namespace.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}},
    }));
    scene.namespace.apply(&sink("orders", 1));
    let told = scene.wait_for_ready("orders", "False", "WorkersNotReady");
    assert!(message(&told, "Ready").contains("exceeded quota"), "{:#}", told["status"]);
}

#[test]
fn a_deleted_sink_takes_its_children_and_leaves_what_is_not_its_own() {
    let scene = Scene::new("deletes");
    let _operator = scene.operator(&[]);
    scene.namespace.secret("login", &[("username", "ann")]);
    scene.namespace.apply(&sink("orders", 2));
    scene.wait_for_replicas("orders", 2);
    scene.namespace.delete("eventsink", "orders");
    patiently(SOON * 2, "the children are gone", || {
        let left: Vec<String> =
            ["deployments", "configmaps", "secrets", "serviceaccounts", "poddisruptionbudgets", "pods"]
                .iter()
                .flat_map(|kind| scene.namespace.names(kind, "app.kubernetes.io/name=eventsink-worker"))
                .collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert!(scene.namespace.get("secret", "login").is_some());
}

#[test]
fn an_object_that_does_not_fit_the_definition_is_told_and_blocks_nobody() {
    let scene = Scene::new("broken");
    // Its schema would not let this in; what lets it in is a place that the schema leaves open.
    let odd = json!({"spec": {"worker": {"affinity": {"podAffinity": "near"}}}});
    scene.namespace.apply(&with(&sink("broken", 1), &odd));
    scene.namespace.apply(&sink("whole", 1));
    let mut operator = scene.operator(&[]);
    scene.wait_for_replicas("whole", 1);
    let told = scene.wait_for_ready("broken", "False", "InvalidObject");
    assert_eq!(condition(&told, "Stalled"), "True");
    assert!(message(&told, "Ready").contains("edit it, or apply it anew"), "{:#}", told["status"]);
    patiently(SOON, "an Event tells it", || {
        let events = scene.namespace.list("events.events.k8s.io", "");
        let about = |event: &&Value| event["reason"] == "InvalidObject" && event["regarding"]["name"] == "broken";
        if events.iter().any(|event| about(&event)) { Ok(()) } else { Err(format!("{events:#?}")) }
    });
    scene.namespace.apply(&sink("later", 1));
    scene.wait_for_replicas("later", 1);
    operator.wait_until_says(200, "ready");
    scene.namespace.kubectl(&[
        "patch",
        "eventsink",
        "broken",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/spec/worker/affinity"}]"#,
    ]);
    scene.wait_for_replicas("broken", 1);
}
