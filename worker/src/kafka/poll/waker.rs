//! Wakes the library's threads that fetch. One that found nothing to fetch sleeps for up to a second, and neither a seek
//! nor a resume ends that; a request to the same broker does.

use super::list;
use crate::kafka::TopicPartition;
use crate::kafka::client::Context;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tracing::{debug, warn};

/// As long as the library itself waits for an answer: earlier it would give up the connection.
const ANSWER: Duration = Duration::from_secs(60);

/// A thread that asks the leaders of partitions for something, one question at a time, since asking blocks. The library's
/// question without waiting, `ListOffsets`, may touch what it has freed when a leader is unknown.
pub(super) struct Waker(Sender<Vec<TopicPartition>>);

impl Waker {
    /// The waker of `consumer`, which lives until this is dropped and the last question is answered.
    pub fn of(consumer: &Arc<BaseConsumer<Context>>) -> Self {
        let (sender, partitions) = channel();
        let consumer = Arc::clone(consumer);
        let thread = std::thread::Builder::new().name("waker".to_owned());
        if let Err(error) = thread.spawn(move || run(&consumer, &partitions)) {
            warn!(%error, "no thread to wake those that fetch: they start up to a second later");
        }
        Self(sender)
    }

    /// Wakes the threads of the brokers that lead these partitions. Returns at once.
    pub fn wake(&self, partitions: Vec<TopicPartition>) {
        // Without the thread, those that fetch wake by themselves.
        let _ = self.0.send(partitions);
    }

    #[cfg(test)]
    pub fn to(sender: Sender<Vec<TopicPartition>>) -> Self {
        Self(sender)
    }
}

fn run(consumer: &BaseConsumer<Context>, partitions: &Receiver<Vec<TopicPartition>>) {
    while let Ok(mut asked) = partitions.recv() {
        asked.extend(partitions.try_iter().flatten());
        asked.sort_unstable();
        asked.dedup();
        if let Err(error) = ask(consumer, &asked) {
            debug!(%error, "the leaders of partitions do not answer");
        }
    }
}

/// Asks for the ends of logs; the answer is of no interest.
fn ask(consumer: &BaseConsumer<Context>, partitions: &[TopicPartition]) -> KafkaResult<TopicPartitionList> {
    consumer.offsets_for_times(list(partitions, Offset::End), ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::named;
    use eventsink_crds::settings::Kafka;
    use rdkafka::mocking::MockCluster;

    #[test]
    fn the_leaders_of_all_partitions_are_asked() {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("t", 3, 1).unwrap();
        let mut kafka =
            Kafka { bootstrap_servers: [cluster.bootstrap_servers()].into_iter().collect(), ..Kafka::default() };
        kafka.consumer.group_id = "g".to_owned();
        let consumer = crate::kafka::client::consumer(&kafka, 1 << 20).unwrap();
        let partitions: Vec<_> = (0..3).map(|number| named(("t".to_owned(), number))).collect();
        let answer = ask(&consumer, &partitions).unwrap();
        assert!(answer.elements().iter().all(|element| element.error().is_ok()), "{answer:?}");
        assert_eq!(answer.count(), 3);
    }
}
