//! What a sink becomes, and what kubectl shows of it and does with it.

use eventsink_e2e::{Kafka, cluster::condition, patiently};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene, message, sink, why, with, with_secrets};

#[test]
fn a_sink_becomes_children_that_it_owns_and_pods_that_may_do_nothing() {
    let scene = Scene::new("children");
    let _operator = scene.operator(&[]);
    scene.namespace.apply(&sink("orders", 2));
    let deployment = scene.wait_for_replicas("orders", 2);
    let uid = scene.namespace.get("eventsink", "orders").expect("it was applied")["metadata"]["uid"].clone();
    for (kind, name) in [
        ("serviceaccount", "orders-worker"),
        ("configmap", "orders-settings"),
        ("secret", "orders-credentials"),
        ("poddisruptionbudget", "orders-worker"),
        ("deployment", "orders-worker"),
    ] {
        let child = scene.namespace.get(kind, name).unwrap_or_else(|| panic!("no {kind} {name}"));
        let owner = &child["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["uid"], &owner["controller"]), (&uid, &json!(true)), "{kind}");
    }
    let spec = &deployment["spec"];
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxSurge": 0, "maxUnavailable": 1}));
    let (pod, container) = (&spec["template"]["spec"], &spec["template"]["spec"]["containers"][0]);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["serviceAccountName"], "orders-worker");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(container["image"], "eventsink/worker:test");
    // The namespace admits restricted pods only.
    patiently(SOON, "the pods are admitted", || match scene.namespace.names("pods", "").len() {
        2 => Ok(()),
        found => Err(format!("{found} pods")),
    });
}

#[test]
fn kubectl_get_prints_the_columns_with_true_values() {
    let scene = Scene::new("columns");
    let _operator = scene.operator(&[]);
    scene.namespace.apply(&sink("orders", 2));
    scene.wait_for_replicas("orders", 2);
    scene.wait_for_ready("orders", "False", "WorkersNotReady");
    let text = scene.namespace.kubectl(&["get", "eventsinks"]);
    let columns: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(columns, ["NAME", "READY", "STATUS", "TOPICS", "REPLICAS", "UNREAD", "FRESH", "AGE"]);
    let sink = scene.namespace.wait_for("eventsink", "orders", SOON, |object| {
        if object["status"]["replicas"] == 2 { Ok(()) } else { Err(format!("{:#}", object["status"])) }
    });
    assert_eq!(sink["status"]["readyReplicas"], 0);
    assert!(message(&sink, "Ready").contains("Unschedulable"), "{:#}", sink["status"]);
    let line = scene.namespace.kubectl(&["get", "esink", "orders", "--no-headers"]);
    let values: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(values[..5], ["orders", "False", "WorkersNotReady", "[\"orders\"]", "2"], "{line}");
    let pods = sink["status"]["selector"].as_str().expect("a selector");
    assert_eq!(scene.namespace.names("pods", pods).len(), 2, "{pods}");
}

#[test]
fn kubectl_scale_and_an_autoscaler_set_the_number_of_workers() {
    let scene = Scene::new("scale");
    let _operator = scene.operator(&[]);
    for (name, mode) in [("fixed", "Fixed"), ("external", "External")] {
        scene.namespace.apply(&with(&sink(name, 1), &json!({"spec": {"scaling": {"mode": mode}}})));
        scene.wait_for_replicas(name, 1);
        scene.namespace.kubectl(&["scale", &format!("eventsink/{name}"), "--replicas=3"]);
        scene.wait_for_replicas(name, 3);
        scene.namespace.kubectl(&["scale", &format!("eventsink/{name}"), "--replicas=0"]);
        scene.wait_for_replicas(name, 0);
        scene.wait_for_ready(name, "True", "ScaledToZero");
        scene.namespace.kubectl(&["scale", &format!("eventsink/{name}"), "--replicas=2"]);
        scene.wait_for_replicas(name, 2);
    }
    scene.namespace.apply(&json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "external"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "eventsink.dev/v1alpha1", "kind": "EventSink", "name": "external"},
            "minReplicas": 4, "maxReplicas": 8,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
            }}],
        },
    }));
    // It raises what is below its minimum without any metric.
    scene.wait_for_replicas("external", 4);
    let autoscaler = scene.namespace.wait_for("hpa", "external", SOON * 2, |object| {
        if condition(object, "AbleToScale") == "True" { Ok(()) } else { Err(format!("{:#}", object["status"])) }
    });
    assert_ne!(why(&autoscaler, "AbleToScale"), "FailedGetScale");
}

