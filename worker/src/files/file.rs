//! One file while its rows arrive: builders, then the pages or blocks of its format, then the finished bytes. Knows
//! how much it holds at every moment; decides nothing about where rows belong.

use bytes::Bytes;

use super::columns::Columns;
use super::digest::{Canon, RowDigest};
use super::encoder::{Encoder, KeyValues, Profile};
use super::{EncodeError, Identity};
use crate::events::Record;

/// Rows in builders before they are encoded.
const BATCH_ROWS: usize = 8192;
/// Bytes in builders before they are encoded; small, because each of many open files has its own.
const BATCH_BYTES: usize = 256 << 10;
/// Largest row: a Parquet page counts its bytes in 31 bits and holds at least a row.
pub(super) const ROW_LIMIT: usize = 1 << 30;
/// Bytes a row takes in builders beyond its values: offsets and validity of all columns.
const ROW_OVERHEAD: usize = 96;
/// What values are taken to shrink to before the first ones are encoded.
const GUESSED_RATIO: usize = 3;

/// What every file of a cut is encoded with.
pub(super) struct Setting<'a> {
    pub identity: &'a Identity,
    pub profile: &'a Profile,
}

/// A file that takes rows.
#[derive(Default)]
pub(super) struct OpenFile<C> {
    columns: C,
    encoder: Option<Box<dyn Encoder>>,
    digest: RowDigest,
    /// Number of rows.
    pub rows: u64,
    /// Offset of the first row.
    pub first: i64,
    /// Offset of the last row.
    pub last: i64,
    /// Kafka timestamp of the first row in milliseconds.
    pub timestamp: Option<i64>,
    pending_rows: usize,
    pending_bytes: usize,
    /// Bytes of builders that are encoded.
    taken_bytes: usize,
    encoded_bytes: usize,
    encoder_bytes: usize,
}

impl<C: Columns> OpenFile<C> {
    /// Adds a row whose canonical form is `canon`; encodes the builders when they are full.
    pub(super) fn push(
        &mut self,
        (row, record): (C::Row<'_>, &Record<'_>),
        canon: &Canon,
        setting: &Setting<'_>,
    ) -> Result<(), EncodeError> {
        if canon.len() > ROW_LIMIT {
            return Err(EncodeError::RowTooLarge { offset: record.offset, bytes: canon.len(), limit: ROW_LIMIT });
        }
        if self.rows == 0 {
            self.first = record.offset;
            self.timestamp = record.timestamp;
        }
        self.columns.push(row);
        self.digest.row(canon);
        self.rows += 1;
        self.last = record.offset;
        self.pending_rows += 1;
        self.pending_bytes += canon.len() + ROW_OVERHEAD;
        if self.pending_rows >= BATCH_ROWS || self.pending_bytes >= BATCH_BYTES {
            self.flush(setting)?;
        }
        Ok(())
    }

    fn flush(&mut self, setting: &Setting<'_>) -> Result<(), EncodeError> {
        let batch = self.columns.take(setting.identity, setting.profile.schema(C::KIND))?;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            empty => empty.insert(setting.profile.open(C::KIND, setting.identity, self.first)?),
        };
        encoder.write(&batch)?;
        self.encoded_bytes = encoder.encoded();
        self.encoder_bytes = encoder.memory();
        self.taken_bytes += std::mem::take(&mut self.pending_bytes);
        self.pending_rows = 0;
        Ok(())
    }

    /// Bytes held: builders, and what is encoded. A quarter is added to what grows by doubling, as in
    /// [`Encoder::memory`].
    pub(super) fn memory(&self) -> usize {
        self.pending_bytes * 5 / 4 + self.encoder_bytes
    }

    /// Bytes of the file if it ended now; what is still in builders is taken to shrink as the rest did.
    pub(super) fn encoded_estimate(&self) -> usize {
        let pending = if self.taken_bytes == 0 {
            self.pending_bytes / GUESSED_RATIO
        } else {
            // Both are bounded by memory; only their product could be too large.
            (self.pending_bytes as u128 * self.encoded_bytes as u128 / self.taken_bytes as u128) as usize
        };
        self.encoded_bytes + pending
    }

    /// Digest of the rows so far.
    pub(super) fn digest(&self) -> String {
        self.digest.text()
    }

    /// Ends the file with `footer` as its key/values.
    pub(super) fn finish(mut self, footer: KeyValues, setting: &Setting<'_>) -> Result<Bytes, EncodeError> {
        if self.pending_rows > 0 {
            self.flush(setting)?;
        }
        let encoder = match self.encoder {
            Some(encoder) => encoder,
            None => setting.profile.open(C::KIND, setting.identity, self.first)?,
        };
        encoder.finish(footer)
    }
}
