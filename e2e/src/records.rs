//! Single records, as bytes: sent to where a test wants them, and read back from a whole topic.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::Kafka;
use crate::rig::patiently;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A record as it stands in a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset; given by the broker.
    pub offset: i64,
    /// Key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is null.
    pub value: Option<Vec<u8>>,
    /// Headers in order, values `None` when null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// Value of the only header of this name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let value = values.next().and_then(|(_, value)| value.as_deref());
        assert!(values.next().is_none(), "header {name} is there twice in {self:?}");
        value.map(|value| std::str::from_utf8(value).expect("text"))
    }
}

/// Sends records in order and waits until the broker has them.
pub fn send_all(kafka: &Kafka, topic: &str, records: &[Record]) {
    let producer: ThreadedProducer<DefaultProducerContext> =
        kafka.client().set("enable.idempotence", "true").create().expect("a producer");
    for record in records {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: value.as_deref() }));
        let mut sent = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition).headers(headers);
        (sent.key, sent.payload) = (record.key.as_deref(), record.value.as_deref());
        assert!(producer.send(sent).is_ok(), "the producer takes it");
    }
    producer.flush(TIMEOUT).expect("the broker has them");
}

/// All records of a topic, partition by partition.
#[must_use]
pub fn read_all(kafka: &Kafka, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = kafka.client().set("group.id", topic).create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("the topic is there");
    let mut left = 0;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT).expect("a log");
        list.add_partition_offset(topic, partition.id(), Offset::Offset(low)).expect("an offset");
        left += high - low;
    }
    consumer.assign(&list).expect("an assignment");
    let mut records = Vec::new();
    while left > 0 {
        let message = patiently(TIMEOUT, "all records of the topic", || match consumer.poll(TIMEOUT) {
            Some(Ok(message)) => Ok(message),
            other => Err(format!("{other:?}")),
        });
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        records.push(Record {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
        });
        left -= 1;
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}
