//! Simulated days: a producer, partitions and workers with a rate of their own; one plan every 15 seconds.

use super::*;

const STEP: u64 = 15;
const HOUR: u64 = 3600;

/// A topic and its workers.
struct World {
    scaling: Scaling,
    places: Vec<Place>,
    workers: i32,
    /// Records per second that a worker reads.
    rate: f64,
    memory: Memory,
    now: u64,
    /// After a change nobody reads for a moment.
    rebalances_until: u64,
    changes: u32,
    largest: i64,
}

impl World {
    fn new(partitions: i32, rate: f64) -> Self {
        let place = |partition| Place {
            partition: ("orders".to_owned(), partition),
            worker: 0,
            position: 0,
            high: 0,
            unread: 0,
            held: false,
        };
        Self {
            scaling: Scaling::default(),
            places: (0..partitions).map(place).collect(),
            workers: 1,
            rate,
            memory: Memory::default(),
            now: 0,
            rebalances_until: 0,
            changes: 0,
            largest: 0,
        }
    }

    fn unread(&self) -> i64 {
        self.places.iter().map(|place| place.unread).sum()
    }

    /// One step: records come in, workers read, the planner decides.
    fn step(&mut self, inflow: impl Fn(i32) -> f64) -> Plan {
        self.now += STEP;
        let workers = usize::try_from(self.workers).unwrap();
        let mut room = vec![self.rate * STEP as f64; workers];
        let mut shares = vec![0; workers];
        for (at, place) in self.places.iter_mut().enumerate() {
            place.worker = at % workers;
            shares[place.worker] += 1;
            place.high += (inflow(place.partition.1) * STEP as f64) as i64;
        }
        if self.now >= self.rebalances_until {
            for place in self.places.iter_mut().filter(|place| !place.held) {
                // What one partition leaves of its share, those after it may take.
                let share = room[place.worker] / f64::from(shares[place.worker]);
                let read = ((place.high - place.position) as f64).min(share);
                (room[place.worker], shares[place.worker]) = (room[place.worker] - read, shares[place.worker] - 1);
                place.position += read as i64;
            }
        }
        self.places.iter_mut().for_each(|place| place.unread = place.high - place.position);
        self.largest = self.largest.max(self.unread());
        let plan = plan(&self.scaling, self.workers, &self.places, &mut self.memory, Duration::from_secs(self.now));
        let most = self.scaling.max_replicas.min(self.places.len() as i32).max(self.scaling.min_replicas);
        assert!((self.scaling.min_replicas..=most).contains(&plan.replicas), "{plan:?}");
        if plan.replicas != self.workers {
            self.changes += 1;
            self.workers = plan.replicas;
            self.rebalances_until = self.now + 20;
        }
        plan
    }

    fn run(&mut self, seconds: u64, inflow: impl Fn(i32) -> f64) {
        (0..seconds / STEP).for_each(|_| drop(self.step(&inflow)));
    }

    /// Seconds until nothing is unread but what has just come.
    fn drains(&mut self, inflow: f64) -> u64 {
        let (began, partitions) = (self.now, self.places.len() as f64);
        while self.unread() as f64 > inflow * STEP as f64 * 2.0 {
            self.step(|_| inflow / partitions);
            assert!(self.now - began < 24 * HOUR, "it never drains: {} unread", self.unread());
        }
        self.now - began
    }
}

#[test]
fn a_steady_day_changes_nothing() {
    let mut world = World::new(12, 1000.0);
    world.run(24 * HOUR, |_| 50.0);
    assert_eq!((world.changes, world.workers, world.unread()), (0, 1, 0));
}

#[test]
fn a_backlog_at_the_first_start_is_drained_near_its_time_and_the_workers_leave_one_by_one() {
    let mut world = World::new(12, 1000.0);
    world.places.iter_mut().for_each(|place| (place.high, place.unread) = (200_000, 200_000));
    let took = world.drains(100.0);
    assert!(took < 900, "2,400,000 records took {took} s");
    let most = world.workers;
    assert!(most >= 6, "{most} workers");
    world.run(4 * HOUR, |_| 8.0);
    assert_eq!(world.workers, 1);
    let up = 4;
    assert!(world.changes <= up + u32::try_from(most).unwrap(), "{} changes", world.changes);
}

