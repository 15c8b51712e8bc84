//! Wakes the library's threads that fetch. One that found nothing to fetch sleeps for up to a second, and a resume does
//! not end that; a request to the same broker does. Where it does not reach them they wake by themselves, up to that second
//! late: while a broker that does not answer is waited for, and where a follower is read from (`client_rack`), since
//! leaders are asked.

use super::list;
use crate::kafka::TopicPartition;
use crate::kafka::client::Context;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::{debug, warn};

/// A broker has as long as the library itself gives it: where a question ends before, the library gives up the connection.
const ANSWER: Duration = Duration::from_secs(60);

/// Partitions whose leaders are to be asked.
type Called = Mutex<BTreeSet<TopicPartition>>;

/// A thread that asks the leaders of partitions for something, one question at a time, since asking blocks. The library's
/// question without waiting, `ListOffsets`, may touch what it has freed when a leader is unknown.
pub(super) struct Waker {
    called: Arc<Called>,
    bell: SyncSender<()>,
}

impl Waker {
    /// The waker of `consumer`, which lives until this is dropped and the last question is answered.
    pub fn of(consumer: &Arc<BaseConsumer<Context>>) -> Self {
        let (waker, rings) = Self::new();
        let (consumer, called) = (Arc::clone(consumer), Arc::clone(&waker.called));
        let thread = std::thread::Builder::new().name("waker".to_owned());
        if let Err(error) = thread.spawn(move || run(&consumer, &called, &rings)) {
            warn!(%error, "no thread to wake those that fetch: they start up to a second later");
        }
        waker
    }

    fn new() -> (Self, Receiver<()>) {
        let (bell, rings) = sync_channel(1);
        (Self { called: Arc::default(), bell }, rings)
    }

    /// Wakes the threads of the brokers that lead these partitions. Returns at once.
    pub fn wake(&self, partitions: Vec<TopicPartition>) {
        lock(&self.called).extend(partitions);
        // It rings already, or there is no thread.
        let _ = self.bell.try_send(());
    }
}

#[cfg(test)]
impl Waker {
    /// One without a thread.
    pub fn asleep() -> Self {
        Self::new().0
    }

    /// The partitions that were to be woken since the last call.
    pub fn called(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut *lock(&self.called)).into_iter().collect()
    }
}

fn lock(called: &Called) -> MutexGuard<'_, BTreeSet<TopicPartition>> {
    called.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(consumer: &BaseConsumer<Context>, called: &Called, rings: &Receiver<()>) {
    while rings.recv().is_ok() {
        let partitions: Vec<_> = std::mem::take(&mut *lock(called)).into_iter().collect();
        // A call that came just before was taken with the ring before.
        if partitions.is_empty() {
            continue;
        }
        if let Err(error) = ask(consumer, &partitions) {
            debug!(%error, "leaders of partitions could not be asked");
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
    fn calls_are_collected_until_the_bell_is_heard() {
        let (waker, rings) = Waker::new();
        let at = |number| named(("t".to_owned(), number));
        waker.wake(vec![at(1), at(0)]);
        waker.wake(vec![at(1)]);
        assert_eq!((rings.try_recv(), rings.try_recv().is_err()), (Ok(()), true));
        assert_eq!(waker.called(), [at(0), at(1)]);
        waker.wake(vec![at(2)]);
        assert_eq!((rings.try_recv(), waker.called()), (Ok(()), vec![at(2)]));
    }

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
