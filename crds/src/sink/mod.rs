//! The `EventSink` resource: its types, the rules that the API server checks by itself (CEL), conditions and reasons.
//!
//! Types only: whoever reads them is `kubectl explain` as much as a programmer. What a field becomes in the worker's
//! settings is said by the operator's projection.

mod conditions;
mod file;
mod kafka;
mod scaling;
mod secrets;
mod status;
mod storage;
mod worker;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use conditions::{condition, reason};
pub use file::{Compression, Dead, Events, File, Format, Leniency, NonCloudEvents, PartitionBy, Rotation};
pub use kafka::{Kafka, OAuth, OnLoss, OnOffsetsMoved, Protocol, Sasl, SaslMechanism, Security, Tls};
pub use scaling::{Scaling, ScalingMode};
pub use secrets::{BasicSecret, CaSecret, CertificateSecret, S3Secret, SecretKey};
pub use status::{EventSinkStatus, Files, HeldPartition, Lag};
pub use storage::{Azure, FileSystem, Gcs, S3, Sse, SseType, Storage};
pub use worker::{Resources, Worker};

/// Lands CloudEvents from Kafka topics as files in object storage: each event in exactly one file, or in the dead
/// letters.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "eventsink.dev",
    version = "v1alpha1",
    kind = "EventSink",
    plural = "eventsinks",
    singular = "eventsink",
    shortname = "esink",
    category = "eventing",
    namespaced,
    status = "EventSinkStatus",
    derive = "PartialEq",
    doc = "Lands CloudEvents from Kafka topics as Parquet or Avro files in object storage, each event exactly once in a file, and proves that nothing is missing.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Topics", type_ = "string", json_path = ".spec.kafka.topics"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(
        name = "Unread",
        type_ = "integer",
        json_path = ".status.lag.unread",
        description = "Records in Kafka that no worker has read yet"
    ),
    printcolumn(
        name = "Fresh",
        type_ = "string",
        json_path = ".status.lag.fresh",
        description = "Age of the oldest event that was read and is not yet in a file"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    validation = Rule::new("self.metadata.name.size() <= 52")
        .message("metadata.name must be at most 52 characters: names of pods are made from it")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.deadLetter.topic) || !(self.deadLetter.topic in self.kafka.topics)")
    .message("deadLetter.topic must not be one of kafka.topics: dead letters would be read again for ever"))]
pub struct EventSinkSpec {
    /// Where events come from: brokers, topics, login.
    pub kafka: Kafka,
    /// Where files go. Exactly one of s3, azure, gcs and filesystem; it cannot be changed later. Without a reference to a
    /// Secret a worker uses what its platform gives it (workload identity): name the service account that has it in
    /// `worker.serviceAccountName`.
    pub storage: Storage,
    /// What the files look like and when one is closed.
    #[serde(default)]
    pub file: File,
    /// What counts as an event.
    #[serde(default)]
    pub events: Events,
    /// What becomes of records that are no valid events. They are always kept as files under `_dlq/`; this says what
    /// else happens.
    #[serde(default)]
    pub dead_letter: Dead,
    /// How many workers run.
    #[serde(default)]
    pub scaling: Scaling,
    /// Number of workers in the scaling modes Fixed and External; the other modes do not read it. HPA and KEDA write it
    /// through the scale subresource. Leave it out of manifests in Git when an autoscaler owns it.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// The pods that do the work.
    #[serde(default)]
    pub worker: Worker,
    /// Stops all workers and keeps everything else; what was not written is read again when they go on.
    #[serde(default)]
    pub suspend: bool,
}

fn one() -> i32 {
    1
}
