//! The mode Lag: so many workers that what is unread now is read in time. By *unread*, not by committed lag, which rises
//! and falls with every file.
//!
//! Up after two samples that agree, at most to twice as many; down one step at a time, when fewer were enough for a whole
//! window. What is not known changes nothing.

use super::Plan;
use eventsink_crds::sink::{Scaling, reason};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// After a change the group rebalances and reads anew: numbers of that time say nothing.
const DWELL: Duration = Duration::from_secs(90);
/// Samples closer together than this are not compared.
const APART: Duration = Duration::from_secs(10);
/// Nobody looked for so long: what lies between two such samples is not known.
const GAP: Duration = Duration::from_secs(120);
/// A partition with unread records that does not move for so long is stuck: a slow worker reads each of its own sooner.
const STILL: Duration = Duration::from_secs(120);
/// A partition is alone on its worker when the others there have no more than this part of its unread records.
const ALONE: i64 = 10;
/// Weight of a new measurement of a worker's rate.
const NEW: f64 = 0.3;
/// Room that must be left when a worker is taken away.
const ROOM: f64 = 1.2;

/// How far one partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Topic and number.
    pub partition: (String, i32),
    /// Which of the workers reads it.
    pub worker: usize,
    /// Next offset to be read.
    pub position: i64,
    /// Next offset that the log will give.
    pub high: i64,
    /// Offsets that were not read yet.
    pub unread: i64,
    /// It waits for somebody to decide.
    pub held: bool,
}

/// What is remembered of a sink between two plans.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    last: Option<(Duration, Vec<Place>)>,
    /// Since when partitions with unread records do not move.
    still: BTreeMap<(String, i32), Duration>,
    /// Records that one busy worker reads in a second.
    rate: Option<f64>,
    /// Since when `workers` are wanted.
    changed: Option<Duration>,
    workers: i32,
    /// The least of the agreeing wishes for more.
    more: Option<i32>,
    /// Workers that were needed, with the time.
    needs: VecDeque<(Duration, i32)>,
}

/// What two samples say.
struct Load {
    /// Records that come in each second.
    inflow: f64,
    /// Unread records of partitions that move.
    backlog: i64,
    /// Unread records of partitions that do not.
    stuck: i64,
    /// Unread records of the partition that has most, among those that move.
    most: i64,
    /// Nothing else on its worker is unread: no split of the others would make it faster.
    alone: bool,
}

/// Decides; `current` workers run and have all said where they are.
#[must_use]
pub fn plan(scaling: &Scaling, current: i32, places: &[Place], memory: &mut Memory, now: Duration) -> Plan {
    let partitions = i32::try_from(places.len()).unwrap_or(i32::MAX);
    if memory.workers != current {
        (memory.workers, memory.changed, memory.more, memory.last) = (current, Some(now), None, None);
        memory.needs.clear();
    }
    if memory.changed.is_some_and(|at| now.saturating_sub(at) < DWELL) {
        return stays(current, "the number of workers has just changed: waiting for the group to settle");
    }
    let Some(load) = memory.measure(places, now) else {
        return stays(current, "two samples are needed to see how fast the workers read");
    };
    let most = scaling.max_replicas.min(partitions).max(scaling.min_replicas);
    let need = need(scaling, &load, memory.rate);
    let wanted = even(need, partitions).clamp(scaling.min_replicas, most);
    memory.needs.push_back((now, even(need * ROOM, partitions).clamp(scaling.min_replicas, most)));
    let sum = words(&load, memory.rate, need, wanted);
    if wanted > current {
        return more(&load, wanted, current, memory, sum);
    }
    memory.more = None;
    fewer(scaling, current, memory, now, sum)
}

fn more(load: &Load, wanted: i32, current: i32, memory: &mut Memory, sum: String) -> Plan {
    let held_back = |reason, message| Plan { replicas: current, active: true, reason, message };
    if load.most * 2 > load.backlog && load.alone && current > 1 {
        return held_back(
            reason::PARTITION_SKEW,
            format!("{sum}; one partition has most of it, so more workers would not help"),
        );
    }
    if load.stuck > load.backlog {
        return held_back(
            reason::PARTITION_STUCK,
            format!("{sum}; a partition does not move, so more workers would not help"),
        );
    }
    let Some(before) = memory.more.replace(wanted) else {
        return stays(current, &format!("{sum}; waiting for a second sample"));
    };
    Plan { replicas: before.min(wanted).min(current.max(1) * 2), active: true, reason: reason::FOLLOWS, message: sum }
}

