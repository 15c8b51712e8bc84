//! What the poll thread remembers of commands and partitions, and that it wakes the library.

use super::fetching::WAIT_FOR_ROOM;
use super::*;
use eventsink_crds::settings::Kafka;
use rdkafka::mocking::MockCluster;
use std::sync::mpsc::{Sender, channel};

fn partition() -> TopicPartition {
    named(("t".to_owned(), 0))
}

/// A poller of an unreachable broker that has one partition.
fn poller() -> (Poller, Sender<Command>) {
    poller_of(Kafka::default())
}

fn poller_of(mut kafka: Kafka) -> (Poller, Sender<Command>) {
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
    let seek = Seek { offset: 8, epoch: -1, generation: 1 };
    assert_eq!(poller.slots[&partition()].seek, Some(seek), "what follows the release is of this one");
}

/// A slot whose seek to 8 was done.
fn sought(poller: &mut Poller) -> &mut Slot {
    let slot = poller.slots.get_mut(&partition()).unwrap();
    slot.sought = Some(Seek { offset: 8, epoch: -1, generation: 1 });
    slot.generation = 1;
    slot
}

fn out_of_range(offset: i64) -> Fault {
    let partition = Some(("t".to_owned(), 0));
    Fault { code: RDKafkaErrorCode::AutoOffsetReset, fatal: false, partition, offset, text: String::new() }
}

#[test]
fn an_offset_out_of_range_of_where_a_partition_was_parked_makes_it_seek_again() {
    let (mut poller, _commands) = poller();
    let seek = sought(&mut poller).sought;
    poller.fault(out_of_range(0)).unwrap();
    assert!(poller.slots[&partition()].stopped && poller.slots[&partition()].seek == seek);
}

#[test]
fn an_offset_out_of_range_that_was_sought_is_told() {
    let (mut poller, _commands) = poller();
    let (tell, told) = channel();
    poller.deliver = Box::new(move |_, delivery| tell.send(delivery).unwrap());
    sought(&mut poller);
    poller.fault(out_of_range(8)).unwrap();
    assert!(matches!(told.try_recv(), Ok(Delivery::Fault { generation: 1, .. })));
    assert_eq!(poller.slots[&partition()].seek, None);
}

#[test]
fn an_end_of_before_a_seek_says_nothing_of_what_follows_it() {
    let (mut poller, _commands) = poller();
    sought(&mut poller).seek = Some(Seek { offset: 3, epoch: -1, generation: 2 });
    poller.ends(&partition(), 9);
    assert_eq!(poller.slots[&partition()].end, -1);
    sought(&mut poller).seek = None;
    poller.ends(&partition(), 9);
    assert_eq!(poller.slots[&partition()].end, 9);
}

#[test]
fn a_pause_that_comes_while_a_seek_waits_outlives_it() {
    let (mut poller, _commands) = poller();
    poller.command(Command::Seek { at: partition(), offset: 8, epoch: -1, generation: 1 });
    assert!(!poller.fetches(&poller.slots[&partition()]), "nothing is fetched from before the seek");
    poller.command(Command::Pause(partition()));
    sought(&mut poller).seek = None;
    assert!(!poller.fetches(&poller.slots[&partition()]));
    poller.command(Command::Resume(partition()));
    assert!(poller.fetches(&poller.slots[&partition()]));
}

#[test]
fn whoever_fetches_again_is_woken() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let (mut poller, _commands) =
        poller_of(Kafka { bootstrap_servers: [cluster.bootstrap_servers()].into_iter().collect(), ..Kafka::default() });
    poller.waker = Waker::asleep();
    poller.consumer.assign(&list(&[partition()], PARKED)).unwrap();
    poller.assigned(vec![partition()]);
    poller.command(Command::Seek { at: partition(), offset: 0, epoch: -1, generation: 1 });
    for _ in 0..500 {
        poller.seek_pending();
        if poller.slots[&partition()].seek.is_none() {
            break;
        }
        assert_eq!(poller.waker.called(), [], "nothing is fetched before the seek");
        std::thread::sleep(POLL);
    }
    assert_eq!(poller.waker.called(), [partition()], "after a seek");
    poller.command(Command::Pause(partition()));
    assert_eq!(poller.waker.called(), []);
    poller.command(Command::Resume(partition()));
    assert_eq!(poller.waker.called(), [partition()], "after a pause");
    let limit = poller.budget.limit();
    poller.budget.add(limit);
    let now = Instant::now();
    poller.breathe(now);
    let fetches = |poller: &Poller| poller.fetches(&poller.slots[&partition()]);
    assert!(fetches(&poller), "room may be made in a moment");
    poller.breathe(now + WAIT_FOR_ROOM);
    assert!(!fetches(&poller));
    assert_eq!(poller.waker.called(), []);
    poller.budget.sub(limit);
    poller.breathe(now);
    assert!(fetches(&poller), "there is room");
    assert_eq!(poller.waker.called(), [partition()], "after a pause for want of memory");
}

#[test]
fn whoever_insists_does_not_wait_for_room() {
    let (mut poller, _commands) = poller();
    sought(&mut poller);
    poller.command(Command::Insist(partition(), true));
    poller.budget.add(poller.budget.limit());
    poller.breathe(Instant::now());
    assert!(!poller.breath.awaits_room(), "events are taken all the time");
}
