//! Sends a load to a topic of its own, as fast as the broker takes it; a load is sent once, however many cases read it.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use eventsink_e2e::Kafka;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::case::Load;
use crate::events::{Made, make};

/// Makes a topic with the load in it and gives its name.
pub fn fill(kafka: &Kafka, load: &Load) -> String {
    let topic = kafka.create_topic("bench", load.partitions);
    eprintln!("{topic}: sending {} records of {} bytes to {} partitions", load.events, load.size, load.partitions);
    let producer: ThreadedProducer<DefaultProducerContext> = kafka
        .client()
        .set("linger.ms", "50")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("acks", "1")
        .create()
        .unwrap_or_else(|error| panic!("cannot make a producer: {error}"));
    let mut made = Made::default();
    for number in 0..load.events {
        make(load, number, &mut made);
        let partition = (number % load.partitions.unsigned_abs() as u64) as i32;
        send(&producer, &topic, partition, &made);
    }
    producer.flush(Duration::from_secs(120)).unwrap_or_else(|error| panic!("the broker took not everything: {error}"));
    topic
}

/// Sends so many records a second to the partitions in turn; gives for each partition when its records were sent.
pub fn pace(kafka: &Kafka, topic: &str, load: &Load, per_second: u32) -> Vec<Vec<SystemTime>> {
    let producer: ThreadedProducer<DefaultProducerContext> =
        kafka.client().create().unwrap_or_else(|error| panic!("cannot make a producer: {error}"));
    let mut sent = vec![Vec::new(); load.partitions.unsigned_abs() as usize];
    let (begun, mut made) = (Instant::now(), Made::default());
    for number in 0..load.events {
        let due = Duration::from_secs_f64(number as f64 / f64::from(per_second));
        thread::sleep(due.saturating_sub(begun.elapsed()));
        make(load, number, &mut made);
        let partition = (number % sent.len() as u64) as usize;
        sent[partition].push(SystemTime::now());
        send(&producer, topic, partition as i32, &made);
    }
    producer.flush(Duration::from_secs(60)).unwrap_or_else(|error| panic!("the broker took not everything: {error}"));
    sent
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, partition: i32, made: &Made) {
    let headers = made.headers.iter().fold(OwnedHeaders::new_with_capacity(made.headers.len()), |all, (key, value)| {
        all.insert(Header { key, value: Some(value) })
    });
    let mut record = BaseRecord::to(topic)
        .partition(partition)
        .timestamp(made.timestamp)
        .key(&made.key)
        .payload(&made.value)
        .headers(headers);
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                thread::sleep(Duration::from_millis(5));
                record = back;
            }
            Err((error, _)) => panic!("cannot produce: {error}"),
        }
    }
}
