//! One file while its rows arrive: builders, then the pages or blocks of its format, then the finished bytes. Knows
//! how much it holds at every moment; decides nothing about where rows belong.

use std::sync::Arc;

use bytes::Bytes;

use super::columns::Columns;
use super::digest::{Canon, RowDigest};
use super::encoder::{Encoder, EncoderPlace, Encoders, KeyValues, Profile};
use super::{EncodeError, Identity};
use crate::events::Record;

/// Bytes in builders before they are encoded, where the file has an encoder; small, because each of many open files has
/// its own.
const BATCH_BYTES: usize = 256 << 10;
/// Bytes in builders that shrink by more than an encoder takes: they are encoded without a place.
const BULK_BYTES: usize = 4 << 20;
/// Bytes of an open file with a row or without: builders, their least buffers, the digest.
const FILE_OVERHEAD: usize = 8 << 10;
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
    pub encoders: &'a Arc<Encoders>,
}

/// A file that takes rows.
#[derive(Default)]
pub(super) struct OpenFile<C> {
    columns: C,
    encoder: Option<Box<dyn Encoder>>,
    place: Option<EncoderPlace>,
    digest: RowDigest,
    /// Number of rows.
    pub rows: u64,
    /// Offset of the first row.
    pub first: i64,
    /// Offset of the last row.
    pub last: i64,
    /// Kafka timestamp of the first row in milliseconds.
    pub timestamp: Option<i64>,
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
        canon: &mut Canon,
        setting: &Setting<'_>,
    ) -> Result<(), EncodeError> {
        if canon.len() > ROW_LIMIT {
            return Err(EncodeError::RowTooLarge { offset: record.offset, bytes: canon.len(), limit: ROW_LIMIT });
        }
        if self.rows == 0 {
            self.first = record.offset;
            self.timestamp = record.timestamp;
        }
        self.digest.row(canon);
        self.pending_bytes += canon.len() + ROW_OVERHEAD;
        // Before the row is written a second time.
        canon.clear();
        self.columns.push(row);
        self.rows += 1;
        self.last = record.offset;
        if self.pending_bytes >= BATCH_BYTES && self.may_encode(setting) {
            self.flush(setting, false)?;
        }
        Ok(())
    }

    fn may_encode(&mut self, setting: &Setting<'_>) -> bool {
        if self.encoder.is_none() && self.place.is_none() && self.pending_bytes >= setting.profile.opening_bytes() {
            self.place = setting.encoders.place();
        }
        self.encoder.is_some() || self.place.is_some() || self.pending_bytes >= BULK_BYTES
    }

    /// Encodes the builders, whose rows are the file's last ones or not.
    fn flush(&mut self, setting: &Setting<'_>, last: bool) -> Result<(), EncodeError> {
        let batch = self.columns.take(setting.identity, setting.profile.schema(C::KIND))?;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            empty => {
                empty.insert(setting.profile.open(C::KIND, setting.identity, self.first, last.then_some(&batch))?)
            }
        };
        encoder.write(&batch)?;
        self.encoded_bytes = encoder.encoded();
        self.encoder_bytes = encoder.memory();
        self.taken_bytes += std::mem::take(&mut self.pending_bytes);
        Ok(())
    }

    /// Bytes held: builders, which grow by doubling and keep room for another batch, and what is encoded.
    pub(super) fn memory(&self) -> usize {
        let room = if self.taken_bytes > 0 { BATCH_BYTES } else { 0 };
        FILE_OVERHEAD + (self.pending_bytes * 3 / 2).max(room) + self.encoder_bytes
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
        if self.pending_bytes > 0 {
            self.flush(setting, true)?;
        }
        let encoder = match self.encoder {
            Some(encoder) => encoder,
            None => setting.profile.open(C::KIND, setting.identity, self.first, None)?,
        };
        encoder.finish(footer)
    }
}
