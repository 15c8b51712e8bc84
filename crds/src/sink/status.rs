//! `status`: what is true of a sink. Numbers are rounded and written on a slow clock; the exact ones are metrics.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What is true of a sink.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EventSinkStatus {
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (summary), Reconciling, Stalled, SourceReachable, DestinationReachable, CredentialsValid, ScalingActive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Worker pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Worker pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Worker pods that should be, by the scaling in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Selector of the worker pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Partitions of all topics together, as last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// How far the sink is behind; left out while nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// Files of the workers that run now, since each of them began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// Dead letters of the workers that run now, since each of them began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_lettered: Option<i64>,
    /// Partitions on hold, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldPartition>,
}

/// How far a sink is behind.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Lag {
    /// Records in Kafka that no worker has read yet.
    pub unread: i64,
    /// Records that were read and are not yet in a file.
    pub buffered: i64,
    /// Age in seconds of the oldest record that was read and is not yet in a file.
    pub oldest_unpersisted_seconds: i64,
    /// The same as people say it, such as `45s`.
    pub fresh: String,
}

/// Files that were written.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// Number of files.
    pub written: i64,
    /// Bytes in them.
    pub bytes: i64,
}

/// A partition that waits for somebody to decide.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HeldPartition {
    /// Topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
    /// Stable name of the reason, such as OffsetLost.
    pub reason: String,
    /// What was found and the way out.
    pub message: String,
}
