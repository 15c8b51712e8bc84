//! Which partitions are fetched, as their lanes and the byte budget want it, and when reading stands still.

use super::slots::Slot;
use super::{Poller, list, names};
use crate::kafka::TopicPartition;
use crate::runtime::Budget;
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// No event is taken for so long at most before all is paused for want of memory. A pause throws away what the library has
/// read ahead, and mostly room is made sooner.
pub(super) const WAIT_FOR_ROOM: Duration = Duration::from_secs(1);
/// While lanes need time some events are taken all the same after this long, since rebalances are among them.
const HELD_BACK: Duration = Duration::from_millis(200);

/// What the byte budget lets the poll thread do.
#[derive(Debug, Default)]
pub(super) struct Breath {
    room: Room,
    /// Cuts that lanes had closed for want of memory when events were taken last.
    closed: usize,
}

/// Memory for what would be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Room {
    /// There is some.
    #[default]
    Enough,
    /// None since then: no event is taken.
    Awaited(Instant),
    /// None for long: all is paused but for those that insist, and events are taken.
    Paused,
}

impl Room {
    fn next(self, budget: &Budget, now: Instant, insists: impl FnOnce() -> bool) -> Self {
        let short = if self == Self::Enough { budget.is_gone() } else { budget.is_tight() };
        match self {
            _ if !short => Self::Enough,
            Self::Paused => Self::Paused,
            // Whoever insists makes room by reading, and must not wait.
            _ if insists() => Self::Paused,
            Self::Enough => Self::Awaited(now),
            Self::Awaited(since) if now.duration_since(since) >= WAIT_FOR_ROOM => Self::Paused,
            Self::Awaited(_) => self,
        }
    }
}

impl Breath {
    pub fn awaits_room(&self) -> bool {
        matches!(self.room, Room::Awaited(_))
    }

    /// Events are about to be taken.
    pub fn takes(&mut self, budget: &Budget) {
        self.closed = budget.closed_early();
    }

    /// True while no event should be taken, `idle` after the last ones were. Unlike a pause this keeps what the library
    /// has read ahead.
    pub fn holds_back(&self, budget: &Budget, idle: Duration) -> bool {
        self.awaits_room() || (idle < HELD_BACK && self.lanes_need_time(budget))
    }

    /// True while lanes have enough before them, or have made room since events were taken last: with a store that takes
    /// nothing they cannot, and waiting would not help. Nor does it once all is paused.
    fn lanes_need_time(&self, budget: &Budget) -> bool {
        let make_room = budget.needs_room() && budget.closed_early() != self.closed;
        budget.lanes_are_behind() || (make_room && self.room != Room::Paused)
    }
}

