//! A password that changes while events flow.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use eventsink_e2e::{Cluster, Mix, patiently};
use serde_json::json;

use crate::installed::{install, wait_until_ready};
use crate::sink::{NAME, Sink, WORKERS};

const PARTITIONS: i32 = 3;
const WORKER_COUNT: i64 = 2;

#[test]
fn a_new_password_replaces_the_workers_one_by_one_and_loses_nothing() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("rotates");
    install(cluster, &namespace);
    let sink = Sink::new(cluster, &namespace, "rotates", PARTITIONS);
    let user = namespace.name.as_str();
    sink.kafka.set_password(user, "before");
    sink.log_in_as(user, "before");
    let mut resource = sink.scaled(&json!({"mode": "Fixed"}));
    resource["spec"]["replicas"] = WORKER_COUNT.into();
    namespace.apply(&resource);
    wait_until_ready(&namespace, NAME, WORKER_COUNT);
    let names = || BTreeSet::from_iter(namespace.names("pods", WORKERS));
    let before = names();

    let mix = Mix { pace: Some(1_000), ..Mix::of(60_000, PARTITIONS.unsigned_abs()) };
    let produced = thread::scope(|scope| {
        let producing = scope.spawn(|| sink.produce(&mix));
        sink.kafka.set_password(user, "after");
        sink.log_in_as(user, "after");
        patiently(Duration::from_secs(180), "every worker has been replaced", || {
            let deployment = namespace.get("deployment", &format!("{NAME}-worker")).expect("the sink has workers");
            let status = &deployment["status"];
            let there = status["replicas"].as_i64().unwrap_or(0) - status["unavailableReplicas"].as_i64().unwrap_or(0);
            assert!(there >= WORKER_COUNT - 1, "more than one worker was away: {status:#}");
            let now = names();
            if now.is_disjoint(&before) && there == WORKER_COUNT { Ok(()) } else { Err(format!("{now:?}: {status}")) }
        });
        producing.join().expect("the producer did not panic")
    });
    sink.wait_until_drained();
    wait_until_ready(&namespace, NAME, WORKER_COUNT);
    sink.judge(produced);
}
