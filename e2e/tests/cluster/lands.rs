//! From `kubectl apply` to files, and what deleting the resource leaves.

use std::time::Duration;

use eventsink_e2e::{Cluster, Mix, patiently};

use crate::installed::{install, wait_until_ready};
use crate::sink::{NAME, Sink, WORKERS};

const PARTITIONS: i32 = 3;

#[test]
fn an_applied_resource_lands_every_event_and_its_files_outlive_it() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("lands");
    install(cluster, &namespace);
    let sink = Sink::new(cluster, &namespace, "lands", PARTITIONS);
    namespace.apply(&sink.resource());

    // One worker for each partition.
    wait_until_ready(&namespace, NAME, PARTITIONS.into());
    let produced = sink.produce(&Mix::of(20_000, PARTITIONS.unsigned_abs()));
    sink.wait_until_drained();
    patiently(Duration::from_secs(90), "the columns tell the truth", || {
        let row = namespace.kubectl(&["get", "eventsinks", NAME, "--no-headers"]);
        let columns: Vec<_> = row.split_whitespace().take(6).collect();
        let topics = format!(r#"["{}"]"#, sink.topic);
        if columns == [NAME, "True", "Running", &topics, "3", "0"] { Ok(()) } else { Err(row) }
    });

    namespace.delete("eventsink", NAME);
    patiently(Duration::from_secs(90), "nothing of the sink runs or stays", || {
        let left = namespace.names("deployments,configmaps,secrets,serviceaccounts,poddisruptionbudgets,pods", WORKERS);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    sink.judge(produced);
}
