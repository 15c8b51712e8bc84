//! The operator, installed from its chart in a namespace of a test, which it watches alone.

use std::time::Duration;

use eventsink_e2e::cluster::condition;
use eventsink_e2e::{Cluster, Namespace, Program};
use serde_json::Value;

/// Labels of the operator's pods.
pub const OPERATOR: &str = "app.kubernetes.io/name=eventsink-operator";
/// Name of the release.
pub const RELEASE: &str = "eventsink";

/// Installs the operator with images as they were built, and waits until it is ready.
pub fn install(cluster: &Cluster, namespace: &Namespace<'_>) {
    // Of the whole cluster, so that no test's release may own it.
    cluster.install_definition();
    let images = [cluster.image(Program::Operator), cluster.image(Program::Worker)];
    upgrade(cluster, namespace, &images, &["crds.install=false"]);
}

/// Installs the chart, or upgrades it to other images of the operator and the workers, and values such as `log=debug`.
pub fn upgrade(cluster: &Cluster, namespace: &Namespace<'_>, [operator, worker]: &[String; 2], values: &[&str]) {
    let name = namespace.name.as_str();
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/eventsink");
    let mut all = vec![format!("watchNamespaces={{{name}}}")];
    for (path, image) in [("image", operator), ("worker.image", worker)] {
        let (repository, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        all.push(format!("{path}.repository={repository},{path}.tag={tag}"));
    }
    all.extend(values.iter().map(|value| (*value).to_owned()));
    // Another release's definition is taken over: it is the same.
    let mut arguments = vec!["upgrade", "--install", RELEASE, chart, "--namespace", name, "--take-ownership", "--wait"];
    arguments.extend(all.iter().flat_map(|value| ["--set", value]));
    cluster.helm(&arguments);
}

/// Waits until the sink says that it is ready, for the newest spec, with so many workers.
pub fn wait_until_ready(namespace: &Namespace<'_>, sink: &str, workers: i64) -> Value {
    namespace.wait_for("eventsink", sink, Duration::from_secs(180), |object| {
        let (status, generation) = (&object["status"], &object["metadata"]["generation"]);
        let ready = condition(object, "Ready") == "True";
        let settled = ready && &status["observedGeneration"] == generation && status["readyReplicas"] == workers;
        if settled { Ok(()) } else { Err(format!("{status:#}")) }
    })
}
