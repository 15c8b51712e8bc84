//! Records that nobody can want, and a clock that is wrong: rows 23 to 25.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use eventsink_e2e::produce::checksum;
use eventsink_e2e::{Kafka, Mix, Target, Worker, folder, patiently, read_all, settings, verify, worker};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene};

/// Reason of the hold of each partition that holds, by number.
fn holds(worker: &Worker) -> Vec<(i64, String)> {
    let status = worker.status().unwrap_or_default();
    let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
    let reason = |one: &Value| Some((one["partition"].as_i64()?, one["hold"]["reason"].as_str()?.to_owned()));
    let mut holds: Vec<_> = partitions.iter().filter_map(reason).collect();
    holds.sort();
    holds
}

/// Waits until the group has committed the end of these partitions.
fn drain_only(scene: &Scene<'_>, worker: &mut Worker, partitions: &[usize]) {
    patiently(SOON, "the others progress", || {
        worker.assert_alive();
        let progress = scene.kafka.progress(&scene.topic, &scene.topic)?;
        let behind = partitions.iter().any(|one| progress[*one].0 < progress[*one].1);
        if behind { Err(format!("{progress:?}, holds {:?}", holds(worker))) } else { Ok(()) }
    });
}

#[test]
fn row_23_poison_while_the_broker_of_the_dead_letter_topic_is_down() {
    let kafka = Kafka::three_brokers();
    let topic = kafka.create_topic_on("row-23", &[&[1], &[1], &[2]], &[]);
    let dead = kafka.create_topic_on("row-23-dead", &[&[3]], &[]);
    let mut scene = Scene::on(&kafka, "row-23", topic, 3);
    scene.settings["dead_letter"] = json!({"topic": dead});
    let mut worker = scene.start();
    worker.wait_until_ready();
    kafka.kill_broker(3);
    scene.produce_mix(&Mix { invalid_per_thousand: 0, ..Mix::of(3_000, 3) });
    scene.produce_mix(&Mix { seed: 2, ..Mix::of(3_000, 1) });
    drain_only(&scene, &mut worker, &[1, 2]);
    patiently(SOON, "the partition with poison holds", || match holds(&worker) {
        holds if holds == [(0, "DeadLetterTopic".to_owned())] => Ok(()),
        holds => Err(format!("{holds:?}")),
    });
    let progress = kafka.progress(&scene.topic, &scene.topic).expect("two brokers answer");
    assert!(progress[0].0 < progress[0].1, "the offset waits for the copies: {progress:?}");
    kafka.start_broker(3);
    scene.prove(vec![worker]);

    let copies = read_all(&kafka, &dead);
    let copied: BTreeSet<_> = copies.iter().filter_map(|copy| copy.header("eventsink.dlq.offset")).collect();
    let reasons: BTreeSet<_> = copies.iter().filter_map(|copy| copy.header("eventsink.dlq.reason")).collect();
    assert_eq!(copied.len() as u64, scene.listed().1, "each dead letter was copied");
    assert!(reasons.len() >= 5, "{reasons:?}");
}

/// Sends one event with this value to a partition; returns its offset.
fn send_giant(scene: &Scene<'_>, partition: i32, codec: &str, value: &[u8]) -> i64 {
    let mut client = scene.kafka.client();
    client.set("message.max.bytes", "1000000000").set("compression.type", codec).set("linger.ms", "0");
    let producer: ThreadedProducer<DefaultProducerContext> = client.create().expect("a producer");
    let attributes = [("ce_specversion", "1.0"), ("ce_id", "giant"), ("ce_source", "/giant"), ("ce_type", "giant")];
    let headers = attributes
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    let record = BaseRecord::<(), [u8]>::to(&scene.topic).partition(partition).timestamp(1_737_453_600_000);
    assert!(producer.send(record.payload(value).headers(headers)).is_ok(), "the producer takes it");
    producer.flush(Duration::from_secs(120)).expect("the broker has it");
    let place = usize::try_from(partition).expect("a partition");
    patiently(SOON, "the broker answers", || scene.kafka.progress("nobody", &scene.topic))[place].1 - 1
}

/// Bytes that no codec makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(next).collect()
}

