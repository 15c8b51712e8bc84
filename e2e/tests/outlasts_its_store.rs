//! A store that is away under load: the breaker opens, nothing more is cut, reading goes on until the memory budget is
//! gone, the worker stays in its group, and all lands when the store is back. `EVENTSINK_OUTAGE` is its length in
//! seconds.

use std::thread;
use std::time::{Duration, Instant};

use eventsink_e2e::{
    Access, Kafka, Mix, S3, Target, Worker, Workspace, patiently, produce, settings, sink, verify, worker,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};

/// Records per second.
const PACE: u32 = 3_000;
const PATIENCE: Duration = Duration::from_secs(90);

fn outage() -> Duration {
    let seconds = std::env::var("EVENTSINK_OUTAGE").map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Ids of the group's members; a member that left and came back has another.
fn members(kafka: &Kafka, group: &str) -> Vec<String> {
    let client: BaseConsumer = kafka.client().create().expect("a client");
    let list = client.fetch_group_list(Some(group), Duration::from_secs(30)).expect("the group is known");
    let members = list.groups().iter().flat_map(|group| group.members());
    members.map(|member| member.id().to_owned()).collect()
}

/// What the worker shows while its breaker waits for the next probe. A probe has failed before: requests that were
/// under way when the breaker opened have ended too.
#[derive(Debug)]
struct Seen {
    failures: f64,
    probes: usize,
    cuts: f64,
    words: String,
}

fn seen_while_open(worker: &mut Worker) -> Seen {
    let probes = |worker: &Worker| worker.log().matches("breaker half-open").count();
    patiently(PATIENCE, "the breaker is open", || {
        worker.assert_alive();
        let (before, status) = (probes(worker), worker.status()?);
        let text = worker.get("/metrics").ok_or("nobody listens")?.1;
        let sum = |name: &str| -> f64 {
            let samples = text.lines().filter(|line| line.starts_with(name));
            samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
        };
        let waits = status["breaker"] == "open" && sum("eventsink_breaker_state{") == 2.0 && probes(worker) == before;
        if before == 0 || !waits {
            return Err(status.to_string());
        }
        let words = status["store_error"].as_str().unwrap_or_default().to_owned();
        let (failures, cuts) = (sum("eventsink_store_errors_total{"), sum("eventsink_cuts_closed_total{"));
        Ok(Seen { failures, probes: before, cuts, words })
    })
}

fn health(worker: &Worker) -> (u16, Value) {
    let (code, body) = worker.get("/health").expect("it listens");
    (code, serde_json::from_str(&body).expect("JSON"))
}

#[test]
fn an_outage_of_the_store_costs_no_restart_no_rebalance_and_no_event() {
    let (kafka, server, space) = (Kafka::shared(), S3::own(), Workspace::new());
    let bucket = server.make_bucket("outlasts");
    let target = Target::Bucket { server: &server, bucket: &bucket, prefix: "lake" };
    let topic = kafka.create_topic("outlasts", 2);
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
    settings["memory"] = json!({"budget": "8MiB"});
    settings["retry"] = json!({"max_delay": "1s"});
    settings["breaker"] = json!({"open": "1s", "max_open": "2s"});
    let config = settings::write(space.join("sink.yaml"), &settings);
    let mut worker = Worker::start(&config, space.join("worker.log"), &[]);
    patiently(PATIENCE, "both partitions are read", || {
        let status = worker.status()?;
        let reading = status["partitions"]
            .as_array()
            .is_some_and(|all| all.len() == 2 && all.iter().all(|partition| partition["stage"] == "reading"));
        if reading { Ok(()) } else { Err(status.to_string()) }
    });
    let rebalances = worker.metric("eventsink_rebalances_total");
    let group = members(kafka, &topic);

    server.stop();
    let (began, length, list) = (Instant::now(), outage(), space.join("list.csv"));
    let records = u64::from(PACE) * length.as_secs().clamp(10, 60);
    let mix = Mix { pace: Some(PACE), ..Mix::of(records, 2) };
    let (name, path) = (topic.clone(), list.clone());
    let load = thread::spawn(move || produce(kafka, &name, &mix, &path));
    let words = seen_while_open(&mut worker).words;
    assert!(words.starts_with("breaker open: cannot "), "{words}");
    worker.wait_until_log_says(&["byte budget", "paused=true"]);
    let opened = seen_while_open(&mut worker);
    patiently(length + PATIENCE, "the outage is over", || {
        worker.assert_alive();
        let (code, body) = health(&worker);
        assert_eq!((code, &body["poll_loop"]), (200, &json!("ok")), "{body}");
        assert!(body["storage"].as_str().is_some_and(|words| words.starts_with("breaker ")), "{body}");
        if began.elapsed() >= length { Ok(()) } else { Err("it goes on".to_owned()) }
    });
    load.join().expect("the broker took everything");
    let last = seen_while_open(&mut worker);
    assert_eq!(last.cuts, opened.cuts, "a cut began while the store was away");
    let failures = last.failures - opened.failures;
    assert_eq!(failures, (last.probes - opened.probes) as f64, "only probes were sent: {opened:?}, {last:?}");
    assert!(failures > 0.0, "nobody looked whether the store is back");

    worker.assert_memory_within(8 << 20);
    server.start_again();
    patiently(Duration::from_secs(120), "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&topic, &topic)
    });
    assert_eq!(worker.metric("eventsink_breaker_state"), Some(0.0));
    assert_eq!(worker.status().expect("it listens")["store_error"], Value::Null);
    assert_eq!(health(&worker).1["storage"], "ok");
    assert_eq!(worker.metric("eventsink_rebalances_total"), rebalances, "the group was rebalanced");
    assert_eq!(members(kafka, &topic), group, "the worker left its group");
    worker.assert_memory_within(8 << 20);
    let report = verify(&list, &topic, &target);
    assert_eq!(report.rows + report.dead, records);
    worker::audit(&config);
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
}
