//! Dead letters, read back from the rows of their file.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BinaryArray, RecordBatch, StringArray};

use super::ReadError;

/// A record that is no valid event, as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// Stable name of the rule that it breaks.
    pub reason: &'a str,
    /// What is wrong, at most 512 bytes.
    pub detail: &'a str,
    /// Offset of the record.
    pub offset: i64,
    /// Kafka timestamp in milliseconds.
    pub timestamp: Option<i64>,
    /// Key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// Headers in order. A name that is not UTF-8 stands as the file writes it, with `\xHH` for its bytes.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// Value; `None` is null.
    pub value: Option<&'a [u8]>,
}

/// The dead letters of some rows, in order.
///
/// # Errors
/// The rows are not those of a file of dead letters.
pub fn dead_letters(rows: &RecordBatch) -> Result<Vec<DeadLetter<'_>>, ReadError> {
    let column = |name: &str| rows.column_by_name(name).ok_or_else(|| lacks(name));
    let texts = |name: &str| column(name)?.as_string_opt::<i32>().ok_or_else(|| lacks(name));
    let binary = |name: &str| column(name)?.as_binary_opt::<i32>().ok_or_else(|| lacks(name));
    let (reason, detail) = (texts("reason")?, texts("detail")?);
    let (key, value) = (binary("kafka_key")?, binary("kafka_value")?);
    let offset = column("kafka_offset")?.as_primitive_opt::<Int64Type>().ok_or_else(|| lacks("kafka_offset"))?;
    let micros = column("kafka_timestamp")?.as_primitive_opt::<TimestampMicrosecondType>();
    let micros = micros.ok_or_else(|| lacks("kafka_timestamp"))?;
    let headers = column("kafka_headers")?.as_list_opt::<i32>().ok_or_else(|| lacks("kafka_headers"))?;
    let entries = headers.values().as_struct_opt().ok_or_else(|| lacks("kafka_headers"))?;
    let names = entries.column_by_name("key").and_then(|column| column.as_string_opt::<i32>());
    let values = entries.column_by_name("value").and_then(|column| column.as_binary_opt::<i32>());
    let (Some(names), Some(values)) = (names, values) else { return Err(lacks("kafka_headers")) };
    let ends = headers.value_offsets();
    let letter = |row: usize| DeadLetter {
        reason: text(reason, row),
        detail: text(detail, row),
        offset: offset.value(row),
        timestamp: micros.is_valid(row).then(|| micros.value(row).div_euclid(1000)),
        key: bytes(key, row),
        headers: (ends[row] as usize..ends[row + 1] as usize).map(|at| (text(names, at), bytes(values, at))).collect(),
        value: bytes(value, row),
    };
    Ok((0..rows.num_rows()).map(letter).collect())
}

fn text(column: &StringArray, row: usize) -> &str {
    column.value(row)
}

fn bytes(column: &BinaryArray, row: usize) -> Option<&[u8]> {
    column.is_valid(row).then(|| column.value(row))
}

fn lacks(column: &str) -> ReadError {
    ReadError(format!("they have no column {column} as dead letters have it"))
}
