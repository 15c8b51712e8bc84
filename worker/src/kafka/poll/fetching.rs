//! Which partitions are fetched, as their lanes and the byte budget want it, and when reading stands still.

use super::slots::Slot;
use super::{Poller, list, names};
use crate::kafka::TopicPartition;
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// For so long reading stands still for want of memory before all is paused, which throws away what the library has read
/// ahead: mostly room is made sooner.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

impl Poller {
    /// True while lanes have enough before them, or have made room since events were taken last: with a store that takes
    /// nothing they cannot, and waiting would only put off the pause. Nor does it help once fetching stands.
    pub(super) fn lanes_need_time(&self) -> bool {
        let make_room = self.budget.needs_room() && self.budget.closed_early() != self.closed;
        self.budget.lanes_are_behind() || (make_room && !self.choked)
    }

    pub(super) fn pause(&mut self, at: &TopicPartition, pause: bool) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.paused = pause;
            self.fetch(std::slice::from_ref(at));
        }
    }

    pub(super) fn insist(&mut self, at: &TopicPartition, insists: bool) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.insists = insists;
        if self.choked {
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
        !slot.paused && slot.seek.is_none() && (slot.insists || !self.choked)
    }

    /// Pauses everything while the byte budget is gone for longer than a moment, and keeps polling: membership outlives
    /// an outage.
    pub(super) fn breathe(&mut self) {
        let short = if self.short.is_some() { self.budget.is_tight() } else { self.budget.is_gone() };
        self.short = short.then(|| self.short.unwrap_or_else(Instant::now));
        // Whoever insists makes room by reading, and must not wait.
        let insists = || self.slots.values().any(|slot| slot.insists);
        let choked = self.short.is_some_and(|since| self.choked || insists() || since.elapsed() >= PATIENCE);
        if choked == self.choked {
            return;
        }
        self.choked = choked;
        let reading: Vec<_> = self.slots.values().filter(|slot| slot.breathes()).map(|slot| slot.at.clone()).collect();
        let (used, claimed, limit) = (self.budget.used(), self.budget.claimed(), self.budget.limit());
        info!(paused = choked, used, claimed, limit, "byte budget");
        self.fetch(&reading);
    }
}
