//! The rights that the chart grants are just those that the operator uses, by the API server's own log.

use std::collections::BTreeSet;

use eventsink_e2e::{cluster::condition, operator, patiently};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene, sink, with, with_secrets};

/// Group, resource and verb.
type Right = (String, String, String);

#[test]
fn the_rights_used_are_the_rights_granted() {
    let values = ["worker.networkPolicy=true", "worker.podMonitor=true"];
    let scene = Scene::with("rights", &values);
    let Some(log) = scene.cluster.audit_log() else { return };
    install_pod_monitors(&scene);
    let mut operator = scene.operator(&["--worker-network-policy=true", "--worker-pod-monitor=true"]);
    // Events, and a series of them.
    scene.namespace.apply(&with_secrets("orders"));
    scene.wait_for_ready("orders", "False", "SecretNotFound");
    scene.namespace.secret("login", &[("username", "ann")]);
    scene.wait_for_ready("orders", "False", "SecretKeyMissing");
    scene.namespace.delete("secret", "login");
    scene.wait_for_ready("orders", "False", "SecretNotFound");
    // Children that come and go.
    scene.namespace.apply(&sink("plain", 2));
    scene.wait_for_replicas("plain", 2);
    let alone = json!({"spec": {"replicas": 1, "worker": {"serviceAccountName": "other"}}});
    scene.namespace.apply(&with(&sink("plain", 2), &alone));
    scene.wait_for_replicas("plain", 1);
    patiently(SOON, "what is not wanted is gone", || {
        let left: Vec<_> = ["poddisruptionbudget", "serviceaccount"]
            .iter()
            .filter(|kind| scene.namespace.get(kind, "plain-worker").is_some())
            .collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    let filesystem = json!({"spec": {"storage": {"s3": null, "filesystem": {"claimName": "none"}}}});
    scene.namespace.apply(&with(&sink("claim", 1), &filesystem));
    scene.wait_for_ready("claim", "False", "ClaimNotFound");
    let found = scene.namespace.wait_for("eventsink", "plain", SOON, |object| {
        if condition(object, "Ready") == "False" { Ok(()) } else { Err(format!("{object:#}")) }
    });
    assert_ne!(found["status"]["selector"], Value::Null);
    let monitor = scene.namespace.get("podmonitor", "plain-worker").expect("a PodMonitor");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!((&endpoint["port"], &endpoint["path"]), (&json!("http"), &json!("/metrics")));
    assert_eq!(endpoint["relabelings"][0], json!({"targetLabel": "job", "replacement": "eventsink"}));
    operator.signal("TERM");
    assert!(operator.wait().success());

    let granted = granted(&scene);
    // The API server writes its log a moment later.
    patiently(SOON, "used is granted", || {
        let text = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
        let used = used(&text, &scene);
        let (unused, refused) = (granted.difference(&used), used.difference(&granted));
        let (unused, refused): (Vec<_>, Vec<_>) = (unused.collect(), refused.collect());
        if unused.is_empty() && refused.is_empty() {
            Ok(())
        } else {
            Err(format!("granted and not used: {unused:?}; used and not granted: {refused:?}"))
        }
    });
}

/// As much of the Prometheus Operator's definition as the operator needs.
fn install_pod_monitors(scene: &Scene) {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    scene.cluster.apply(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "podmonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {"kind": "PodMonitor", "plural": "podmonitors", "singular": "podmonitor"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": open}}],
        },
    }));
    let name = "crd/podmonitors.monitoring.coreos.com";
    scene.cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", name]);
}

fn granted(scene: &Scene) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for role in scene.namespace.list("roles", "") {
        for rule in role["rules"].as_array().into_iter().flatten() {
            let texts = |name: &str| -> Vec<String> {
                rule[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
            };
            for group in texts("apiGroups") {
                for resource in texts("resources") {
                    all.extend(texts("verbs").into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
    }
    all
}

fn used(log: &str, scene: &Scene) -> BTreeSet<Right> {
    let account = format!("system:serviceaccount:{}:{}", scene.namespace.name, operator::ACCOUNT);
    let mut all = BTreeSet::new();
    for line in log.lines().filter(|line| line.contains(&account)) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let object = &event["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // Logs in as whom it is, and asks which API there is.
        if event["user"]["username"] != account.as_str() || object.is_null() {
            continue;
        }
        let mut resource = text(&object["resource"]);
        if let Some(part) = object["subresource"].as_str() {
            resource = format!("{resource}/{part}");
        }
        let group = text(&object["apiGroup"]);
        let right = |verb: &str| (group.clone(), resource.clone(), verb.to_owned());
        all.insert(right(&text(&event["verb"])));
        // An object that is applied and not there yet is created by the same request.
        if event["verb"] == "patch" && event["responseStatus"]["code"] == 201 {
            all.insert(right("create"));
        }
    }
    all
}
