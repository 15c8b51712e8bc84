//! How many workers run, and that a change of their number loses and doubles nothing.

use std::thread;
use std::time::{Duration, Instant};

use eventsink_e2e::cluster::condition;
use eventsink_e2e::{Cluster, Kafka, Mix, Namespace, patiently};
use serde_json::json;

use crate::installed::{install, wait_until_ready};
use crate::sink::{NAME, Sink};

const PARTITIONS: i32 = 3;
/// Numbers within 90 s of a change say nothing, and what is not needed is kept for 60 s more.
const CHANGE: Duration = Duration::from_secs(240);

#[test]
fn a_backlog_takes_workers_from_one_to_three_and_back() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("lag");
    install(cluster, &namespace);
    let sink = Sink::new(cluster, &namespace, "lag", PARTITIONS);
    // A user that may not read faster than its backlog lasts for all steps up.
    let user = namespace.name.as_str();
    sink.kafka.set_password(user, "slow");
    sink.kafka.throttle(user, Some(20_000));
    sink.log_in_as(user, "slow");
    let produced = sink.produce(&Mix::of(300_000, PARTITIONS.unsigned_abs()));
    namespace.apply(&sink.scaled(&json!({
        "mode": "Lag", "maxReplicas": 3, "targetDrainSeconds": 10, "scaleDownSeconds": 60,
    })));

    wait_until_ready(&namespace, NAME, 1);
    wait_for_workers(&namespace, 2);
    wait_for_workers(&namespace, 3);
    wait_until_ready(&namespace, NAME, 3);
    sink.kafka.throttle(user, None);
    sink.wait_until_drained();
    wait_for_workers(&namespace, 2);
    wait_for_workers(&namespace, 1);
    wait_until_ready(&namespace, NAME, 1);
    sink.judge(produced);
}

#[test]
fn without_a_broker_the_number_of_workers_holds() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("away");
    install(cluster, &namespace);
    let kafka = Kafka::own_at(cluster.host());
    let sink = Sink::on(&kafka, cluster, &namespace, "away", PARTITIONS);
    let least = |least: i32| sink.scaled(&json!({"mode": "Lag", "minReplicas": least, "scaleDownSeconds": 60}));
    namespace.apply(&least(2));
    wait_until_ready(&namespace, NAME, 2);

    kafka.stop();
    namespace.apply(&least(1));
    // As long as it takes to go down when nothing is unread.
    let end = Instant::now() + CHANGE;
    while Instant::now() < end {
        thread::sleep(Duration::from_secs(5));
        assert_eq!(workers(&namespace), 2, "workers went while nobody knew how far they were");
    }
    let object = namespace.get("eventsink", NAME).expect("the sink is there");
    assert_eq!(condition(&object, "SourceReachable"), "False", "{object:#}");
    assert_eq!(condition(&object, "ScalingActive"), "False", "{object:#}");

    kafka.start_again();
    let produced = sink.produce(&Mix::of(5_000, PARTITIONS.unsigned_abs()));
    sink.wait_until_drained();
    wait_for_workers(&namespace, 1);
    wait_until_ready(&namespace, NAME, 1);
    sink.judge(produced);
}

#[test]
fn kubectl_scale_sets_the_number_of_workers() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("scale");
    install(cluster, &namespace);
    let sink = Sink::new(cluster, &namespace, "scale", PARTITIONS);
    for mode in ["Fixed", "External"] {
        namespace.apply(&sink.scaled(&json!({"mode": mode})));
        for count in [3, 1] {
            namespace.kubectl(&["scale", "eventsink", NAME, &format!("--replicas={count}")]);
            wait_until_ready(&namespace, NAME, count);
        }
    }
    namespace.kubectl(&["scale", "eventsink", NAME, "--replicas=0"]);
    wait_until_ready(&namespace, NAME, 0);
    assert_eq!(workers(&namespace), 0);
}

fn workers(namespace: &Namespace<'_>) -> i64 {
    let deployment = namespace.get("deployment", &format!("{NAME}-worker")).expect("the sink has workers");
    deployment["spec"]["replicas"].as_i64().expect("a number")
}

fn wait_for_workers(namespace: &Namespace<'_>, count: i64) {
    patiently(CHANGE, &format!("{count} workers"), || {
        let found = workers(namespace);
        let status = || namespace.get("eventsink", NAME).map(|object| object["status"].clone());
        if found == count { Ok(()) } else { Err(format!("{found}: {:#}", status().unwrap_or_default())) }
    });
}
