//! What a sink becomes.

use crate::{sink, whole};
use eventsink_operator::build::{self, Children, Optional};
use eventsink_operator::reconcile::validate::validate;
use serde_json::{Value, json};

fn children(change: &Value, replicas: i32) -> Children {
    let valid = validate(&sink(change), &whole(), "image").expect("it fits");
    build::children(&valid, replicas, Optional::default())
}

fn pod(children: &Children) -> Value {
    serde_json::to_value(&children.deployment).expect("a tree")["spec"]["template"].clone()
}

#[test]
fn a_pod_keeps_to_the_restricted_profile() {
    let template = pod(&children(&json!({}), 2));
    let (pod, container) = (&template["spec"], &template["spec"]["containers"][0]);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"}));
    assert_eq!(
        container["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        })
    );
    for volume in pod["volumes"].as_array().expect("volumes") {
        let kinds: Vec<_> = volume.as_object().expect("a volume").keys().filter(|key| *key != "name").collect();
        assert!(["configMap", "secret", "persistentVolumeClaim"].contains(&kinds[0].as_str()), "{volume}");
    }
}

#[test]
fn a_token_is_mounted_only_for_a_service_account_that_the_sink_names() {
    let own = children(&json!({}), 1);
    assert_eq!(pod(&own)["spec"]["automountServiceAccountToken"], false);
    assert!(own.service_account.is_some_and(|account| account.automount_service_account_token == Some(false)));
    let named = children(&json!({"worker": {"serviceAccountName": "lake-writer"}}), 1);
    assert_eq!(pod(&named)["spec"]["serviceAccountName"], "lake-writer");
    assert_eq!(pod(&named)["spec"]["automountServiceAccountToken"], true);
    assert_eq!(named.service_account, None, "nobody makes what somebody else gave rights to");
}

#[test]
fn a_pod_has_longer_to_end_than_a_worker_needs_to_finish() {
    let valid = validate(&sink(&json!({})), &whole(), "image").expect("it fits");
    let deadline = i64::try_from(valid.settings.shutdown.deadline.as_duration().as_secs()).expect("seconds");
    let grace = pod(&children(&json!({}), 1))["spec"]["terminationGracePeriodSeconds"].as_i64();
    assert!(grace.is_some_and(|grace| grace > deadline), "{grace:?} s for {deadline} s");
}

#[test]
fn a_rollout_replaces_one_worker_at_a_time_and_never_adds_one() {
    let deployment = serde_json::to_value(&children(&json!({}), 3).deployment).expect("a tree");
    assert_eq!(
        deployment["spec"]["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    );
}

#[test]
fn a_budget_for_drains_comes_with_the_second_worker() {
    for (replicas, expected) in [(0, false), (1, false), (2, true)] {
        assert_eq!(children(&json!({}), replicas).disruption_budget.is_some(), expected, "{replicas} workers");
    }
}

#[test]
fn labels_of_the_operator_cannot_be_overwritten() {
    let labels = json!({"worker": {"podLabels": {"app.kubernetes.io/name": "mine", "team": "lake"}}});
    let found = pod(&children(&labels, 1))["metadata"]["labels"].clone();
    assert_eq!((&found["app.kubernetes.io/name"], &found["team"]), (&json!("eventsink-worker"), &json!("lake")));
}

#[test]
fn secrets_are_in_the_secret_alone() {
    let children = children(&json!({}), 1);
    let data = children.secret.data.clone().expect("data");
    assert_eq!(data["kafka-password"].0, b"word");
    let told = serde_json::to_string(&(&children.config_map, &children.deployment)).expect("a tree");
    assert!(!told.contains("word\"") && !told.contains("MIIB"), "{told}");
    assert!(told.contains("/etc/eventsink/credentials/kafka-password"), "the settings name the file");
}

#[test]
fn every_child_belongs_to_the_sink_and_optional_ones_are_wanted_or_not() {
    let valid = validate(&sink(&json!({})), &whole(), "image").expect("it fits");
    let none = build::children(&valid, 2, Optional::default());
    assert!(none.network_policy.is_none() && none.pod_monitor.is_none());
    let all = build::children(&valid, 2, Optional { network_policy: true, pod_monitor: true });
    let of = |object: Value| object["metadata"]["ownerReferences"][0]["uid"].clone();
    for object in [
        json!(all.service_account),
        json!(all.config_map),
        json!(all.secret),
        json!(all.disruption_budget),
        json!(all.network_policy),
        json!(all.pod_monitor),
        json!(all.deployment),
    ] {
        assert_eq!(of(object.clone()), "uid", "{object}");
    }
}
