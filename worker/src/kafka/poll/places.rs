//! Where each partition is read: seeks, and how far reading has come.

use super::{Delivery, Poller, Seek, list, named};
use crate::kafka::{TopicPartition, raw};
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// A seek is tried again after this long when the partition is not being fetched yet.
const SEEK_RETRY: Duration = Duration::from_millis(50);

impl Poller {
    /// Carries out the seeks that wait; one that comes before the fetcher has started is tried again.
    pub(super) fn seek_pending(&mut self) {
        if self.seek_again.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.seek_again = None;
        let pending: Vec<_> =
            self.slots.values().filter_map(|slot| slot.seek.map(|seek| (slot.at.clone(), seek))).collect();
        if pending.is_empty() {
            return;
        }
        for (at, seek) in &pending {
            self.restart_stopped(at, seek.offset);
        }
        let refused = self.seek(&pending);
        for (at, seek) in &pending {
            if let Some(error) = refused.get(at) {
                debug!(partition = %at, offset = seek.offset, error, "seek is tried again");
                self.seek_again = Some(Instant::now() + SEEK_RETRY);
            } else if let Some(slot) = self.slots.get_mut(at) {
                slot.seek = None;
                slot.sought = Some(*seek);
                slot.generation = seek.generation;
                slot.end = -1;
            }
        }
        let sought = pending.into_iter().map(|(at, _)| at).filter(|at| !refused.contains_key(at));
        self.fetch(&sought.collect::<Vec<_>>());
    }

    /// A fetcher that has stopped refuses every seek: it is started anew, as after an assignment.
    fn restart_stopped(&mut self, at: &TopicPartition, offset: i64) {
        let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.stopped) else { return };
        slot.stopped = false;
        self.slots.forget_handles();
        let one = list(std::slice::from_ref(at), Offset::Offset(offset));
        let stopped = self.consumer.incremental_unassign(&one);
        let started = self.consumer.incremental_assign(&one).and_then(|()| self.consumer.pause(&one));
        if let Err(error) = stopped.and(started) {
            warn!(partition = %at, %error, "fetching cannot be started anew");
        }
    }

    /// Asks for all seeks at once, and returns the library's words for those that were refused.
    fn seek(&self, seeks: &[(TopicPartition, Seek)]) -> HashMap<TopicPartition, String> {
        let mut all = TopicPartitionList::with_capacity(seeks.len());
        for (at, seek) in seeks {
            let set = all.add_partition(&at.topic, at.partition).set_offset(Offset::Offset(seek.offset));
            debug_assert!(set.is_ok(), "no offset is negative");
            raw::set_leader_epoch(&all, &at.topic, at.partition, seek.epoch);
        }
        let mut refused = HashMap::new();
        match self.consumer.seek_partitions(all, Duration::from_secs(1)) {
            Ok(done) => refused.extend(done.elements().iter().filter_map(|element| {
                let error = element.error().err()?;
                Some((named((element.topic().to_owned(), element.partition())), error.to_string()))
            })),
            Err(error) => refused.extend(seeks.iter().map(|(at, _)| (at.clone(), error.to_string()))),
        }
        refused
    }

    /// The library has read up to the end of the readable log: all records below `offset` are in their batches. Its
    /// position stays behind the last of them, though what follows may have been compacted away.
    pub(super) fn ends(&mut self, at: &TopicPartition, offset: i64) {
        if let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.seek.is_none()) {
            slot.end = offset;
        }
    }

    /// True when an offset out of range is of where the partition was parked, and the report came after the seek.
    /// The library has given up fetching all the same: the seek is done again, and the machine drops what comes twice.
    pub(super) fn was_parked(&mut self, at: &TopicPartition, offset: i64) -> bool {
        let Some(slot) = self.slots.get_mut(at) else { return false };
        let Some(sought) = slot.sought.filter(|sought| slot.seek.is_none() && (0..sought.offset).contains(&offset))
        else {
            return false;
        };
        debug!(partition = %at, offset, sought = sought.offset, "an offset out of range of before the seek");
        slot.seek = Some(sought);
        slot.stopped = true;
        true
    }

    /// Tells each partition how far its records have been delivered; they were handed over before.
    pub(super) fn tell_positions(&self) {
        let Ok(positions) = self.consumer.position() else { return };
        for element in positions.elements() {
            let at = named((element.topic().to_owned(), element.partition()));
            let Some(slot) = self.slots.get(&at) else { continue };
            // Those of a partition that is not fetched do not move.
            if self.fetches(slot)
                && let Some((low, high)) = raw::watermarks(&self.consumer, &at.topic, at.partition)
            {
                (self.deliver)(&at, Delivery::Watermarks { low, high });
            }
            let delivered = if let Offset::Offset(offset) = element.offset() { offset } else { -1 };
            let position = delivered.max(slot.end);
            if position >= 0 && slot.generation > 0 && slot.seek.is_none() && !slot.leaving {
                (self.deliver)(&at, Delivery::Position { generation: slot.generation, position });
            }
        }
    }
}
