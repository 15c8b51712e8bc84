//! A namespace with an operator of its own, and sinks in it.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use eventsink_e2e::{Cluster, Namespace, Operator, Workspace, cluster::condition, operator};
use serde_json::{Value, json};

/// How long a change may take until it is seen.
pub const SOON: Duration = Duration::from_secs(30);

/// Whether the cluster's definition may be taken away.
static DEFINITION: RwLock<()> = RwLock::new(());

/// The cluster with the definition, as long as the guard lives.
pub fn defined() -> (&'static Cluster, RwLockReadGuard<'static, ()>) {
    let guard = DEFINITION.read().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::shared();
    cluster.install_definition();
    (cluster, guard)
}

/// The cluster for one test alone, which takes the definition away.
pub fn alone() -> (&'static Cluster, RwLockWriteGuard<'static, ()>) {
    let guard = DEFINITION.write().unwrap_or_else(PoisonError::into_inner);
    (Cluster::shared(), guard)
}

/// A namespace, and an operator that has the chart's rights in it.
pub struct Scene {
    pub cluster: &'static Cluster,
    pub namespace: Namespace<'static>,
    pub kubeconfig: PathBuf,
    pub space: Workspace,
    _defined: Option<RwLockReadGuard<'static, ()>>,
}

impl Scene {
    pub fn new(stem: &str) -> Self {
        Self::with(stem, &[])
    }

    /// As [`Self::new`], with values of the chart.
    pub fn with(stem: &str, values: &[&str]) -> Self {
        let (cluster, defined) = defined();
        Self { _defined: Some(defined), ..Self::on(cluster, stem, values) }
    }

    /// On a cluster whose definition is nobody's concern.
    pub fn on(cluster: &'static Cluster, stem: &str, values: &[&str]) -> Self {
        let (namespace, space) = (cluster.namespace(stem), Workspace::new());
        let kubeconfig = operator::granted(cluster, &namespace, values, &space.join(""));
        Self { cluster, namespace, kubeconfig, space, _defined: None }
    }

    /// Starts an operator and waits until it works.
    pub fn operator(&self, extra: &[&str]) -> Operator {
        let mut operator = self.another("pod-a", extra);
        operator.wait_until_it_works();
        operator
    }

    /// Starts an operator under the name of a pod.
    pub fn another(&self, pod: &str, extra: &[&str]) -> Operator {
        Operator::start(&self.kubeconfig, &self.namespace.name, pod, self.space.join(&format!("{pod}.log")), extra)
    }

    /// Waits until a sink's Ready has that status and reason, for its newest spec.
    pub fn wait_for_ready(&self, sink: &str, status: &str, reason: &str) -> Value {
        self.namespace.wait_for("eventsink", sink, SOON, |object| {
            let newest = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            let found = (condition(object, "Ready"), why(object, "Ready"));
            if newest && found == (status.to_owned(), reason.to_owned()) {
                Ok(())
            } else {
                Err(format!("{:#}", object["status"]))
            }
        })
    }

    /// Waits until the Deployment of a sink asks for so many workers.
    pub fn wait_for_replicas(&self, sink: &str, replicas: i64) -> Value {
        self.namespace.wait_for("deployment", &format!("{sink}-worker"), SOON, |object| {
            let found = &object["spec"]["replicas"];
            if *found == replicas { Ok(()) } else { Err(format!("{found} workers")) }
        })
    }
}

/// A field of a condition; empty when there is none.
fn field(object: &Value, name: &str, field: &str) -> String {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    let one = all.clone().find(|condition| condition["type"] == name);
    one.and_then(|condition| condition[field].as_str()).unwrap_or_default().to_owned()
}

/// Reason of a condition; empty when there is none.
pub fn why(object: &Value, name: &str) -> String {
    field(object, name, "reason")
}

/// Message of a condition; empty when there is none.
pub fn message(object: &Value, name: &str) -> String {
    field(object, name, "message")
}

/// A sink that needs no Secret, with so many workers that no node takes.
pub fn sink(name: &str, replicas: i64) -> Value {
    with(
        &json!({
            "apiVersion": "eventsink.dev/v1alpha1", "kind": "EventSink", "metadata": {"name": name},
            "spec": {
                "kafka": {"bootstrapServers": ["127.0.0.1:1"], "topics": ["orders"]},
                "storage": {"s3": {"bucket": "lake", "basePath": name}},
                "scaling": {"mode": "Fixed"},
                "worker": {"nodeSelector": {"eventsink.dev/no-node": "has-this"}},
            },
        }),
        &json!({"spec": {"replicas": replicas}}),
    )
}

/// A sink that logs in to Kafka with the Secrets `login` and `ca` and to S3 with `keys`.
pub fn with_secrets(name: &str) -> Value {
    with(
        &sink(name, 1),
        &json!({"spec": {
            "kafka": {"security": {
                "protocol": "SASL_SSL",
                "sasl": {"secretRef": {"name": "login"}},
                "tls": {"caSecretRef": {"name": "ca"}},
            }},
            "storage": {"s3": {"secretRef": {"name": "keys"}}},
        }}),
    )
}

/// The object with a merge patch (RFC 7386) applied.
pub fn with(object: &Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else { return patch.clone() };
    let mut all = object.as_object().cloned().unwrap_or_default();
    for (name, value) in fields {
        if value.is_null() {
            all.remove(name);
        } else {
            let merged = with(all.get(name).unwrap_or(&Value::Null), value);
            all.insert(name.clone(), merged);
        }
    }
    Value::Object(all)
}
