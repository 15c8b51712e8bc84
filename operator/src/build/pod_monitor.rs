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
    /// What becomes of the labels.
    pub relabelings: Vec<Relabeling>,
}

/// A label that is set to a text, or taken over from others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Relabeling {
    /// Labels whose values are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// Label that is set.
    pub target_label: String,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
}

pub(super) fn build(sink: &ValidatedSink) -> PodMonitor {
    // The job that the alerts go by, and the name of the sink without its namespace, which a selector of an HPA can hold.
    let job = Relabeling {
        target_label: "job".to_owned(),
        replacement: Some("eventsink".to_owned()),
        ..Relabeling::default()
    };
    let name = Relabeling {
        source_labels: vec!["__meta_kubernetes_pod_label_app_kubernetes_io_instance".to_owned()],
        target_label: "eventsink".to_owned(),
        ..Relabeling::default()
    };
    let endpoint = Endpoint { port: "http".to_owned(), path: "/metrics".to_owned(), relabelings: vec![job, name] };
    PodMonitor {
        metadata: metadata(sink, worker_name(&sink.name)),
        spec: PodMonitorSpec {
            selector: LabelSelector { match_labels: Some(selector(&sink.name)), ..LabelSelector::default() },
            pod_metrics_endpoints: vec![endpoint],
        },
    }
}
