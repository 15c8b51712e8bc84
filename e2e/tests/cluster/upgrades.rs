//! Another release of the chart while events flow, and the end of the release.

use std::thread;
use std::time::Duration;

use eventsink_e2e::{Cluster, Mix, Program, patiently};
use serde_json::json;

use crate::installed::{RELEASE, install, upgrade, wait_until_ready};
use crate::sink::{NAME, Sink, WORKERS};

const PARTITIONS: i32 = 2;

#[test]
fn an_upgrade_replaces_operator_and_workers_and_an_uninstall_leaves_the_sinks_at_work() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("upgrades");
    install(cluster, &namespace);
    let sink = Sink::new(cluster, &namespace, "upgrades", PARTITIONS);
    let mut resource = sink.scaled(&json!({"mode": "Fixed"}));
    resource["spec"]["replicas"] = PARTITIONS.into();
    namespace.apply(&resource);
    wait_until_ready(&namespace, NAME, PARTITIONS.into());

    let mix = Mix { pace: Some(1_000), ..Mix::of(60_000, PARTITIONS.unsigned_abs()) };
    let next = [Program::Operator, Program::Worker].map(|program| cluster.image_as(program, "next"));
    let produced = thread::scope(|scope| {
        let producing = scope.spawn(|| sink.produce(&mix));
        // The definition comes with the chart from now on.
        upgrade(cluster, &namespace, &next, &["crds.install=true"]);
        patiently(Duration::from_secs(180), "every worker runs the new image", || {
            let pods = namespace.list("pods", WORKERS);
            let new = pods.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == next[1].as_str()).count();
            if new == pods.len() && new == PARTITIONS as usize {
                Ok(())
            } else {
                Err(format!("{new} of {}", pods.len()))
            }
        });
        producing.join().expect("the producer did not panic")
    });
    wait_until_ready(&namespace, NAME, PARTITIONS.into());

    cluster.helm(&["uninstall", RELEASE, "--namespace", &namespace.name, "--wait"]);
    assert!(namespace.get("eventsink", NAME).is_some(), "the definition is kept, and with it the sink");
    assert_eq!(namespace.names("pods", WORKERS).len(), PARTITIONS as usize, "the workers go on");
    sink.wait_until_drained();
    sink.judge(produced);
}
