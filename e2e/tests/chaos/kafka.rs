//! A network and brokers that fail: rows 12 and 13.

use std::thread;
use std::time::Duration;

use eventsink_e2e::tcp_proxy::Line;
use eventsink_e2e::{Kafka, Mix, TcpProxy, Worker, patiently, produce};

use crate::scene::{SOON, Scene};

/// `/health` must say 200 all the while that `what` lasts.
fn stays_healthy(worker: &mut Worker, what: &str, lasts: Duration) {
    let look = Duration::from_millis(500);
    for _ in 0..lasts.as_millis() / look.as_millis() {
        worker.assert_alive();
        assert_eq!(worker.code_of("/health"), Some(200), "{what} would restart the worker");
        thread::sleep(look);
    }
}

#[test]
fn row_12_the_coordinator_restarts() {
    let kafka = Kafka::three_brokers();
    let topic = kafka.create_topic_on("row-12", &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]], &[]);
    let mut scene = Scene::on(&kafka, "row-12", topic, 3);
    let mut worker = scene.start();
    worker.wait_until_ready();
    let mix = Mix { pace: Some(500), ..Mix::of(30_000, 3) };
    let (topic, list) = (scene.topic.clone(), scene.list());
    thread::scope(|scope| {
        let producing = scope.spawn(|| produce(&kafka, &topic, &mix, &list));
        for end in [Kafka::stop_broker, Kafka::kill_broker] {
            patiently(SOON, "the group commits", || {
                match committed(&kafka, &topic) {
                    0 => Err("nothing is committed"),
                    _ => Ok(()),
                }
                .map_err(str::to_owned)
            });
            let coordinator = patiently(SOON, "the group has a coordinator", || kafka.coordinator(&topic));
            end(&kafka, coordinator);
            stays_healthy(&mut worker, "an absent coordinator", Duration::from_secs(8));
            kafka.start_broker(coordinator);
            stays_healthy(&mut worker, "a coordinator that returns", Duration::from_secs(2));
        }
        producing.join().expect("the producer did not panic")
    });
    scene.prove(vec![worker]);
}

/// Longer than librdkafka waits for an answer (`socket.timeout.ms`, 60 s) before it gives a connection up.
const SILENCE: Duration = Duration::from_secs(120);
/// More than twice the session timeout: the group has given the partitions away. A refusal is known at once, so that
/// nothing else waits for longer.
const REFUSAL: Duration = Duration::from_secs(15);
const PACE: u32 = 500;

fn cut_off(stem: &str, line: Line, lasts: Duration) {
    let proxy = TcpProxy::start();
    let kafka = Kafka::behind(&proxy);
    let mut scene = Scene::new(&kafka, stem, 3);
    let consumer = scene.settings["kafka"]["consumer"].clone();
    scene.settings["kafka"] = kafka.settings_by(&proxy);
    scene.settings["kafka"]["consumer"] = consumer;
    let mut worker = scene.start();
    worker.wait_until_ready();
    // More than the cut lasts, so that there is something to read all the while.
    let mix = Mix { pace: Some(PACE), ..Mix::of(u64::from(PACE) * (lasts.as_secs() + 10), 3) };
    let (topic, list) = (scene.topic.clone(), scene.list());
    thread::scope(|scope| {
        let producing = scope.spawn(|| produce(&kafka, &topic, &mix, &list));
        patiently(SOON, "the worker reads", || match worker.metric("eventsink_records_written_total") {
            Some(written) if written > 0.0 => Ok(()),
            written => Err(format!("{written:?}")),
        });
        proxy.set(line);
        stays_healthy(&mut worker, "a cut network", lasts);
        let before = committed(&kafka, &topic);
        stays_healthy(&mut worker, "a cut network", Duration::from_secs(1));
        assert_eq!(committed(&kafka, &topic), before, "the network is cut");
        proxy.set(Line::Open);
        producing.join().expect("the producer did not panic")
    });
    scene.prove(vec![worker]);
}

fn committed(kafka: &Kafka, topic: &str) -> i64 {
    kafka.progress(topic, topic).expect("the broker answers").iter().map(|one| one.0).sum()
}

#[test]
fn row_13_the_network_is_silent_past_the_session() {
    cut_off("row-13-silent", Line::Silent, SILENCE);
}

#[test]
fn row_13_the_network_refuses_past_the_session() {
    cut_off("row-13-refused", Line::Refused, REFUSAL);
}
