//! The operator in a namespace of a test, which it watches alone.

use std::time::Duration;

use eventsink_e2e::{Cluster, Namespace, Program};
use serde_json::{Value, json};

/// Labels of the operator's pods.
pub const OPERATOR: &str = "app.kubernetes.io/name=eventsink-operator";

/// Installs the operator and waits until it is ready.
pub fn install(cluster: &Cluster, namespace: &Namespace<'_>) {
    cluster.install_definition();
    let (operator, worker) = (cluster.image(Program::Operator), cluster.image(Program::Worker));
    for object in objects(&namespace.name, &operator, &worker) {
        namespace.apply(&object);
    }
    namespace.kubectl(&["rollout", "status", "deployment/eventsink-operator", "--timeout=120s"]);
}

/// Waits until the sink says that it is ready, for the newest spec, with so many workers.
pub fn wait_until_ready(namespace: &Namespace<'_>, sink: &str, workers: i64) -> Value {
    namespace.wait_for("eventsink", sink, Duration::from_secs(180), |object| {
        let (status, generation) = (&object["status"], &object["metadata"]["generation"]);
        let ready = eventsink_e2e::cluster::condition(object, "Ready") == "True";
        let settled = ready && &status["observedGeneration"] == generation && status["readyReplicas"] == workers;
        if settled { Ok(()) } else { Err(format!("{status:#}")) }
    })
}

fn objects(namespace: &str, operator: &str, worker: &str) -> Vec<Value> {
    let labels = json!({"app.kubernetes.io/name": "eventsink-operator"});
    let metadata = json!({"name": "eventsink-operator", "labels": labels});
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| {
        json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
    };
    let children = ["get", "list", "watch", "create", "patch", "delete"];
    let rules = json!([
        rule("eventsink.dev", &["eventsinks"], &["get", "list", "watch"]),
        rule("eventsink.dev", &["eventsinks/status"], &["patch"]),
        rule("apps", &["deployments"], &children),
        rule("", &["configmaps", "secrets", "serviceaccounts"], &children),
        rule("policy", &["poddisruptionbudgets"], &children),
        rule("", &["pods"], &["list"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
        rule("coordination.k8s.io", &["leases"], &["get", "list", "watch", "create", "update", "patch"]),
    ]);
    let container = json!({
        "name": "operator",
        "image": operator,
        "args": ["run"],
        "env": [
            {"name": "WORKER_IMAGE", "value": worker},
            {"name": "WATCH_NAMESPACES", "value": namespace},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    });
    let pod = json!({
        "serviceAccountName": "eventsink-operator",
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    });
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "eventsink-operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "eventsink-operator", "namespace": namespace}],
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }),
    ]
}
