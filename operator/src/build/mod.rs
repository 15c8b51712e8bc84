//! The objects that a sink becomes, one file each. Pure: nothing here asks anybody.

mod config_map;
mod deployment;
mod disruption_budget;
mod network_policy;
mod pod_monitor;
mod secret;
mod service_account;

use crate::reconcile::validate::ValidatedSink;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

pub use pod_monitor::PodMonitor;

/// Label that names the program.
pub const NAME: &str = "app.kubernetes.io/name";
/// Label that names the sink.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Label that names who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`NAME`].
pub const WORKER: &str = "eventsink-worker";
/// Value of [`MANAGED_BY`], and the field manager of everything here.
pub const OPERATOR: &str = "eventsink-operator";

/// Children that an installation may want or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Optional {
    /// A NetworkPolicy.
    pub network_policy: bool,
    /// A PodMonitor of the Prometheus Operator.
    pub pod_monitor: bool,
}

/// All objects of one sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Children {
    /// Who the pods are, without any right; none when the sink names another.
    pub service_account: Option<ServiceAccount>,
    /// The workers' settings.
    pub config_map: ConfigMap,
    /// The credentials that the sink refers to, as files.
    pub secret: Secret,
    /// One worker at a time may be taken away; none when there is but one.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// Who may talk to the workers.
    pub network_policy: Option<NetworkPolicy>,
    /// Who reads their metrics.
    pub pod_monitor: Option<PodMonitor>,
    /// The workers.
    pub deployment: Deployment,
}

/// Builds all objects of a sink with so many workers.
#[must_use]
pub fn children(sink: &ValidatedSink, replicas: i32, optional: Optional) -> Children {
    Children {
        service_account: service_account::build(sink),
        config_map: config_map::build(sink),
        secret: secret::build(sink),
        disruption_budget: (replicas > 1).then(|| disruption_budget::build(sink)),
        network_policy: optional.network_policy.then(|| network_policy::build(sink)),
        pod_monitor: optional.pod_monitor.then(|| pod_monitor::build(sink)),
        deployment: deployment::build(sink, replicas),
    }
}

/// Name of the Deployment of a sink, and of every other child that belongs to its pods.
#[must_use]
pub fn worker_name(sink: &str) -> String {
    format!("{sink}-worker")
}

/// Name of the ConfigMap of a sink.
#[must_use]
pub fn settings_name(sink: &str) -> String {
    format!("{sink}-settings")
}

/// Name of the Secret of a sink.
#[must_use]
pub fn credentials_name(sink: &str) -> String {
    format!("{sink}-credentials")
}

/// Labels by which the pods of a sink are found; they never change.
#[must_use]
pub fn selector(sink: &str) -> BTreeMap<String, String> {
    [(NAME, WORKER), (INSTANCE, sink)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn metadata(sink: &ValidatedSink, name: String) -> ObjectMeta {
    let mut labels = selector(&sink.name);
    labels.insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
    ObjectMeta {
        name: Some(name),
        namespace: Some(sink.namespace.clone()),
        labels: Some(labels),
        owner_references: Some(vec![sink.owner.clone()]),
        ..ObjectMeta::default()
    }
}
