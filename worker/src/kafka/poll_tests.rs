//! What the poll thread remembers of commands and partitions; no broker is asked.

use super::*;
use eventsink_crds::settings::Kafka;
use std::sync::mpsc::{Sender, channel};

fn partition() -> TopicPartition {
    named(("t".to_owned(), 0))
}

/// A poller of an unreachable broker that has one partition.
fn poller() -> (Poller, Sender<Command>) {
    let mut kafka = Kafka::default();
    kafka.consumer.group_id = "g".to_owned();
    let consumer = crate::kafka::client::consumer(&kafka, 1 << 20).unwrap();
    let (commands, orders) = channel();
    let shared = (Arc::new(Budget::new(1 << 20)), Arc::default(), Instant::now());
    let mut poller = Poller::new(consumer, orders, Box::new(|_, _| {}), shared, Duration::from_secs(60));
    poller.assigned(vec![partition()]);
    (poller, commands)
}

#[test]
fn a_stop_that_comes_while_a_partition_leaves_is_not_forgotten() {
    let (mut poller, commands) = poller();
    commands.send(Command::Shutdown).unwrap();
    commands.send(Command::Released(partition())).unwrap();
    poller.leave(&[partition()], false);
    assert!(poller.stopping);
}

#[test]
fn a_lane_that_lets_go_too_late_does_not_touch_the_next_assignment() {
    let (mut poller, _commands) = poller();
    poller.abandon(&[partition()]);
    poller.assigned(vec![partition()]);
    poller.command(Command::Seek { at: partition(), offset: 7, epoch: -1, generation: 9 });
    poller.command(Command::Released(partition()));
    assert!(poller.slots[&partition()].seek.is_none(), "the seek was of the earlier assignment");
    poller.command(Command::Seek { at: partition(), offset: 8, epoch: -1, generation: 1 });
    assert_eq!(poller.slots[&partition()].seek, Some((8, -1, 1)), "what follows the release is of this one");
}
