//! Records of one partition on their way from the poll thread to an encoder: one buffer, no allocation per record.

use super::raw::RawRecord;
use crate::events::{Header, Record};

/// A batch is handed over at this size.
const FULL_BYTES: usize = 256 << 10;
/// A batch is handed over at this many records.
const FULL_RECORDS: usize = 1024;
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

/// Records in offset order, with their bytes copied into one buffer.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Span)>,
}

impl Batch {
    /// Copies a record in.
    pub fn push(&mut self, record: RawRecord<'_>) {
        let key = self.copy(record.key());
        let value = self.copy(record.value());
        let first = self.headers.len() as u32;
        record.headers(|name, value| {
            let header = (self.copy(Some(name)), self.copy(value));
            self.headers.push(header);
        });
        self.entries.push(Entry {
            offset: record.offset(),
            timestamp: record.timestamp(),
            epoch: record.epoch(),
            key,
            value,
            headers: (first, self.headers.len() as u32),
        });
    }

    fn copy(&mut self, bytes: Option<&[u8]>) -> Span {
        let at = self.bytes.len() as u32;
        match bytes {
            None => Span { at, len: NULL },
            Some(bytes) => {
                self.bytes.extend_from_slice(bytes);
                Span { at, len: bytes.len() as u32 }
            }
        }
    }

    fn slice(&self, span: Span) -> Option<&[u8]> {
        (span.len != NULL).then(|| &self.bytes[span.at as usize..(span.at + span.len) as usize])
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True when it should be handed over.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.memory() >= FULL_BYTES || self.len() >= FULL_RECORDS
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.headers.capacity() * size_of::<(Span, Span)>()
    }

    /// Offset and leader epoch of the record at `at`.
    #[must_use]
    pub fn position(&self, at: usize) -> (i64, i32) {
        (self.entries[at].offset, self.entries[at].epoch)
    }

    /// Collects the headers of the record at `at` into `out`, which is emptied first.
    pub fn headers<'a>(&'a self, at: usize, out: &mut Vec<Header<'a>>) {
        let (first, end) = self.entries[at].headers;
        out.clear();
        out.extend(
            self.headers[first as usize..end as usize]
                .iter()
                .map(|(name, value)| Header { name: self.slice(*name).unwrap_or_default(), value: self.slice(*value) }),
        );
    }

    /// The record at `at` with the headers collected before.
    #[must_use]
    pub fn record<'a>(&'a self, at: usize, headers: &'a [Header<'a>]) -> Record<'a> {
        let entry = self.entries[at];
        Record {
            offset: entry.offset,
            timestamp: entry.timestamp,
            key: self.slice(entry.key),
            value: self.slice(entry.value),
            headers,
        }
    }
}
