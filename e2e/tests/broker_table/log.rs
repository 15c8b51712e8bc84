//! The rows about a partition's log, on a real broker.

use crate::group::number;
use crate::wire::{self, Body, Connection};
use eventsink_e2e::{Kafka, patiently};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600_000;
/// 2025-01-21T10:00:00Z in milliseconds.
const START: i64 = 1_737_453_600_000;

/// A topic of one partition and those who write to it.
pub struct Log<'a> {
    kafka: &'a Kafka,
    topic: String,
    open: Option<BaseProducer>,
    records: i64,
}

impl<'a> Log<'a> {
    pub fn new(kafka: &'a Kafka, play: &str) -> Self {
        // Records are an hour apart, so each begins a segment, and only the last one escapes the cleaner.
        let compacted = [("cleanup.policy", "compact"), ("segment.ms", "60000"), ("min.cleanable.dirty.ratio", "0.01")];
        let settings = if play.contains("compaction") { &compacted[..] } else { &[] };
        Self { kafka, topic: kafka.create_topic_with("table", 1, settings), open: None, records: 0 }
    }

    pub fn act(&mut self, words: &[&str]) -> String {
        match *words {
            ["write", count] => self.write(&self.producer(false), number(count), "w"),
            ["rewrite", count] => self.write(&self.producer(false), number(count), "r"),
            ["transaction", count, how @ ("commits" | "aborts" | "stays")]
            | ["transaction", count, how @ "stays", "open"] => {
                self.begin(number(count));
                if how != "stays" { self.end(how) } else { String::new() }
            }
            ["the", "transaction", how] => self.end(how),
            ["records", "below", offset, "are", "deleted"] => {
                self.kafka.delete_records_below(&self.topic, 0, number(offset));
                String::new()
            }
            ["compaction", "reaches", offset] => patiently(SOON, "the cleaner has been there", || {
                let records = self.read(0);
                if records.starts_with(offset) { Ok(String::new()) } else { Err(records) }
            }),
            ["the", "broker", "restarts"] => {
                self.kafka.stop();
                self.kafka.start_again();
                String::new()
            }
            ["low"] => self.watermarks("read_committed").0.to_string(),
            ["stable"] => self.watermarks("read_committed").1.to_string(),
            ["high"] => self.watermarks("read_uncommitted").1.to_string(),
            ["read", offset] => self.read(number(offset)),
            ["end", "of", "epoch", epoch] => self.end_of_epoch(number(epoch)),
            _ => panic!("nobody knows how to do {words:?}"),
        }
    }

    fn producer(&self, transactional: bool) -> BaseProducer {
        let mut config = self.kafka.client();
        if transactional {
            config.set("transactional.id", &self.topic);
        }
        config.create().expect("a producer")
    }

    fn write(&mut self, producer: &BaseProducer, count: usize, key: &str) -> String {
        for _ in 0..count {
            let record = BaseRecord::to(&self.topic).key(key).payload("x").timestamp(START + self.records * HOUR);
            assert!(producer.send(record).is_ok(), "the producer takes it");
            // Alone in its batch, or it would share a segment.
            producer.flush(SOON).expect("the broker has it");
            self.records += 1;
        }
        String::new()
    }

    fn begin(&mut self, count: usize) {
        let producer = self.producer(true);
        producer.init_transactions(SOON).expect("transactions");
        producer.begin_transaction().expect("a transaction");
        self.write(&producer, count, "t");
        self.open = Some(producer);
    }

    fn end(&mut self, how: &str) -> String {
        let producer = self.open.take().expect("an open transaction");
        let ended = if how == "commits" { producer.commit_transaction(SOON) } else { producer.abort_transaction(SOON) };
        ended.expect("the transaction ends");
        // The coordinator answers before the marker is in the log.
        patiently(SOON, "the marker is there", || {
            let (stable, high) = (self.watermarks("read_committed").1, self.watermarks("read_uncommitted").1);
            if stable == high { Ok(String::new()) } else { Err(format!("{stable} of {high}")) }
        })
    }

    fn consumer(&self, isolation: &str) -> BaseConsumer {
        let mut config = self.kafka.client();
        config.set("group.id", "nobody").set("auto.offset.reset", "error").set("enable.auto.commit", "false");
        config.set("isolation.level", isolation).set("enable.partition.eof", "true").create().expect("a consumer")
    }

    fn watermarks(&self, isolation: &str) -> (i64, i64) {
        patiently(SOON, "the leader answers", || {
            self.consumer(isolation).fetch_watermarks(&self.topic, 0, SOON).map_err(|error| error.to_string())
        })
    }

    /// The offsets that a consumer is given, and its position at the end; or why it is given none.
    fn read(&self, from: i64) -> String {
        let consumer = self.consumer("read_committed");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(from)).expect("an offset");
        consumer.assign(&list).expect("an assignment");
        let mut told = String::new();
        loop {
            match consumer.poll(SOON).expect("an answer of the broker") {
                Ok(record) => told += &format!("{} ", record.offset()),
                Err(KafkaError::PartitionEOF(_)) => break,
                Err(KafkaError::MessageConsumption(code)) => return format!("{told}{code:?}"),
                Err(error) => panic!("{error}"),
            }
        }
        let position = consumer.position().expect("a position");
        match position.elements()[0].offset() {
            Offset::Offset(position) => format!("{told}then {position}"),
            _ => format!("{told}then nothing"),
        }
    }

    fn end_of_epoch(&self, epoch: i32) -> String {
        let body = Body::default().i32(1).text(&self.topic).i32(1).i32(0).i32(-1).i32(epoch);
        let mut answer = Connection::to(self.kafka.plaintext()).ask(wire::OFFSET_FOR_LEADER_EPOCH, body);
        let (_throttle, _topics, _topic, _partitions) = (answer.i32(), answer.i32(), answer.text(), answer.i32());
        let (error, _partition, epoch, end) = (answer.i16(), answer.i32(), answer.i32(), answer.i64());
        if error == 0 { format!("{end} of epoch {epoch}") } else { wire::name(error) }
    }
}
