//! Records of one partition on their way from the poll thread to an encoder: one buffer, no allocation per record, and
//! hardly one per batch.

use super::raw::RawRecord;
use crate::events::{Header, Record};
use std::sync::{Arc, Mutex, PoisonError};

/// A batch is handed over at this many bytes of keys, values and headers; most records fit behind them in what a batch
/// has room for by then.
const FULL_BYTES: usize = 224 << 10;
/// A batch is handed over at this many records.
const FULL_RECORDS: usize = 1024;
/// Memory of batches that is kept for further ones, each of them and all together.
const SPARE_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=512 << 10;
const ALL_SPARE_BYTES: usize = 4 << 20;
/// A batch that uses less than this part of its memory is copied into one of its size.
const USED: usize = 4;
/// Length that stands for null.
const NULL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Span {
    at: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    timestamp: Option<i64>,
    epoch: i32,
    key: Span,
    value: Span,
    headers: (u32, u32),
}

/// Memory of batches that are no more, for new ones: on fresh memory, which the kernel clears first, each would grow
/// and be copied many times.
#[derive(Debug, Default)]
pub struct Spare(Mutex<Vec<Buffers>>);

impl Spare {
    /// An empty batch, whose memory comes back here when it is dropped.
    #[must_use]
    pub fn batch(self: &Arc<Self>) -> Batch {
        let buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Batch { buffers: buffers.unwrap_or_default(), home: Some(Arc::clone(self)) }
    }

    fn keep(&self, mut buffers: Buffers) {
        if !SPARE_BYTES.contains(&buffers.memory()) {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.iter().map(Buffers::memory).sum::<usize>() < ALL_SPARE_BYTES {
            buffers.clear();
            all.push(buffers);
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Buffers {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Span)>,
}

impl Buffers {
    fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.headers.capacity() * size_of::<(Span, Span)>()
    }

    /// Bytes of memory that records are in.
    fn used(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>() + self.headers.len() * size_of::<(Span, Span)>()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.headers.clear();
    }
}

/// Records in offset order, with their bytes copied into one buffer.
#[derive(Debug, Default)]
pub struct Batch {
    buffers: Buffers,
    home: Option<Arc<Spare>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.keep(std::mem::take(&mut self.buffers));
        }
    }
}

impl Batch {
    /// Copies a record in; gives the bytes of its key, value and headers.
    pub fn push(&mut self, record: RawRecord<'_>) -> usize {
        let before = self.buffers.bytes.len();
        let key = self.copy(record.key());
        let value = self.copy(record.value());
        let first = self.buffers.headers.len() as u32;
        record.headers(|name, value| {
            let header = (self.copy(Some(name)), self.copy(value));
            self.buffers.headers.push(header);
        });
        self.buffers.entries.push(Entry {
            offset: record.offset(),
            timestamp: record.timestamp(),
            epoch: record.epoch(),
            key,
            value,
            headers: (first, self.buffers.headers.len() as u32),
        });
        self.buffers.bytes.len() - before
    }

    /// Gives back most of the memory when little of it is used: the batch may wait for long, and counts with all it has.
    pub fn fit(&mut self) {
        if self.buffers.used() < self.memory() / USED {
            let fitting = self.buffers.clone();
            let roomy = std::mem::replace(&mut self.buffers, fitting);
            if let Some(home) = self.home.take() {
                home.keep(roomy);
            }
        }
    }

    fn copy(&mut self, bytes: Option<&[u8]>) -> Span {
        let at = self.buffers.bytes.len() as u32;
        match bytes {
            None => Span { at, len: NULL },
            Some(bytes) => {
                self.buffers.bytes.extend_from_slice(bytes);
                Span { at, len: bytes.len() as u32 }
            }
        }
    }

    fn slice(&self, span: Span) -> Option<&[u8]> {
        (span.len != NULL).then(|| &self.buffers.bytes[span.at as usize..(span.at + span.len) as usize])
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffers.entries.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffers.entries.is_empty()
    }