#[test]
fn a_bursty_day_does_not_flap() {
    let mut world = World::new(12, 1000.0);
    for _ in 0..24 {
        world.run(600, |_| 400.0);
        world.run(3000, |_| 20.0);
    }
    assert!(world.changes <= 24 * 10, "{} changes", world.changes);
    assert!(world.largest < 4_000_000, "{} unread", world.largest);
    assert!(world.drains(240.0) < 600);
}

#[test]
fn a_load_between_two_numbers_settles_on_one() {
    let mut world = World::new(12, 1000.0);
    world.run(2 * HOUR, |_| 165.0);
    let changes = world.changes;
    world.run(22 * HOUR, |_| 165.0);
    assert!(world.changes - changes <= 1, "{} changes in a constant day", world.changes - changes);
    assert!(world.unread() < 1_000_000, "{} unread", world.unread());
}

#[test]
fn one_hot_partition_is_said_and_not_answered_with_more_workers() {
    let mut world = World::new(12, 1000.0);
    let hot = |partition: i32| if partition == 0 { 1500.0 } else { 5.0 };
    world.run(4 * HOUR, hot);
    let plan = world.step(hot);
    assert_eq!(plan.reason, reason::PARTITION_SKEW, "{plan:?}");
    assert!(world.workers <= 2, "{} workers", world.workers);
}

#[test]
fn a_hot_partition_whose_neighbours_wait_behind_it_gets_more_workers() {
    let mut world = World::new(4, 1000.0);
    world.workers = 2;
    world.places[0].high = 8_000_000;
    world.places[2].high = 4_000_000;
    world.run(300, |_| 5.0);
    assert!(world.workers > 2, "{} workers for two partitions that share one", world.workers);
}

#[test]
fn a_partition_that_is_let_go_has_not_read_the_whole_log_at_once() {
    let mut world = World::new(2, 1000.0);
    world.run(DWELL.as_secs() + 4 * STEP, |_| 600.0);
    (world.places[1].held, world.places[1].position, world.places[1].high) = (true, -1, 30_000_000);
    world.step(|_| 600.0);
    (world.places[1].held, world.places[1].position) = (false, 9_000_000);
    world.step(|_| 600.0);
    let rate = world.memory.rate.expect("it was busy before");
    assert!(rate < 2000.0, "{rate} records/s");
}

#[test]
fn a_time_in_which_nobody_looked_is_no_time_of_quiet() {
    let mut world = World::new(12, 1000.0);
    world.workers = 4;
    world.run(DWELL.as_secs() + 4 * STEP, |_| 10.0);
    // Such as an API server that was away: everything was read meanwhile.
    world.now += 2 * HOUR;
    let back = world.step(|_| 10.0);
    assert_eq!(back.replicas, 4, "{back:?}");
    let next = world.step(|_| 10.0);
    assert_eq!(next.replicas, 4, "{next:?}");
}

#[test]
fn a_partition_that_stands_still_asks_for_nobody() {
    let mut world = World::new(12, 1000.0);
    world.places[3].held = true;
    world.run(6 * HOUR, |_| 50.0);
    assert_eq!((world.workers, world.changes), (1, 0), "{} unread", world.unread());
}

#[test]
fn partitions_that_are_added_raise_the_ceiling() {
    let mut world = World::new(2, 1000.0);
    world.run(HOUR, |_| 2000.0);
    assert_eq!(world.workers, 2);
    let mut more = World::new(8, 1000.0).places;
    more.drain(..2);
    world.places.extend(more);
    world.run(HOUR, |_| 500.0);
    assert!(world.workers > 4, "{} workers", world.workers);
}

#[test]
fn an_even_split_is_the_least_that_is_fast_enough() {
    let sizes: Vec<i32> = [0.0, 1.0, 1.1, 2.5, 5.0, 5.1, 10.0, 40.0].map(|need| even(need, 10)).into();
    assert_eq!(sizes, [1, 1, 2, 3, 5, 10, 10, 10]);
}

