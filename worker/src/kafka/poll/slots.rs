//! The partitions that the poll thread reads, found by name for commands and at almost no cost for records.

use super::Seek;
use crate::kafka::batch::Batch;
use crate::kafka::raw::RawRecord;
use crate::kafka::{TopicPartition, named};
use std::collections::HashMap;

/// What the poll thread knows of a partition.
pub(super) struct Slot {
    pub at: TopicPartition,
    /// Read generation; 0 until the first seek, and records of it are dropped.
    pub generation: u64,
    pub batch: Batch,
    pub paused: bool,
    pub insists: bool,
    pub seek: Option<Seek>,
    /// The seek in force.
    pub sought: Option<Seek>,
    /// End of the readable log, once the library has read up to it; -1 before.
    pub end: i64,
    /// The library has given up fetching.
    pub stopped: bool,
    pub leaving: bool,
}

impl Slot {
    /// A new partition waits, paused, until its start is known.
    pub fn new(at: TopicPartition) -> Self {
        Self {
            at,
            generation: 0,
            batch: Batch::default(),
            paused: true,
            insists: false,
            seek: None,
            sought: None,
            end: -1,
            stopped: false,
            leaving: false,
        }
    }

    /// True when the byte budget alone decides whether it is fetched.
    pub fn breathes(&self) -> bool {
        !self.paused && !self.insists && self.seek.is_none()
    }

    /// True when its records are wanted.
    pub fn reads(&self) -> bool {
        self.generation > 0 && self.seek.is_none() && !self.leaving
    }
}

/// The address of a topic's handle, which lives as long as a partition of it is assigned, and the partition.
type Handle = (usize, i32);

/// See the module.
#[derive(Default)]
pub(super) struct Slots {
    all: Vec<Slot>,
    by_name: HashMap<TopicPartition, usize>,
    by_handle: HashMap<Handle, usize>,
    /// Where the last record was: the next one is mostly of the same partition.
    latest: Option<(Handle, usize)>,
}

impl Slots {
    pub fn get(&self, at: &TopicPartition) -> Option<&Slot> {
        self.by_name.get(at).map(|&place| &self.all[place])
    }

    pub fn get_mut(&mut self, at: &TopicPartition) -> Option<&mut Slot> {
        self.by_name.get(at).map(|&place| &mut self.all[place])
    }

    pub fn contains(&self, at: &TopicPartition) -> bool {
        self.by_name.contains_key(at)
    }

    pub fn values(&self) -> impl Iterator<Item = &Slot> {
        self.all.iter()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.all.iter_mut()
    }

    /// Adds a partition, in the place of one of the same name.
    pub fn insert(&mut self, slot: Slot) {
        self.remove(&slot.at.clone());
        self.by_name.insert(slot.at.clone(), self.all.len());
        self.all.push(slot);
    }

    /// Takes a partition out; true when it was there.
    pub fn remove(&mut self, at: &TopicPartition) -> bool {
        let Some(place) = self.by_name.remove(at) else { return false };
        self.forget_handles();
        self.all.swap_remove(place);
        if let Some(moved) = self.all.get(place) {
            self.by_name.insert(moved.at.clone(), place);
        }
        true
    }

    /// Topics may have other handles from now on.
    pub fn forget_handles(&mut self) {
        self.by_handle.clear();
        self.latest = None;
    }

    /// The partition of a record.
    pub fn of(&mut self, record: RawRecord<'_>) -> Option<&mut Slot> {
        let handle = (record.topic_handle(), record.partition());
        let place = match self.latest {
            Some((known, place)) if known == handle => place,
            _ => self.find(handle, || named((record.topic(), record.partition())))?,
        };
        self.all.get_mut(place)
    }

    fn find(&mut self, handle: Handle, name: impl FnOnce() -> TopicPartition) -> Option<usize> {
        let known = self.by_handle.get(&handle).copied();
        let place = known.or_else(|| self.by_name.get(&name()).copied())?;
        self.by_handle.insert(handle, place);
        self.latest = Some((handle, place));
        Some(place)
    }
}

#[cfg(test)]
impl std::ops::Index<&TopicPartition> for Slots {
    type Output = Slot;

    fn index(&self, at: &TopicPartition) -> &Slot {
        self.get(at).expect("the partition is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        named(("t".to_owned(), number))
    }

    #[test]
    fn a_record_finds_its_partition_after_others_have_left() {
        let mut slots = Slots::default();
        (0..3).for_each(|number| slots.insert(Slot::new(partition(number))));
        let found = |slots: &mut Slots, number| {
            slots.find((1, number), || partition(number)).map(|place| slots.all[place].at.partition)
        };
        assert_eq!([0, 1, 2].map(|number| found(&mut slots, number)), [Some(0), Some(1), Some(2)]);
        assert!(slots.remove(&partition(0)) && !slots.remove(&partition(0)));
        assert_eq!([0, 1, 2].map(|number| found(&mut slots, number)), [None, Some(1), Some(2)]);
    }

    #[test]
    fn a_partition_that_comes_again_takes_its_own_place() {
        let mut slots = Slots::default();
        slots.insert(Slot { generation: 7, ..Slot::new(partition(0)) });
        slots.insert(Slot::new(partition(0)));
        assert_eq!((slots.values().count(), slots[&partition(0)].generation), (1, 0));
    }
}