    /// True when it should be handed over.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffers.bytes.len() >= FULL_BYTES || self.len() >= FULL_RECORDS
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.buffers.memory()
    }

    /// Offset and leader epoch of the record at `at`.
    #[must_use]
    pub fn position(&self, at: usize) -> (i64, i32) {
        (self.buffers.entries[at].offset, self.buffers.entries[at].epoch)
    }

    /// Collects the headers of the record at `at` into `out`, which is emptied first.
    pub fn headers<'a>(&'a self, at: usize, out: &mut Vec<Header<'a>>) {
        let (first, end) = self.buffers.entries[at].headers;
        out.clear();
        out.extend(
            self.buffers.headers[first as usize..end as usize]
                .iter()
                .map(|(name, value)| Header { name: self.slice(*name).unwrap_or_default(), value: self.slice(*value) }),
        );
    }

    /// The record at `at` with the headers collected before.
    #[must_use]
    pub fn record<'a>(&'a self, at: usize, headers: &'a [Header<'a>]) -> Record<'a> {
        let entry = self.buffers.entries[at];
        Record {
            offset: entry.offset,
            timestamp: entry.timestamp,
            key: self.slice(entry.key),
            value: self.slice(entry.value),
            headers,
        }
    }
}

#[cfg(test)]
impl Batch {
    /// Records at these offsets without a key, a value and headers.
    pub fn of(offsets: std::ops::Range<i64>) -> Self {
        let (null, time) = (Span { at: 0, len: NULL }, 1_737_453_600_000);
        let entry = |offset| Entry { offset, timestamp: Some(time), epoch: 0, key: null, value: null, headers: (0, 0) };
        Self { buffers: Buffers { entries: offsets.map(entry).collect(), ..Buffers::default() }, home: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch_of(spare: &Arc<Spare>, bytes: usize) -> Batch {
        let mut batch = spare.batch();
        batch.copy(Some(&vec![7; bytes]));
        batch
    }

    #[test]
    fn the_next_batch_has_the_memory_of_one_before_and_none_of_its_records() {
        let spare = Arc::new(Spare::default());
        drop(batch_of(&spare, 100 << 10));
        let batch = spare.batch();
        assert!(batch.memory() >= 100 << 10 && batch.is_empty() && batch.buffers.bytes.is_empty());
        assert_eq!(spare.batch().memory(), 0, "it is used by one at a time");
    }

    #[test]
    fn records_are_the_same_in_a_batch_that_was_made_smaller() {
        let spare = Arc::new(Spare::default());
        drop(batch_of(&spare, 400 << 10));
        let mut batch = spare.batch();
        for offset in 7..9 {
            let [key, name, value] = ["key", "name", "value"].map(|text| batch.copy(Some(text.as_bytes())));
            let first = batch.buffers.headers.len() as u32;
            batch.buffers.headers.push((name, value));
            let headers = (first, first + 1);
            batch.buffers.entries.push(Entry { offset, timestamp: None, epoch: 3, key, value, headers });
        }
        batch.fit();
        let mut headers = Vec::new();
        batch.headers(1, &mut headers);
        let record = batch.record(1, &headers);
        assert_eq!((record.offset, record.key, record.value), (8, Some(&b"key"[..]), Some(&b"value"[..])));
        assert_eq!((headers[0].name, headers[0].value), (&b"name"[..], Some(&b"value"[..])));
        assert_eq!((batch.len(), batch.position(0)), (2, (7, 3)));
    }

    #[test]
    fn a_batch_of_few_records_does_not_keep_the_memory_of_many() {
        let spare = Arc::new(Spare::default());
        drop(batch_of(&spare, 400 << 10));
        let mut few = batch_of(&spare, 100);
        few.fit();
        assert_eq!((few.memory(), few.buffers.bytes.len()), (100, 100));
        let mut many = batch_of(&spare, 300 << 10);
        many.fit();
        assert!(many.memory() >= 400 << 10, "what the few gave back");
    }

    #[test]
    fn little_memory_is_kept_for_further_batches() {
        let spare = Arc::new(Spare::default());
        drop([batch_of(&spare, 1), batch_of(&spare, 1 << 20)]);
        assert_eq!(spare.batch().memory(), 0, "neither small ones nor large ones are worth it");
        let many: Vec<_> = (0..40).map(|_| batch_of(&spare, 500 << 10)).collect();
        drop(many);
        let kept: Vec<_> = (0..40).map(|_| spare.batch()).collect();
        assert!(kept.iter().map(Batch::memory).sum::<usize>() < ALL_SPARE_BYTES + SPARE_BYTES.end());
    }
}
