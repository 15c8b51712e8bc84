//! The rows about librdkafka: what a consumer is told when it, and not the play, chooses its requests.

use crate::group::number;
use eventsink_e2e::{Kafka, patiently};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(50);

/// Commits what it must give up, and keeps the answer.
#[derive(Default)]
struct Context {
    revoked: Mutex<Vec<i32>>,
    in_revocation: Mutex<String>,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        for element in list.elements() {
            let answer = commit(consumer, (element.topic(), element.partition()), 50);
            *self.in_revocation.lock().expect("a lock") = answer;
            self.revoked.lock().expect("a lock").push(element.partition());
        }
    }
}

/// Two consumers of one group on a topic of two partitions.
pub struct Clients<'a> {
    kafka: &'a Kafka,
    topic: String,
    consumers: BTreeMap<String, BaseConsumer<Context>>,
}

impl<'a> Clients<'a> {
    pub fn new(kafka: &'a Kafka) -> Self {
        Self { kafka, topic: kafka.create_topic("table", 2), consumers: BTreeMap::new() }
    }

    pub fn act(&mut self, words: &[&str]) -> String {
        match *words {
            [who, ref rest @ ..] => self.consumer_acts(who, rest),
            [] => panic!("an empty step"),
        }
    }

    fn consumer_acts(&mut self, who: &str, words: &[&str]) -> String {
        if !self.consumers.contains_key(who) {
            self.consumers.insert(who.to_owned(), self.consumer());
        }
        let consumer = &self.consumers[who];
        match *words {
            ["subscribes"] => {
                consumer.subscribe(&[&self.topic]).expect("a subscription");
                self.settle()
            }
            ["assigns"] => {
                let mut list = TopicPartitionList::new();
                list.add_partition(&self.topic, 0);
                consumer.assign(&list).expect("an assignment");
                String::new()
            }
            ["gave", "up"] => consumer.context().in_revocation.lock().expect("a lock").clone(),
            ["commits", "kept", offset] => self.commit(consumer, self.kept(), number(offset)),
            ["commits", "moved", offset] => self.commit(consumer, 1 - self.kept(), number(offset)),
            ["commits", "first", offset] => self.commit(consumer, 0, number(offset)),
            ["fetches"] => self.fetch(consumer),
            ["dawdles"] => self.dawdle(who),
            ["polls"] => patiently(SOON, "the consumer is told", || match consumer.poll(MOMENT) {
                Some(Err(KafkaError::MessageConsumption(code))) => Ok(format!("{code:?}")),
                other => Err(format!("{:?}", other.map(|record| record.is_ok()))),
            }),
            ["settles"] => self.settle(),
            _ => panic!("nobody knows how to do {words:?}"),
        }
    }

    fn consumer(&self) -> BaseConsumer<Context> {
        let mut config = self.kafka.client();
        config.set("group.id", &self.topic).set("partition.assignment.strategy", "cooperative-sticky");
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        config
            .set("session.timeout.ms", "3000")
            .set("heartbeat.interval.ms", "300")
            .set("max.poll.interval.ms", "4000");
        config.create_with_context(Context::default()).expect("a consumer")
    }

    /// Polls all until both partitions are spread evenly over those who subscribed.
    fn settle(&self) -> String {
        let each = 2 / self.consumers.len();
        patiently(SOON, "the partitions are spread", || {
            let owned = |consumer: &BaseConsumer<Context>| {
                let _ = consumer.poll(MOMENT);
                consumer.assignment().map_or(0, |list| list.count())
            };
            let owned: Vec<_> = self.consumers.values().map(owned).collect();
            if owned.iter().all(|owned| *owned == each) { Ok(String::new()) } else { Err(format!("{owned:?}")) }
        })
    }

    /// One consumer does not poll until its group has given all to the other.
    fn dawdle(&self, who: &str) -> String {
        let others = || self.consumers.iter().filter(|(name, _)| *name != who);
        patiently(SOON, "the other consumer has all", || {
            for (_, other) in others() {
                let _ = other.poll(MOMENT);
                if other.assignment().is_ok_and(|list| list.count() == 2) {
                    return Ok(String::new());
                }
            }
            Err("not yet".to_owned())
        })
    }

    /// The partition that the first consumer did not give up.
    fn kept(&self) -> i32 {
        let revoked = self.consumers["A"].context().revoked.lock().expect("a lock");
        1 - revoked.first().copied().expect("the first consumer gave one up")
    }

    fn commit(&self, consumer: &BaseConsumer<Context>, partition: i32, offset: i64) -> String {
        commit(consumer, (&self.topic, partition), offset)
    }

    fn fetch(&self, consumer: &BaseConsumer<Context>) -> String {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, 0);
        let committed = consumer.committed_offsets(list, SOON).expect("the coordinator answers");
        committed.elements()[0].offset().to_raw().filter(|offset| *offset >= 0).map_or("none".into(), |o| o.to_string())
    }
}

fn commit(consumer: &BaseConsumer<Context>, (topic, partition): (&str, i32), offset: i64) -> String {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
    told(consumer.commit(&list, CommitMode::Sync))
}

fn told(result: KafkaResult<()>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| format!("{code:?}")),
    }
}
