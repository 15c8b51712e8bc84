//! One file while its rows arrive: builders, then Parquet pages, then the finished bytes. Knows how much
//! it holds at every moment; decides nothing about where rows belong.

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::columns::Columns;
use super::digest::{Canon, RowDigest};
use super::{EncodeError, Identity};
use crate::events::Record;

/// Rows in builders before they become pages.
const BATCH_ROWS: usize = 8192;
/// Bytes in builders before they become pages; small, because each of many open files has its own.
const BATCH_BYTES: usize = 256 << 10;
/// Largest row: a Parquet page counts its bytes in 31 bits and holds at least a row.
pub(super) const ROW_LIMIT: usize = 1 << 30;
/// Bytes a row takes in builders beyond its values: offsets and validity of all columns.
const ROW_OVERHEAD: usize = 96;
/// Codec contexts and hash tables of an open row group, which the encoder does not count. Measured as
/// resident memory with 60 files open.
const WRITER_OVERHEAD: usize = 3 << 19;
/// What values are taken to shrink to before the first page shows it.
const GUESSED_RATIO: usize = 3;

/// What every file of a cut is encoded with.
pub(super) struct Setting<'a> {
    pub identity: &'a Identity,
    pub properties: &'a WriterProperties,
    pub row_group_bytes: usize,
}

/// A file that takes rows.
#[derive(Default)]
pub(super) struct OpenFile<C> {
    columns: C,
    writer: Option<ArrowWriter<Vec<u8>>>,
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
    paged_bytes: usize,
    encoded_bytes: usize,
    writer_bytes: usize,
}

impl<C: Columns> OpenFile<C> {
    /// Adds a row whose canonical form is `canon`; turns the builders into pages when they are full.
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
        let batch = self.columns.take(setting.identity)?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => empty.insert(new_writer::<C>(setting.properties)?),
        };
        writer.write(&batch)?;
        if writer.in_progress_size() >= setting.row_group_bytes {
            flush_row_group(writer)?;
        }
        self.paged_bytes += std::mem::take(&mut self.pending_bytes);
        self.pending_rows = 0;
        self.encoded_bytes = writer.bytes_written() + writer.in_progress_size();
        self.writer_bytes = writer.bytes_written() + writer.memory_size() * 5 / 4 + WRITER_OVERHEAD;
        Ok(())
    }

    /// Bytes held: builders, pages of the open row group, finished row groups. A quarter is added to
    /// what grows by doubling: a budget that counts too little ends in a killed process.
    pub(super) fn memory(&self) -> usize {
        self.pending_bytes * 5 / 4 + self.writer_bytes
    }

    /// Bytes of the file if it ended now; what is still in builders is taken to shrink as the rest did.
    pub(super) fn encoded_estimate(&self) -> usize {
        let pending = if self.paged_bytes == 0 {
            self.pending_bytes / GUESSED_RATIO
        } else {
            // Both are bounded by memory; only their product could be too large.
            (self.pending_bytes as u128 * self.encoded_bytes as u128 / self.paged_bytes as u128) as usize
        };
        self.encoded_bytes + pending
    }

    /// Digest of the rows so far.
    pub(super) fn digest(&self) -> String {
        self.digest.text()
    }

    /// Ends the file with `footer` as its key/values.
    pub(super) fn finish(mut self, footer: Vec<KeyValue>, setting: &Setting<'_>) -> Result<Vec<u8>, EncodeError> {
        if self.pending_rows > 0 {
            self.flush(setting)?;
        }
        let mut writer = match self.writer {
            Some(writer) => writer,
            None => new_writer::<C>(setting.properties)?,
        };
        flush_row_group(&mut writer)?;
        for pair in footer {
            writer.append_key_value_metadata(pair);
        }
        Ok(writer.into_inner()?)
    }
}

fn new_writer<C: Columns>(properties: &WriterProperties) -> Result<ArrowWriter<Vec<u8>>, EncodeError> {
    // Without Arrow's own copy of the schema every reader sees the Parquet types alone, and the same ones.
    let options = ArrowWriterOptions::new()
        .with_properties(properties.clone())
        .with_skip_arrow_metadata(true)
        .with_schema_root("eventsink".to_owned());
    Ok(ArrowWriter::try_new_with_options(Vec::new(), C::schema().clone(), options)?)
}

fn flush_row_group(writer: &mut ArrowWriter<Vec<u8>>) -> Result<(), EncodeError> {
    /// Page headers, indexes and the footer beside the pages.
    const SLACK: usize = 64 << 10;
    let size = writer.in_progress_size();
    if size > 0 {
        // Exactly as much as is needed: doubling a file of 100 MiB would hold 100 MiB for nothing.
        writer.inner_mut().reserve_exact(size + SLACK);
    }
    Ok(writer.flush()?)
}