#[test]
fn row_24_records_that_are_too_large_and_batches_that_never_decode() {
    const BUDGET: u64 = 64 << 20;
    let kafka = Kafka::shared();
    let topic = kafka.create_topic_with("row-24", 4, &[("max.message.bytes", "100000000")]);
    let mut scene = Scene::on(kafka, "row-24", topic, 4);
    scene.settings["memory"] = json!({"budget": "64MiB"});
    scene.produce(2_000, None);
    let large = noise(50 << 20);
    let at = send_giant(&scene, 0, "none", &large);
    // More than the library ever decodes, and less than that but more than the last buffer that it tries.
    let bomb = send_giant(&scene, 1, "zstd", &vec![b'a'; 400 << 20]);
    let between = send_giant(&scene, 2, "zstd", &vec![b'a'; 95_000_000]);
    scene.produce_mix(&Mix { seed: 2, ..Mix::of(2_000, 4) });
    let mut worker = scene.start();
    let mut most = 0;
    patiently(SOON, "the others progress", || {
        worker.assert_alive();
        most = most.max(worker.resident_bytes());
        let progress = kafka.progress(&scene.topic, &scene.topic)?;
        let stalled: Vec<_> =
            holds(&worker).into_iter().map(|(partition, reason)| format!("{partition} {reason}")).collect();
        let behind = [0, 3].iter().any(|one: &usize| progress[*one].0 < progress[*one].1);
        // Whatever came before a batch that does not decode is landed.
        let landed = (progress[1].0, progress[2].0) == (bomb, between);
        match stalled == ["1 PartitionStalled", "2 PartitionStalled"] && landed && !behind {
            true => Ok(()),
            false => Err(format!("{progress:?}, {stalled:?}, {most} bytes")),
        }
    });
    eprintln!("row 24: at most {} MiB resident", most >> 20);
    // What the library needs to try a batch of 95 MB and the copies of a record of 50 MB on its way into a file.
    assert!(most < BUDGET + (512 << 20), "{most} bytes resident");
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    for (partition, batch) in [(1, bomb), (2, between)] {
        scene.forget(partition, batch..i64::MAX);
    }
    let line = format!("0,{at},,giant,{}\n", checksum(Some(&large)));
    let list = fs::read_to_string(scene.list()).expect("a list") + &line;
    fs::write(scene.list(), list).expect("a list");
    scene.prove_files();
}

/// The library that puts a process's wall clock off, made from `clock.c`.
fn shim(folder: &Path) -> PathBuf {
    let (source, library) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/clock.c"), folder.join("clock.so"));
    let done = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(done.is_ok_and(|status| status.success()), "cc cannot make the clock");
    library
}

#[test]
fn row_25_the_clock_jumps_a_day() {
    const DAY: i64 = 86_400;
    let mut scene = Scene::new(Kafka::shared(), "row-25", 2);
    let lake = scene.space.join("lake");
    let target = Target::Folder(&lake);
    // A store would refuse requests that are signed a day off, which is another fault.
    scene.settings["storage"] = target.settings();
    scene.settings["rotation"] = json!({"max_age": "1h", "max_idle": "1h", "max_records": 1000});
    let offset = scene.space.join("offset");
    let set_clock = |seconds: i64| fs::write(&offset, seconds.to_string()).expect("a file");
    set_clock(0);
    let library = shim(lake.parent().expect("the scene's folder"));
    let variables = [("LD_PRELOAD", library.as_path()), ("CLOCK_OFFSET_FILE", offset.as_path())];
    let config = settings::write(scene.space.join("sink.yaml"), &scene.settings);
    let start = |log: &str| Worker::start_with(&config, scene.space.join(log), &variables);

    let mut worker = start("jumps.log");
    scene.produce(5_500, None);
    let buffered = |worker: &Worker| {
        let status = worker.status().unwrap_or_default();
        let of = |name: &str| {
            status["partitions"].as_array().map_or(0, |all| all.iter().filter_map(|p| p[name].as_u64()).sum())
        };
        (of("buffered"), of("oldest_unpersisted_ms"))
    };
    let commits = |worker: &Worker| worker.metric("eventsink_last_commit_timestamp_seconds").unwrap_or(0.0) as i64;
    let settles = |worker: &Worker| {
        patiently(SOON, "the full cuts are written", || match (kafka_committed(&scene), buffered(worker).0) {
            (written, waiting) if written + waiting == scene.listed().0 + scene.listed().1 && waiting < 2_000 => {
                Ok(waiting)
            }
            seen => Err(format!("{seen:?}")),
        })
    };
    let waiting = settles(&worker);
    let cuts = folder::ledger(&lake, "cuts").len();
    for days in [1, -1] {
        set_clock(days * DAY);
        // Several ticks, at which a cut of that age would close.
        thread::sleep(Duration::from_secs(2));
        assert_eq!(folder::ledger(&lake, "cuts").len(), cuts, "a jump of {days} days closed a cut");
        let (now, age) = buffered(&worker);
        assert!(now == waiting && age < 3_600_000, "{now} records of {waiting}, {age} ms old");
        assert_eq!(worker.code_of("/health"), Some(200));
    }
    set_clock(DAY);
    scene.produce_mix(&Mix { seed: 2, ..Mix::of(5_500, 2) });
    let _ = settles(&worker);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    assert!((commits(&worker) - now - DAY).abs() < 600, "the worker's clock is a day ahead");
    worker.kill9();

    scene.settings["rotation"] = json!({"max_age": "1s", "max_idle": "500ms"});
    let config = settings::write(scene.space.join("sink.yaml"), &scene.settings);
    set_clock(-DAY);
    let mut worker = Worker::start_with(&config, scene.space.join("successor.log"), &variables);
    scene.drain(std::slice::from_mut(&mut worker));
    assert_eq!(worker.terminate().code(), Some(0), "{}", worker.log());
    let report = verify(&scene.list(), &scene.topic, &target);
    assert_eq!((report.rows, report.dead), scene.listed());
    worker::audit(&config);
}

/// Sum of the group's commits.
fn kafka_committed(scene: &Scene<'_>) -> u64 {
    let progress = scene.kafka.progress(&scene.topic, &scene.topic).unwrap_or_default();
    progress.iter().map(|(committed, _)| committed.unsigned_abs()).sum()
}