impl Poller {
    pub(super) fn pause(&mut self, at: &TopicPartition, pause: bool) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.paused = pause;
            self.fetch(std::slice::from_ref(at));
        }
    }

    pub(super) fn insist(&mut self, at: &TopicPartition, insists: bool) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.insists = insists;
        if self.breath.room == Room::Paused {
            self.fetch(std::slice::from_ref(at));
        }
    }

    /// Fetches partitions, or not, as their lanes and the budget want it.
    pub(super) fn fetch(&self, partitions: &[TopicPartition]) {
        let slots = partitions.iter().filter_map(|at| self.slots.get(at));
        let (on, off): (Vec<_>, Vec<_>) = slots.partition(|slot| self.fetches(slot));
        let [on, off] = [on, off].map(|slots| slots.into_iter().map(|slot| slot.at.clone()).collect::<Vec<_>>());
        if !off.is_empty() {
            self.report(&off, self.consumer.pause(&list(&off, Offset::Invalid)));
        }
        if !on.is_empty() {
            self.report(&on, self.consumer.resume(&list(&on, Offset::Invalid)));
            self.waker.wake(on);
        }
    }

    fn report(&self, partitions: &[TopicPartition], result: KafkaResult<()>) {
        if let Err(error) = result {
            warn!(partitions = %names(partitions), %error, "pause or resume failed");
        }
    }

    pub(super) fn fetches(&self, slot: &Slot) -> bool {
        !slot.paused && slot.seek.is_none() && (slot.insists || self.breath.room != Room::Paused)
    }

    /// Pauses everything while the byte budget is gone for longer than a moment, and keeps polling: membership outlives
    /// an outage.
    pub(super) fn breathe(&mut self, now: Instant) {
        let before = self.breath.room;
        let insists = || self.slots.values().any(|slot| slot.insists);
        self.breath.room = before.next(&self.budget, now, insists);
        let paused = self.breath.room == Room::Paused;
        if paused == (before == Room::Paused) {
            return;
        }
        let reading: Vec<_> = self.slots.values().filter(|slot| slot.breathes()).map(|slot| slot.at.clone()).collect();
        let (used, claimed, limit) = (self.budget.used(), self.budget.claimed(), self.budget.limit());
        info!(paused, used, claimed, limit, "byte budget");
        self.fetch(&reading);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    fn holding(bytes: usize) -> Budget {
        let budget = Budget::new(LIMIT);
        budget.add(bytes);
        budget
    }

    #[test]
    fn room_is_awaited_for_a_while_before_all_is_paused_and_then_until_there_is_enough_of_it() {
        let (now, [enough, tight, gone]) = (Instant::now(), [500, 600, 700].map(holding));
        let next = |room: Room, budget, after| room.next(budget, now + after, || false);
        let (awaited, nearly) = (Room::Awaited(now), WAIT_FOR_ROOM - Duration::from_nanos(1));
        assert_eq!(next(Room::Enough, &tight, Duration::ZERO), Room::Enough, "it is not gone yet");
        assert_eq!(next(Room::Enough, &gone, Duration::ZERO), awaited);
        for budget in [&gone, &tight] {
            assert_eq!(next(awaited, budget, nearly), awaited);
            assert_eq!(next(awaited, budget, WAIT_FOR_ROOM), Room::Paused);
            assert_eq!(next(Room::Paused, budget, nearly), Room::Paused);
        }
        assert_eq!([awaited, Room::Paused].map(|room| next(room, &enough, nearly)), [Room::Enough; 2]);
    }

    #[test]
    fn whoever_insists_does_not_wait_for_room() {
        let gone = holding(700);
        let rooms = [Room::Enough, Room::Awaited(Instant::now())];
        assert_eq!(rooms.map(|room| room.next(&gone, Instant::now(), || true)), [Room::Paused; 2]);
        assert_eq!(Room::Enough.next(&holding(0), Instant::now(), || true), Room::Enough);
    }

    #[test]
    fn nothing_is_read_while_room_is_awaited_and_something_once_all_is_paused() {
        let (budget, long) = (holding(700), HELD_BACK * 100);
        let breath = |room| Breath { room, closed: 0 };
        assert!(breath(Room::Awaited(Instant::now())).holds_back(&budget, long));
        assert!(!breath(Room::Paused).holds_back(&budget, long));
    }

    #[test]
    fn reading_is_held_back_for_lanes_that_make_room_and_not_for_those_that_cannot() {
        let (budget, mut breath) = (holding(600), Breath::default());
        let holds_back = |breath: &Breath| breath.holds_back(&budget, Duration::ZERO);
        assert!(budget.needs_room() && !holds_back(&breath), "no cut was closed");
        budget.closes_early();
        assert!(holds_back(&breath) && !breath.holds_back(&budget, HELD_BACK), "rebalances are among the events");
        breath.room = Room::Paused;
        assert!(!holds_back(&breath), "nothing more comes");
        breath.room = Room::Enough;
        breath.takes(&budget);
        assert!(!holds_back(&breath), "none was closed since events were taken");
        budget.closes_early();
        budget.sub(100);
        assert!(!holds_back(&breath), "there is room");
    }
}
