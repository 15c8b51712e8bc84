//! What a worker's consumer hands out, in order: records, positions, errors.

use crate::holds::CONSUMER_ERROR;
use crate::shared::Shared;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug)]
pub enum Item {
    Record { generation: u64, offset: i64 },
    Position { generation: u64, position: i64 },
    OutOfRange { generation: u64, low: i64 },
    Error { generation: u64 },
}

#[derive(Default)]
pub struct Consumer {
    /// Where it reads, and in which generation.
    reading: Option<(u64, i64)>,
    queue: VecDeque<Item>,
}

impl Consumer {
    pub fn reads(&self) -> bool {
        self.reading.is_some()
    }

    pub fn seek(&mut self, generation: u64, offset: i64, shared: &mut Shared) {
        self.reading = Some((generation, offset));
        if shared.rng.one_in(2) {
            self.queue.clear();
        }
    }

    pub fn pause(&mut self) {
        self.reading = None;
    }

    /// It fetches one offset, or learns that there is none.
    pub fn fetch(&mut self, shared: &mut Shared) {
        let Some((generation, at)) = self.reading else { return };
        if self.queue.len() >= 5 {
            return;
        }
        if at < shared.log.low {
            self.queue.push_back(Item::OutOfRange { generation, low: shared.log.low });
            self.reading = None;
            return;
        }
        if at >= shared.log.stable() {
            return self.queue.push_back(Item::Position { generation, position: at });
        }
        if shared.log.delivers(at) {
            self.queue.push_back(Item::Record { generation, offset: at });
        }
        self.reading = Some((generation, at + 1));
        if shared.rng.one_in(3) {
            self.queue.push_back(Item::Position { generation, position: at + 1 });
        }
    }

    /// It tells of an offset that it cannot read, passes it, and goes on.
    pub fn fail(&mut self, shared: &mut Shared) {
        let Some((generation, at)) = self.reading.filter(|(_, at)| *at < shared.log.stable()) else { return };
        shared.see(CONSUMER_ERROR);
        self.queue.push_back(Item::Error { generation });
        self.reading = Some((generation, at + 1));
    }

    /// The next item; with `overtaken` an error comes after all that is there.
    pub fn next(&mut self, overtaken: bool) -> Option<Item> {
        match self.queue.pop_front()? {
            error @ Item::Error { .. } if overtaken && !self.queue.is_empty() => {
                self.queue.push_back(error);
                self.queue.pop_front()
            }
            item => Some(item),
        }
    }

    pub fn put_back(&mut self, item: Item) {
        self.queue.push_front(item);
    }
}
