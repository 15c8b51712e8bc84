//! One operator works at a time, and none before it knows the resource.

use eventsink_e2e::operator;
use serde_json::Value;

use crate::scene::{Scene, alone, sink};

/// Who holds the Lease.
fn holder(scene: &Scene) -> String {
    let lease = scene.namespace.get("lease", "eventsink-operator").unwrap_or(Value::Null);
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_second_operator_waits_and_takes_over_when_the_first_ends_dies_or_hangs() {
    let scene = Scene::new("leads");
    let mut first = scene.operator(&[]);
    let mut second = scene.another("pod-b", &[]);
    second.wait_until_says(200, "another operator holds the Lease");
    assert_eq!(holder(&scene), "pod-a");
    scene.namespace.apply(&sink("one", 1));
    scene.wait_for_replicas("one", 1);

    // It gives the Lease back.
    first.signal("TERM");
    assert!(first.wait().success());
    second.wait_until_it_works();
    scene.namespace.apply(&sink("two", 1));
    scene.wait_for_replicas("two", 1);

    // It cannot: the Lease runs out.
    let mut third = scene.another("pod-c", &[]);
    third.wait_until_says(200, "another operator holds the Lease");
    second.kill9();
    third.wait_until_it_works();
    scene.namespace.apply(&sink("three", 1));
    scene.wait_for_replicas("three", 1);

    // It comes back after another has taken over: it writes nothing and ends.
    let mut fourth = scene.another("pod-d", &[]);
    fourth.wait_until_says(200, "another operator holds the Lease");
    third.signal("STOP");
    fourth.wait_until_it_works();
    assert_eq!(holder(&scene), "pod-d");
    scene.namespace.apply(&sink("four", 1));
    scene.wait_for_replicas("four", 1);
    third.signal("CONT");
    assert_eq!(third.wait().code(), Some(1), "{}", third.log());
    assert!(third.log().contains("one operator works at a time"), "{}", third.log());
    assert_eq!(holder(&scene), "pod-d");
}

#[test]
fn an_operator_that_comes_before_the_definition_or_its_rights_waits_and_says_for_what() {
    let (cluster, _alone) = alone();
    if cluster.audit_log().is_none() {
        // Somebody's own cluster: its sinks would go with the definition.
        return;
    }
    let scene = Scene::on(cluster, "early", &[]);
    cluster.kubectl(&["delete", "crd", "eventsinks.eventsink.dev", "--ignore-not-found", "--timeout=60s"]);
    scene.namespace.kubectl(&["delete", "rolebinding", operator::ACCOUNT]);
    let mut operator = scene.another("pod-a", &[]);
    operator.wait_until_says(503, "cannot list EventSinks");
    let _ = operator::granted(cluster, &scene.namespace, &[], &scene.space.join(""));
    operator.wait_until_says(503, "waiting for the CustomResourceDefinition eventsinks.eventsink.dev: install it");
    assert_eq!(operator.get("/health").map(|(code, _)| code), Some(200));
    let metrics = operator.get("/metrics").map(|(_, text)| text).unwrap_or_default();
    assert!(metrics.contains("eventsink_operator_crd_missing 1"), "{metrics}");
    cluster.install_definition();
    operator.wait_until_it_works();
    operator.wait_until_says(200, "ready");
    scene.namespace.apply(&sink("orders", 1));
    scene.wait_for_replicas("orders", 1);
}
