//! The Prometheus Operator scrapes the workers. Just so much of its resource as is written here.

use super::{metadata, selector, worker_name};
use crate::reconcile::validate::ValidatedSink;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// What is scraped.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PodMonitor",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// Pods of the sink.
    pub selector: LabelSelector,
    /// Their HTTP.
    pub pod_metrics_endpoints: Vec<Endpoint>,
}

/// One port of the pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Name of the port.
    pub port: String,
    /// Path of the metrics.
    pub path: String,
}

pub(super) fn build(sink: &ValidatedSink) -> PodMonitor {
    PodMonitor {
        metadata: metadata(sink, worker_name(&sink.name)),
        spec: PodMonitorSpec {
            selector: LabelSelector { match_labels: Some(selector(&sink.name)), ..LabelSelector::default() },
            pod_metrics_endpoints: vec![Endpoint { port: "http".to_owned(), path: "/metrics".to_owned() }],
        },
    }
}
