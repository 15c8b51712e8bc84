//! What the consumer has told and the machine has not been offered yet, in the order of the log: an error stands
//! between the records before it and those after it. Keeps, decides nothing.

use crate::kafka::batch::Batch;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::VecDeque;

/// Records, of which those before `next` were offered.
pub(super) struct Records {
    pub generation: u64,
    pub batch: Batch,
    pub next: usize,
}

/// An error that the consumer reported for the partition.
pub(super) struct Fault {
    pub generation: u64,
    pub code: RDKafkaErrorCode,
    /// The library's words.
    pub text: String,
}

/// One of both.
pub(super) enum Item {
    Records(Records),
    Fault(Fault),
}

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Memory of all records that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds what came last. The library tells of a batch that it cannot read with each of its tries: once is enough.
    pub fn add(&mut self, item: Item) {
        if let (Some(Item::Fault(last)), Item::Fault(next)) = (self.items.back(), &item)
            && (last.generation, last.code) == (next.generation, next.code)
        {
            return;
        }
        self.bytes += memory(&item);
        self.items.push_back(item);
    }

    /// Makes the last records, which wait for some time, as small as they are; gives the bytes that this frees.
    pub fn fit_last(&mut self) -> usize {
        let Some(Item::Records(records)) = self.items.back_mut() else { return 0 };
        let before = records.batch.memory();
        records.batch.fit();
        let freed = before - records.batch.memory();
        self.bytes -= freed;
        freed
    }

    /// Takes the first; its memory no longer counts here.
    pub fn next(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= memory(&item);
        Some(item)
    }

    /// Puts back what was taken as the first.
    pub fn put_back(&mut self, item: Item) {
        self.bytes += memory(&item);
        self.items.push_front(item);
    }

    /// Drops everything and gives the bytes that waited.
    pub fn clear(&mut self) -> usize {
        self.items.clear();
        std::mem::take(&mut self.bytes)
    }
}

fn memory(item: &Item) -> usize {
    match item {
        Item::Records(records) => records.batch.memory(),
        Item::Fault(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_told_again_and_again_waits_once() {
        let mut waiting = Waiting::default();
        let fault = |generation, code| Item::Fault(Fault { generation, code, text: String::new() });
        let codes = [RDKafkaErrorCode::BadMessage, RDKafkaErrorCode::BadMessage, RDKafkaErrorCode::AutoOffsetReset];
        codes.into_iter().for_each(|code| waiting.add(fault(1, code)));
        waiting.add(fault(2, RDKafkaErrorCode::AutoOffsetReset));
        assert_eq!(std::iter::from_fn(|| waiting.next()).count(), 3);
    }
}
