//! Values of a row, for the screen and as JSON. Types that no worker writes are named in place of their value, unless
//! they are simple.

use std::fmt;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// One row: its columns in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<(String, Cell)>);

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object(&self.0, serializer)
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// A number or a truth value.
    Plain(Value),
    /// Text; times as RFC 3339.
    Text(String),
    /// Bytes; base64 in JSON, text on the screen if they are text.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Cell>),
    /// A map with text keys, or a structure.
    Object(Vec<(String, Cell)>),
}

fn object<S: Serializer>(pairs: &[(String, Cell)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (name, cell) in pairs {
        map.serialize_entry(name, cell)?;
    }
    map.end()
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Plain(value) => value.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
            Self::List(cells) => serializer.collect_seq(cells),
            Self::Object(pairs) => object(pairs, serializer),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Plain(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => f.write_str(text),
                Err(_) => {
                    f.write_str("0x")?;
                    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
                }
            },
            Self::List(cells) => {
                f.write_str("[")?;
                for (at, cell) in cells.iter().enumerate() {
                    write!(f, "{}{cell}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Object(pairs) => {
                f.write_str("{")?;
                for (at, (name, cell)) in pairs.iter().enumerate() {
                    write!(f, "{}{name}: {cell}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// One row of a batch.
pub(super) fn row(batch: &RecordBatch, row: usize) -> Row {
    let names = batch.schema_ref().fields().iter().map(|field| field.name().clone());
    Row(names.zip(batch.columns()).map(|(name, column)| (name, cell(column, row))).collect())
}

fn cell(column: &ArrayRef, row: usize) -> Cell {
    if column.is_null(row) {
        return Cell::Null;
    }
    match column.data_type() {
        DataType::Boolean => Cell::Plain(column.as_boolean().value(row).into()),
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Cell::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => Cell::Bytes(column.as_fixed_size_binary().value(row).to_vec()),
        DataType::Int8 => number::<Int8Type>(column, row),
        DataType::Int16 => number::<Int16Type>(column, row),
        DataType::Int32 => number::<Int32Type>(column, row),
        DataType::Int64 => number::<Int64Type>(column, row),
        DataType::UInt8 => number::<UInt8Type>(column, row),
        DataType::UInt16 => number::<UInt16Type>(column, row),
        DataType::UInt32 => number::<UInt32Type>(column, row),
        DataType::UInt64 => number::<UInt64Type>(column, row),
        DataType::Float32 => number::<Float32Type>(column, row),
        DataType::Float64 => number::<Float64Type>(column, row),
        DataType::Date32 => day(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(unit, _) => time(column, *unit, row),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            Cell::List((0..items.len()).map(|at| cell(&items, at)).collect())
        }
        DataType::Map(_, _) => map(&column.as_map().value(row)),
        DataType::Struct(_) => structure(column.as_struct(), row),
        other => Cell::Text(format!("({other})")),
    }
}

fn number<T: ArrowPrimitiveType<Native: Into<Value>>>(column: &ArrayRef, row: usize) -> Cell {
    Cell::Plain(column.as_primitive::<T>().value(row).into())
}

fn map(entries: &StructArray) -> Cell {
    let [keys, values] = entries.columns() else { return Cell::Null };
    Cell::Object((0..entries.len()).map(|at| (cell(keys, at).to_string(), cell(values, at))).collect())
}

fn structure(column: &StructArray, row: usize) -> Cell {
    let names = column.column_names().into_iter().map(str::to_owned);
    Cell::Object(names.zip(column.columns()).map(|(name, column)| (name, cell(column, row))).collect())
}

/// RFC 3339; the bare number where the calendar ends.
fn time(column: &ArrayRef, unit: TimeUnit, row: usize) -> Cell {
    let (number, time) = match unit {
        TimeUnit::Second => {
            let number = column.as_primitive::<TimestampSecondType>().value(row);
            (number, DateTime::from_timestamp(number, 0))
        }
        TimeUnit::Millisecond => {
            let number = column.as_primitive::<TimestampMillisecondType>().value(row);
            (number, DateTime::from_timestamp_millis(number))
        }
        TimeUnit::Microsecond => {
            let number = column.as_primitive::<TimestampMicrosecondType>().value(row);
            (number, DateTime::from_timestamp_micros(number))
        }
        TimeUnit::Nanosecond => {
            let number = column.as_primitive::<TimestampNanosecondType>().value(row);
            (number, Some(DateTime::from_timestamp_nanos(number)))
        }
    };
    let text = |time: DateTime<Utc>| Cell::Text(time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    time.map_or(Cell::Plain(number.into()), text)
}

fn day(days: i32) -> Cell {
    let day = DateTime::<Utc>::UNIX_EPOCH.checked_add_signed(TimeDelta::days(days.into()));
    day.map_or(Cell::Plain(days.into()), |day| Cell::Text(day.format("%Y-%m-%d").to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_text_are_shown_as_text_and_kept_as_base64() {
        let cell = Cell::Bytes(b"order-1".to_vec());
        assert_eq!(cell.to_string(), "order-1");
        assert_eq!(serde_json::to_string(&cell).unwrap(), "\"b3JkZXItMQ==\"");
    }

    #[test]
    fn other_bytes_are_shown_as_hex_digits() {
        assert_eq!(Cell::Bytes(vec![0xff, 0x00, 0x80]).to_string(), "0xff0080");
    }

    #[test]
    fn columns_stay_in_the_order_of_the_file() {
        let row = Row(vec![("z".into(), Cell::Null), ("a".into(), Cell::Plain(1.into()))]);
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"z":null,"a":1}"#);
    }
}
