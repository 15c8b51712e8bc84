//! Rows of a file, read back from its bytes: for the deep audit, and for dead letters that are copied once more.
//! Files are foreign text here: damage is an error in words, never a panic.

use std::cell::Cell;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::avro::{AvroRows, MAGIC};
use super::digest::{Canon, RowDigest};
use super::footer::TailError;

/// Rows of Parquet that are decoded at once, at most; of Avro it is a block.
const BATCH: usize = 1024;
/// Bytes that are decoded at once, by the average row of the file.
const BATCH_BYTES: usize = 4 << 20;

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its rows cannot be read: {0}")]
pub struct ReadError(pub String);

/// The rows of a file in order, some at a time; ends after the first error.
pub struct Batches {
    rows: Option<Rows>,
}

/// The decoder of a format.
type Rows = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Opens a file by its bytes.
///
/// # Errors
/// When they are no file of a known format, or a damaged one.
pub fn batches(body: Bytes) -> Result<Batches, ReadError> {
    let rows = if body.starts_with(MAGIC) { caught(|| avro(body)) } else { caught(|| parquet(body)) }?;
    Ok(Batches { rows: Some(rows) })
}

fn avro(body: Bytes) -> Result<Rows, TailError> {
    Ok(Box::new(AvroRows::open(body)?))
}

fn parquet(body: Bytes) -> Result<Rows, Box<dyn Error>> {
    // A copy of the schema in Arrow's own format is foreign text that nothing here needs.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&body, options)?;
    let groups = metadata.metadata().row_groups();
    let bytes: i64 = groups.iter().map(|group| group.total_byte_size().max(0)).fold(0, i64::saturating_add);
    let rows = usize::try_from(metadata.metadata().file_metadata().num_rows())?;
    let batch = batch_rows(usize::try_from(bytes)?, rows);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(body, metadata);
    Ok(Box::new(builder.with_batch_size(batch).build()?))
}

/// Large rows are decoded few at a time.
fn batch_rows(bytes: usize, rows: usize) -> usize {
    let row = bytes / rows.max(1);
    (BATCH_BYTES / row.max(1)).clamp(1, BATCH)
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.rows.as_mut()?;
        let next = caught(|| rows.next().transpose()).transpose();
        if !matches!(next, Some(Ok(_))) {
            self.rows = None;
        }
        next
    }
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Decodes foreign bytes. The decoders are not ours, and damaged pages make them panic here and there: that is told as
/// any other damage, and the panic's own lines are kept from the log.
///
/// # Errors
/// Those of the decoder, and its panics.
pub fn caught<T, E: std::fmt::Display>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, ReadError> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !DECODING.get() {
                hook(panic);
            }
        }));
    });
    let outer = DECODING.replace(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(outer);
    match decoded {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ReadError(error.to_string())),
        Err(_) => Err(ReadError("its bytes contradict each other".to_owned())),
    }
}

/// What the rows of a file say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowsRead {
    /// Kafka offset of each row, in the order of the file; a row without one is left out.
    pub offsets: Vec<i64>,
    /// Number of rows.
    pub rows: u64,
    /// Row digest, 32 hex digits; see [`super::ROW_DIGEST`].
    pub digest: String,
}

/// Reads every row of a file.
///
/// # Errors
/// As [`batches`].
pub fn read_rows(body: Bytes) -> Result<RowsRead, ReadError> {
    let mut digest = RowDigest::default();
    let mut canon = Canon::default();
    let mut read = RowsRead::default();
    for batch in batches(body)? {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            canon.clear();
            for column in batch.columns() {
                canonical(column.as_ref(), row, &mut canon)?;
            }
            digest.row(&canon);
        }
        read.rows += batch.num_rows() as u64;
        if let Some(offsets) = batch.column_by_name("kafka_offset").and_then(|c| c.as_primitive_opt::<Int64Type>()) {
            read.offsets.extend(offsets.iter().flatten());
        }
    }
    read.digest = digest.text();
    Ok(read)
}

/// The canonical form of one value, as [`super::ROW_DIGEST`] has it.
fn canonical(column: &dyn Array, row: usize, canon: &mut Canon) -> Result<(), ReadError> {
    if column.is_null(row) {
        canon.optional(None);
        return Ok(());
    }
    match column.data_type() {
        DataType::Utf8 => canon.text(Some(column.as_string::<i32>().value(row))),
        DataType::Binary => canon.bytes(column.as_binary::<i32>().value(row)),
        DataType::Int32 => canon.int32(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => canon.int64(Some(column.as_primitive::<Int64Type>().value(row))),
        DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, _) => {
            canon.int64(Some(column.as_primitive::<TimestampMicrosecondType>().value(row)));
        }
        DataType::Map(..) => return entries(&column.as_map().value(row), canon),
        DataType::List(_) => return entries(column.as_list::<i32>().value(row).as_ref(), canon),
        other => return Err(ReadError(format!("a column has the type {other}, which no file of this program has"))),
    }
    Ok(())
}

fn entries(entries: &dyn Array, canon: &mut Canon) -> Result<(), ReadError> {
    let Some(pairs) = entries.as_struct_opt() else {
        return Err(ReadError("a list has entries without key and value".to_owned()));
    };
    canon.entries(pairs.len());
    for at in 0..pairs.len() {
        for column in pairs.columns() {
            canonical(column.as_ref(), at, canon)?;
        }
    }
    Ok(())
}
