//! `spec.worker`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The pods that do the work.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Image of the worker. Default: the one that came with the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// CPU and memory of each pod. The limit of memory decides the byte budget.
    #[serde(default)]
    pub resources: Resources,
    /// Byte budget of each worker, such as `512Mi`. Default: 60 % of the limit of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = "^[1-9][0-9]*(Ki|Mi|Gi)B?$"))]
    #[x_kube(validation = Rule::new("quantity(self.replace('B', '')).compareTo(quantity('8Mi')) >= 0")
        .message("worker.memoryBudget must be at least 8Mi"))]
    pub memory_budget: Option<String>,
    /// Name of a ServiceAccount with a workload identity. Default: one of the sink's own, without any right. Its token is
    /// mounted into the pods only when it is named here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
    /// Labels of nodes that the pods may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate, as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,
    /// Where the pods are placed, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub affinity: Option<Affinity>,
    /// Further labels of the pods; those of the operator cannot be overwritten.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Further annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,
    /// What the workers log: a level, or directives per module such as `info,eventsink_worker=debug`.
    #[serde(default = "info")]
    #[schemars(length(min = 1, max = 512))]
    pub log_level: String,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            image: None,
            resources: Resources::default(),
            memory_budget: None,
            service_account_name: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            log_level: info(),
        }
    }
}

fn info() -> String {
    "info".to_owned()
}

/// Checked where a pod is made of it, so that this resource does not repeat all of the pod's schema.
fn opaque(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// CPU and memory of each pod, as in a container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What a node must have free.
    #[serde(default = "requests")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What a pod may use.
    #[serde(default = "limits")]
    pub limits: BTreeMap<String, IntOrString>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { requests: requests(), limits: limits() }
    }
}

fn quantities<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, IntOrString> {
    pairs.map(|(name, text)| (name.to_owned(), IntOrString::String(text.to_owned()))).into()
}

fn requests() -> BTreeMap<String, IntOrString> {
    quantities([("cpu", "250m"), ("memory", "1Gi")])
}

/// No limit of CPU: a worker that is slowed down falls behind and nobody gains.
fn limits() -> BTreeMap<String, IntOrString> {
    quantities([("memory", "1Gi")])
}
