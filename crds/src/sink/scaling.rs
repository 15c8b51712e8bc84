//! `spec.scaling`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many workers run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("scaling.minReplicas must not be above scaling.maxReplicas"))]
pub struct Scaling {
    /// Partitions (one worker for so many partitions), Lag (so many that the backlog is read in time), Fixed
    /// (`spec.replicas`, written by people) or External (`spec.replicas`, written by HPA or KEDA).
    #[serde(default)]
    pub mode: ScalingMode,
    /// Least number of workers in the modes Partitions and Lag.
    #[serde(default = "min_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Greatest number of workers in the modes Partitions and Lag; never more than there are partitions.
    #[serde(default = "max_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Partitions for each worker in the mode Partitions.
    #[serde(default = "partitions_per_replica")]
    #[schemars(range(min = 1, max = 10000))]
    pub partitions_per_replica: i32,
    /// In the mode Lag there are so many workers that what is unread now would be read within this time.
    #[serde(default = "target_drain_seconds")]
    #[schemars(range(min = 10, max = 86400))]
    pub target_drain_seconds: i64,
    /// In the mode Lag, unread records for each worker until its speed is known.
    #[serde(default = "unread_per_replica")]
    #[schemars(range(min = 1))]
    pub unread_per_replica: i64,
    /// In the mode Lag workers are taken away, one at a time, only when fewer were enough for this time.
    #[serde(default = "scale_down_seconds")]
    #[schemars(range(min = 60, max = 86400))]
    pub scale_down_seconds: i64,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            mode: ScalingMode::default(),
            min_replicas: min_replicas(),
            max_replicas: max_replicas(),
            partitions_per_replica: partitions_per_replica(),
            target_drain_seconds: target_drain_seconds(),
            unread_per_replica: unread_per_replica(),
            scale_down_seconds: scale_down_seconds(),
        }
    }
}

/// What the number of workers follows.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScalingMode {
    /// The number of partitions of all topics.
    #[default]
    Partitions,
    /// The time that reading all that is unread would take.
    Lag,
    /// `spec.replicas`, which an autoscaler writes.
    External,
    /// `spec.replicas`.
    Fixed,
}

fn min_replicas() -> i32 {
    1
}

fn max_replicas() -> i32 {
    16
}

fn partitions_per_replica() -> i32 {
    1
}

fn target_drain_seconds() -> i64 {
    300
}

fn unread_per_replica() -> i64 {
    1_000_000
}

fn scale_down_seconds() -> i64 {
    300
}
