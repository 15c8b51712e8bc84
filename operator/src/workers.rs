//! What the workers of a sink say of themselves: `/status` of each pod, asked for at once and with little patience.

use crate::build;
use crate::context::Context;
use crate::projection::PORT;
use eventsink_crds::status::{PartitionStatus, WorkerStatus};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use std::collections::BTreeMap;
use std::time::Duration;

/// A pod that does not answer within this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer is no longer than this, in bytes: a partition takes some hundred.
const LONGEST: usize = 16 << 20;

/// Answers of the workers of one sink.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workers {
    /// Pods that run.
    pub running: usize,
    /// What those said that answered.
    pub answers: Vec<WorkerStatus>,
    /// Why containers do not run, in the platform's words, one for each pod concerned.
    pub waiting: Vec<String>,
}

impl Workers {
    /// Whether every pod that runs has answered.
    #[must_use]
    pub fn all_answered(&self) -> bool {
        self.running > 0 && self.answers.len() == self.running
    }

    /// All partitions that somebody has, as he sees them.
    pub fn each_partition(&self) -> impl Iterator<Item = &PartitionStatus> {
        self.answers.iter().flat_map(|worker| &worker.partitions)
    }

    /// Whether every pod that runs has said that it is ready.
    #[must_use]
    pub fn all_ready(&self) -> bool {
        self.all_answered() && self.answers.iter().all(|worker| worker.ready)
    }

    /// Whether every worker is ready, and each of so many partitions belongs to one of them: only then are their numbers
    /// the whole.
    #[must_use]
    pub fn have_all(&self, partitions: Option<i32>) -> bool {
        self.all_ready() && partitions == Some(self.partitions())
    }

    /// Whether what is unread of each partition is a number that somebody knows: a worker that does not know where a
    /// partition ends, or where it is in it, says zero.
    #[must_use]
    pub fn know_unread(&self) -> bool {
        self.each_partition().all(|at| {
            let begins = at.read_position >= 0 || at.frontier >= 0 || at.hold.is_some();
            begins && at.high_watermark >= 0
        })
    }

    /// Partitions that are assigned to somebody.
    #[must_use]
    pub fn partitions(&self) -> i32 {
        let assigned: std::collections::BTreeSet<_> =
            self.each_partition().map(|partition| (&partition.topic, partition.partition)).collect();
        i32::try_from(assigned.len()).unwrap_or(i32::MAX)
    }
}

/// Asks all pods of a sink.
///
/// # Errors
/// When the API server does not answer; a pod that does not is left out.
pub async fn ask(context: &Context, namespace: &str, sink: &str) -> Result<Workers, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let found = pods.list(&ListParams::default().labels(&selector_text(&build::selector(sink)))).await?;
    // Labels can be anybody's.
    let ours = build::worker_name(sink) + "-";
    let found: Vec<Pod> = found.items.into_iter().filter(|pod| is_of(pod, &ours)).collect();
    let addresses: Vec<String> = found.iter().filter_map(address).collect();
    let answers = join_all(addresses.iter().map(|address| status(&context.http, address))).await;
    Ok(Workers {
        running: addresses.len(),
        answers: answers.into_iter().flatten().collect(),
        waiting: found.iter().filter_map(waits).collect(),
    })
}

/// A selector as the API takes it.
#[must_use]
pub fn selector_text(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Whether a ReplicaSet of the Deployment controls it; the rest of such a name has no dash.
fn is_of(pod: &Pod, prefix: &str) -> bool {
    let controls = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    let set = controls.filter(|owner| owner.kind == "ReplicaSet").and_then(|owner| owner.name.strip_prefix(prefix));
    set.is_some_and(|hash| !hash.contains('-'))
}

/// Address of a pod that runs and is not about to end.
fn address(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let runs = status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none();
    runs.then(|| status.pod_ip.clone()).flatten()
}

/// Why a pod's container does not run: its image cannot be had, it ends again and again, no node takes the pod.
fn waits(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let stopped = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()).find_map(|waiting| {
        let reason = waiting.reason.as_deref().filter(|reason| *reason != "ContainerCreating")?;
        Some((reason, waiting.message.as_deref()))
    });
    let unplaced = || {
        let conditions = status.conditions.iter().flatten();
        let unplaced = conditions.filter(|found| found.type_ == "PodScheduled" && found.status == "False");
        unplaced.map(|found| (found.reason.as_deref().unwrap_or("NotScheduled"), found.message.as_deref())).next()
    };
    let (reason, message) = stopped.or_else(unplaced)?;
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    Some(format!("pod {pod}: {reason}: {}", message.unwrap_or("no details")))
}

async fn status(http: &reqwest::Client, address: &str) -> Option<WorkerStatus> {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let answer = http.get(format!("http://{host}:{PORT}/status")).timeout(PATIENCE).send().await.ok()?;
    let mut answer = answer.error_for_status().ok()?;
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.ok()? {
        if body.len() + part.len() > LONGEST {
            return None;
        }
        body.extend_from_slice(&part);
    }
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(owner: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"ownerReferences": [owner]}})).expect("a pod")
    }

    #[test]
    fn only_pods_of_the_sinks_own_deployment_are_asked() {
        let owner = |kind: &str, name: &str, controller: bool| {
            pod(json!({"apiVersion": "apps/v1", "uid": "u", "kind": kind, "name": name, "controller": controller}))
        };
        assert!(is_of(&owner("ReplicaSet", "orders-worker-5d4f8c7b9", true), "orders-worker-"));
        for other in [
            owner("ReplicaSet", "orders-worker-worker-5d4f8c7b9", true),
            owner("ReplicaSet", "my-orders-worker-5d4f8c7b9", true),
            owner("ReplicaSet", "orders-worker-5d4f8c7b9", false),
            owner("Job", "orders-worker-5d4f8c7b9", true),
            Pod::default(),
        ] {
            assert!(!is_of(&other, "orders-worker-"), "{other:?}");
        }
    }
}
