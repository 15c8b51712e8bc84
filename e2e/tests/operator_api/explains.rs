//! The definition as a manual, and the defaults that it fills in.

use serde_json::json;

use crate::scene::{defined, with};

#[test]
fn kubectl_explain_teaches() {
    let (cluster, _defined) = defined();
    let explain = |field: &str| cluster.kubectl(&["explain", field]);
    for (field, words) in [
        ("eventsink", &["Lands CloudEvents from Kafka topics", "spec", "status"][..]),
        ("eventsink.spec.kafka", &["bootstrapServers", "Brokers to ask first", "-required-", "host:port"]),
        ("eventsink.spec.kafka.startFrom", &["earliest", "latest", "2025-12-21T10:00:00Z"]),
        ("eventsink.spec.kafka.security.protocol", &["SASL_SSL", "as Kafka's own tools call them"]),
        ("eventsink.spec.storage", &["Exactly one of s3, azure, gcs and filesystem", "workload identity"]),
        ("eventsink.spec.scaling.mode", &["HPA or KEDA", "the backlog is read in time"]),
        ("eventsink.spec.file.rotation", &["the first limit that is reached counts", "maxIdle"]),
        ("eventsink.status.lag", &["oldestUnpersistedSeconds", "no worker has read yet"]),
    ] {
        let text = explain(field).split_whitespace().collect::<Vec<_>>().join(" ");
        for words in words {
            assert!(text.contains(words), "{field} does not say {words:?}: {text}");
        }
    }
    let kinds = cluster.kubectl(&["explain", "esink"]);
    assert!(kinds.contains("EventSink"), "the short name: {kinds}");
}

#[test]
fn what_is_left_out_has_defaults_that_everybody_can_see() {
    let (cluster, _defined) = defined();
    let namespace = cluster.namespace("defaults");
    let least = json!({
        "apiVersion": "eventsink.dev/v1alpha1", "kind": "EventSink", "metadata": {"name": "least"},
        "spec": {
            "kafka": {"bootstrapServers": ["kafka"], "topics": ["orders"]},
            "storage": {"s3": {"bucket": "lake"}},
        },
    });
    namespace.apply(&least);
    let stored = namespace.get("eventsink", "least").expect("it was applied")["spec"].clone();
    let expected = json!({
        "replicas": 1,
        "suspend": false,
        "kafka": {
            "startFrom": "earliest", "onLoss": "Hold", "onOffsetsMoved": "Hold", "security": {"protocol": "PLAINTEXT"},
        },
        "storage": {"s3": {"basePath": "", "insecureHttp": false, "sse": {"type": "None"}}},
        "file": {
            "format": "Parquet", "compression": "Zstd", "partitionBy": "EventTime", "schemaVersion": "v1",
            "rotation": {"maxBytes": "128MiB", "maxRecords": 1_000_000, "maxAge": "10m", "maxIdle": "2m"},
        },
        "events": {"nonCloudEvents": "Reject"},
        "deadLetter": {"floodThreshold": "50%", "floodMinRecords": 100},
        "scaling": {
            "mode": "Partitions", "minReplicas": 1, "maxReplicas": 16, "partitionsPerReplica": 1,
            "targetDrainSeconds": 300, "unreadPerReplica": 1_000_000, "scaleDownSeconds": 300,
        },
        "worker": {
            "logLevel": "info",
            "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        },
    });
    assert_eq!(stored, with(&least["spec"], &expected));
}
