//! Sinks without workers on one operator, ten to a thousand of them: time to settle, requests and time of the processor
//! for each, memory. `make scale` runs it and prints the figures; it fails only when something never settles.

use std::time::{Duration, Instant};

use eventsink_e2e::{Cluster, Namespace, Operator, Workspace, operator, patiently};
use serde_json::{Value, json};

const SINKS: [usize; 3] = [10, 100, 1000];
/// Sinks that are sent in one request of kubectl's.
const BATCH: usize = 100;
const PATIENCE: Duration = Duration::from_secs(900);
/// Time for which nothing happens.
const QUIET: Duration = Duration::from_secs(60);
/// A sink that rests is looked at once in this time or a sixth more, as the operator has it.
const LOOK: Duration = Duration::from_secs(3600);

#[test]
fn a_thousand_sinks_settle_on_one_operator() {
    let cluster = Cluster::shared();
    cluster.install_definition();
    SINKS.into_iter().for_each(|sinks| settle(cluster, sinks));
}

fn settle(cluster: &'static Cluster, sinks: usize) {
    let (namespace, space) = (cluster.namespace(&format!("scale-{sinks}")), Workspace::new());
    let kubeconfig = operator::granted(cluster, &namespace, &[], &space.join(""));
    for batch in (0..sinks).collect::<Vec<_>>().chunks(BATCH) {
        let items: Vec<Value> = batch.iter().map(|number| sink(&namespace.name, *number)).collect();
        cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
    }

    let start = Instant::now();
    let mut first = started(&kubeconfig, &namespace, &space);
    wait_until_settled(&namespace, sinks);
    let (took, made) = (start.elapsed().as_secs_f64(), requests(cluster, &namespace) as f64 / sinks as f64);
    let (cpu, memory) = (first.cpu().as_secs_f64(), first.resident_bytes() >> 20);
    println!("{sinks} sinks settled in {took:.1} s: {made:.1} requests each, {cpu:.2} CPU-s in all, {memory} MiB");

    // Whatever follows from the first pass is over.
    std::thread::sleep(QUIET);
    let (before, cpu) = (requests(cluster, &namespace), first.cpu());
    std::thread::sleep(QUIET);
    let (quiet, used) = (requests(cluster, &namespace) - before, first.cpu() - cpu);
    println!(
        "{quiet} requests and {} CPU-ms in {} quiet s, those for the Lease among them; {} MiB",
        used.as_millis(),
        QUIET.as_secs(),
        first.resident_bytes() >> 20
    );

    // One look at each sink that has nothing to do.
    first.kill9();
    let before = requests(cluster, &namespace);
    let start = Instant::now();
    let second = started(&kubeconfig, &namespace, &space);
    let looked = patiently(PATIENCE, "every sink has been looked at", || {
        let metrics = second.get("/metrics").map(|(_, text)| text).unwrap_or_default();
        let name = "eventsink_operator_reconcile_seconds_count ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok()).unwrap_or(0.0);
        if count >= sinks as f64 { Ok(count) } else { Err(format!("{count} looks")) }
    });
    let (took, cpu) = (start.elapsed(), second.cpu().as_secs_f64());
    std::thread::sleep(Duration::from_secs(2));
    let each = (requests(cluster, &namespace) - before) as f64 / looked;
    println!(
        "a restart looks at all of them in {:.1} s: {each:.1} requests each, as many as an idle sink has in {} min, {cpu:.2} \
         CPU-s in all",
        took.as_secs_f64(),
        LOOK.as_secs() / 60
    );
}

fn started(kubeconfig: &std::path::Path, namespace: &Namespace<'_>, space: &Workspace) -> Operator {
    let mut operator = Operator::start(kubeconfig, &namespace.name, "pod", space.join("operator.log"), &[]);
    operator.wait_until_it_works();
    operator
}

/// Half of them suspended, half scaled to zero.
fn sink(namespace: &str, number: usize) -> Value {
    let half = if number.is_multiple_of(2) { json!({"suspend": true}) } else { json!({"replicas": 0}) };
    let name = format!("sink-{number:04}");
    let mut sink = json!({
        "apiVersion": "eventsink.dev/v1alpha1", "kind": "EventSink",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "kafka": {"bootstrapServers": ["127.0.0.1:1"], "topics": ["orders"]},
            "storage": {"s3": {"bucket": "lake", "basePath": name}},
            "scaling": {"mode": "Fixed"},
        },
    });
    sink["spec"].as_object_mut().expect("a spec").extend(half.as_object().expect("fields").clone());
    sink
}

fn wait_until_settled(namespace: &Namespace<'_>, sinks: usize) {
    patiently(PATIENCE, "every sink has settled", || {
        let path = "jsonpath={range .items[*]}{.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}{end}";
        let text = namespace.kubectl(&["get", "eventsinks", "-o", path]);
        let ready = text.lines().filter(|line| *line == "True").count();
        if ready == sinks { Ok(()) } else { Err(format!("{ready} have")) }
    });
}

/// Requests of the operator so far, by the API server's log.
fn requests(cluster: &Cluster, namespace: &Namespace<'_>) -> usize {
    let log = cluster.audit_log().expect("a cluster of the rig");
    let text = std::fs::read_to_string(log).expect("the API server writes it");
    let account = format!("\"username\":\"system:serviceaccount:{}:{}\"", namespace.name, operator::ACCOUNT);
    let complete = |line: &&str| line.contains(&account) && line.contains("\"stage\":\"ResponseComplete\"");
    text.lines().filter(complete).count()
}