#[test]
fn after_a_change_nothing_is_decided_until_the_group_has_settled() {
    let mut world = World::new(12, 1000.0);
    world.run(600, |_| 10.0);
    world.workers = 3;
    let changed = world.now;
    world.places.iter_mut().for_each(|place| place.high += 10_000_000);
    let mut plan = world.step(|_| 500.0);
    while world.now - changed < DWELL.as_secs() {
        assert_eq!((plan.replicas, world.workers), (3, 3), "{} s after the change", world.now - changed);
        plan = world.step(|_| 500.0);
    }
    world.run(90, |_| 500.0);
    assert!(world.workers > 3, "it was needed all the time: {} workers", world.workers);
}

#[test]
fn more_workers_come_after_two_samples_that_agree_and_at_most_twice_as_many() {
    let mut world = World::new(12, 1000.0);
    world.run(600, |_| 10.0);
    world.places.iter_mut().for_each(|place| place.high += 5_000_000);
    let first = world.step(|_| 10.0);
    assert_eq!(first.replicas, 1, "one sample is none: {first:?}");
    let second = world.step(|_| 10.0);
    assert_eq!(second.replicas, 2, "{second:?}");
}

#[test]
fn workers_are_taken_away_one_at_a_time_and_only_after_a_whole_window() {
    let mut world = World::new(12, 1000.0);
    world.workers = 4;
    world.run(DWELL.as_secs() + 2 * STEP, |_| 10.0);
    let mut last = (world.now, 4);
    let window = u64::try_from(world.scaling.scale_down_seconds).unwrap();
    while world.workers > 1 {
        world.step(|_| 10.0);
        if world.workers != last.1 {
            assert_eq!(world.workers, last.1 - 1);
            assert!(world.now - last.0 + 2 * STEP >= window, "{} s after the last", world.now - last.0);
            last = (world.now, world.workers);
        }
        assert!(world.now < 2 * HOUR, "{} workers still", world.workers);
    }
}

#[test]
fn a_group_that_starts_at_the_end_needs_one_worker_and_one_that_starts_at_the_beginning_many() {
    let mut latest = World::new(12, 1000.0);
    // Much is in the log, and nothing of it is to be read.
    latest.places.iter_mut().for_each(|place| (place.position, place.high) = (9_000_000, 9_000_000));
    latest.run(HOUR, |_| 10.0);
    assert_eq!((latest.workers, latest.changes), (1, 0));
    let mut earliest = World::new(12, 1000.0);
    earliest.places.iter_mut().for_each(|place| place.high = 9_000_000);
    earliest.run(HOUR, |_| 10.0);
    assert!(earliest.workers >= 6, "{} workers", earliest.workers);
}

#[test]
fn a_quiet_topic_keeps_its_least_workers_and_never_has_none() {
    let mut world = World::new(12, 1000.0);
    world.scaling.min_replicas = 2;
    world.workers = 2;
    world.run(24 * HOUR, |_| 0.0);
    assert_eq!((world.workers, world.changes), (2, 0));
}

#[test]
fn a_partition_that_stops_without_a_word_asks_for_nobody_once_it_has_stood_still() {
    let still = Place {
        partition: ("orders".to_owned(), 0),
        worker: 0,
        position: 500,
        high: 5_000_500,
        unread: 5_000_000,
        held: false,
    };
    let mut memory = Memory::default();
    let samples = (0..60).map(|sample| {
        let now = Duration::from_secs(sample * STEP);
        let moves = Place {
            partition: ("orders".to_owned(), 1),
            position: sample as i64 * 100,
            high: sample as i64 * 100,
            unread: 0,
            ..still.clone()
        };
        plan(&Scaling::default(), 1, &[still.clone(), moves], &mut memory, now)
    });
    let plans: Vec<Plan> = samples.collect();
    let settled = (STILL.as_secs() + DWELL.as_secs()) / STEP + 2;
    let later = &plans[usize::try_from(settled).unwrap()..];
    assert!(later.iter().all(|plan| plan.replicas == 1), "{:?}", later.last());
    assert!(later.iter().all(|plan| plan.message.contains("5000000 unread")), "it is counted: {:?}", later.last());
}