#[test]
fn before_any_worker_is_ready_the_operator_counts_the_partitions_itself() {
    let kafka = Kafka::shared();
    let topic = kafka.create_topic("counted", 3);
    let scene = Scene::new("counted");
    let at = &kafka.addresses;
    let ca = std::fs::read_to_string(&at.ca).expect("the rig wrote it");
    scene.namespace.secret("login", &[("username", &at.user), ("password", &at.password)]);
    scene.namespace.secret("ca", &[("ca.crt", &ca)]);
    scene.namespace.secret("keys", &[("accessKeyId", "id"), ("secretAccessKey", "key")]);
    let access = eventsink_e2e::Access::SaslSsl(eventsink_e2e::Mechanism::ScramSha512);
    let servers = kafka.settings(access)["bootstrap_servers"].clone();
    let change = json!({"spec": {
        "kafka": {"bootstrapServers": [servers], "topics": [topic]},
        "scaling": {"mode": "Partitions", "partitionsPerReplica": 2},
    }});
    let _operator = scene.operator(&[]);
    scene.namespace.apply(&with(&with_secrets("orders"), &change));
    let found = scene.namespace.wait_for("eventsink", "orders", SOON, |object| {
        if object["status"]["partitions"] == 3 { Ok(()) } else { Err(format!("{:#}", object["status"])) }
    });
    scene.wait_for_replicas("orders", 2);
    assert_eq!(condition(&found, "ScalingActive"), "True");
    assert_eq!(condition(&found, "SourceReachable"), "True");
    assert!(message(&found, "ScalingActive").contains("3 partitions, 2 for each worker"), "{:#}", found["status"]);
}

#[test]
fn what_is_not_known_of_kafka_is_said_and_holds_the_number_of_workers() {
    let scene = Scene::new("unknown");
    let _operator = scene.operator(&[]);
    scene.namespace.apply(&with(&sink("orders", 1), &json!({"spec": {"scaling": {"mode": "Partitions"}}})));
    scene.wait_for_replicas("orders", 1);
    let found = scene.namespace.wait_for("eventsink", "orders", SOON * 2, |object| {
        let words = message(object, "SourceReachable");
        if words.contains("the operator itself was told") { Ok(()) } else { Err(words) }
    });
    assert_eq!((condition(&found, "ScalingActive").as_str(), why(&found, "ScalingActive").as_str()), ("False", "Holding"));
    assert_eq!(found["status"]["partitions"], Value::Null);
    assert_eq!(found["status"]["lag"], Value::Null, "unknown is not zero");
}

#[test]
fn optional_children_are_there_where_the_installation_wants_them() {
    let scene = Scene::with("optional", &["worker.networkPolicy=true", "worker.podMonitor=true"]);
    let _operator = scene.operator(&["--worker-network-policy=true", "--worker-pod-monitor=true"]);
    scene.namespace.apply(&sink("orders", 1));
    // Whether this cluster knows PodMonitors or not: workers come all the same.
    scene.wait_for_replicas("orders", 1);
    let policy = scene.namespace.get("networkpolicy", "orders-worker").expect("a NetworkPolicy");
    assert_eq!(policy["spec"]["ingress"], json!([{"ports": [{"port": 8080, "protocol": "TCP"}]}]));
    scene.namespace.delete("networkpolicy", "orders-worker");
    scene.namespace.wait_for("networkpolicy", "orders-worker", SOON, |_| Ok(()));
}

#[test]
fn a_claim_for_one_node_has_one_worker_and_one_that_is_not_there_is_named() {
    let scene = Scene::new("claims");
    let _operator = scene.operator(&[]);
    let on_claim = |name: &str, claim: &str| {
        with(&sink(name, 3), &json!({"spec": {"storage": {"s3": null, "filesystem": {"claimName": claim}}}}))
    };
    let claim = |name: &str, mode: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}},
        })
    };
    scene.namespace.apply(&claim("shared", "ReadWriteMany"));
    scene.namespace.apply(&on_claim("one", "single"));
    scene.namespace.apply(&on_claim("many", "shared"));
    scene.wait_for_replicas("many", 3);
    let waits = scene.wait_for_ready("one", "False", "ClaimNotFound");
    assert!(message(&waits, "Ready").contains("PersistentVolumeClaim single"), "{:#}", waits["status"]);
    scene.namespace.apply(&claim("single", "ReadWriteOnce"));
    scene.wait_for_replicas("one", 1);
    let alone = scene.wait_for_ready("one", "False", "WorkersNotReady");
    assert_eq!(why(&alone, "ScalingActive"), "ClaimNotShared");
    assert!(message(&alone, "ScalingActive").contains("ReadWriteMany"), "{:#}", alone["status"]);
}