fn fewer(scaling: &Scaling, current: i32, memory: &mut Memory, now: Duration, sum: String) -> Plan {
    let window = Duration::from_secs(scaling.scale_down_seconds.unsigned_abs());
    let whole = memory.needs.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= window);
    while memory.needs.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= window) {
        memory.needs.pop_front();
    }
    let greatest = memory.needs.iter().map(|(_, need)| *need).max().unwrap_or(current);
    let replicas = if whole && greatest < current { current - 1 } else { current };
    Plan { replicas, active: true, reason: reason::FOLLOWS, message: sum }
}

fn stays(replicas: i32, message: &str) -> Plan {
    Plan { replicas, active: true, reason: reason::FOLLOWS, message: message.to_owned() }
}

/// Workers that read what comes in and what is unread in time, as a fraction.
fn need(scaling: &Scaling, load: &Load, rate: Option<f64>) -> f64 {
    match rate {
        Some(rate) if rate > 0.0 => (load.inflow + load.backlog as f64 / scaling.target_drain_seconds as f64) / rate,
        _ => load.backlog as f64 / scaling.unread_per_replica as f64,
    }
}

/// The least number of workers whose fullest one has few enough partitions: 6 workers for 10 partitions are no faster
/// than 5.
fn even(need: f64, partitions: i32) -> i32 {
    let enough = |workers: &i32| {
        let fullest = (partitions + workers - 1) / workers;
        f64::from(partitions) / f64::from(fullest) >= need
    };
    (1..=partitions.max(1)).find(enough).unwrap_or(partitions.max(1))
}

fn words(load: &Load, rate: Option<f64>, need: f64, wanted: i32) -> String {
    let speed =
        rate.map_or("a speed not measured yet".to_owned(), |rate| format!("{rate:.0} records/s for each worker"));
    format!(
        "{} unread, {:.0} records/s come in, {speed}: {need:.1} workers are needed, {wanted} in an even split",
        load.backlog + load.stuck,
        load.inflow
    )
}

impl Memory {
    /// Nothing is known for now. This time was neither busy nor quiet: windows begin anew, and the measured rate stays.
    pub fn interrupt(&mut self) {
        (self.last, self.more) = (None, None);
        self.needs.clear();
        self.still.clear();
    }

    /// Compares with the last sample and learns the rate of a worker that was busy all the time.
    fn measure(&mut self, places: &[Place], now: Duration) -> Option<Load> {
        let Some((then, before)) = self.last.take() else {
            self.last = Some((now, places.to_vec()));
            return None;
        };
        let passed = now.saturating_sub(then);
        if passed < APART {
            self.last = Some((then, before));
            return None;
        }
        if passed > GAP {
            self.interrupt();
            self.last = Some((now, places.to_vec()));
            return None;
        }
        let old: BTreeMap<_, _> = before.iter().map(|place| (&place.partition, place)).collect();
        let mut load = Load { inflow: 0.0, backlog: 0, stuck: 0, most: 0, alone: false };
        let mut workers: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
        let mut fullest = None;
        for place in places {
            let Some(old) = old.get(&place.partition) else { continue };
            // One on hold may not know where it is: what comes after that was not read in this time.
            let read = if old.position < 0 { 0 } else { (place.position - old.position).max(0) };
            load.inflow += (place.high - old.high).max(0) as f64 / passed.as_secs_f64();
            if place.held || self.is_still(place, read, now) {
                load.stuck += place.unread;
                continue;
            }
            load.backlog += place.unread;
            if place.unread > load.most {
                (load.most, fullest) = (place.unread, Some(place.worker));
            }
            let (all, left) = workers.entry(place.worker).or_default();
            *all += read;
            *left += place.unread;
        }
        // A handful that its neighbours have just received is no load.
        let left = |worker| workers.get(&worker).map_or(0, |(_, left)| *left);
        load.alone = fullest.is_some_and(|worker| left(worker) - load.most <= load.most / ALONE);
        for (read, left) in workers.into_values() {
            // One that could have read more was not slowed down by the topic.
            if left > read && read > 0 {
                let measured = read as f64 / passed.as_secs_f64();
                self.rate = Some(self.rate.map_or(measured, |rate| rate + NEW * (measured - rate)));
            }
        }
        self.last = Some((now, places.to_vec()));
        Some(load)
    }

    fn is_still(&mut self, place: &Place, read: i64, now: Duration) -> bool {
        if read > 0 || place.unread == 0 {
            self.still.remove(&place.partition);
            return false;
        }
        now.saturating_sub(*self.still.entry(place.partition.clone()).or_insert(now)) >= STILL
    }
}

#[cfg(test)]
#[path = "lag_tests.rs"]
mod tests;
