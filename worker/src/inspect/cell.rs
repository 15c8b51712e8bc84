//! Values of a row as JSON. Types that no worker writes are named in place of their value, unless they are simple.

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
use serde_json::{Map, Value};

/// One row, its columns in order.
pub(super) fn row(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let names = batch.schema_ref().fields().iter().map(|field| field.name().clone());
    names.zip(batch.columns()).map(|(name, column)| (name, value(column, row))).collect()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Binary => STANDARD.encode(column.as_binary::<i32>().value(row)).into(),
        DataType::FixedSizeBinary(_) => STANDARD.encode(column.as_fixed_size_binary().value(row)).into(),
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
            (0..items.len()).map(|at| value(&items, at)).collect()
        }
        DataType::Map(_, _) => map(&column.as_map().value(row)),
        DataType::Struct(_) => structure(column.as_struct(), row),
        other => format!("({other})").into(),
    }
}

fn number<T: ArrowPrimitiveType<Native: Into<Value>>>(column: &ArrayRef, row: usize) -> Value {
    column.as_primitive::<T>().value(row).into()
}

/// Keys are text in every map that a worker writes.
fn map(entries: &StructArray) -> Value {
    let [keys, values] = entries.columns() else { return Value::Null };
    let name = |at| match value(keys, at) {
        Value::String(name) => name,
        other => other.to_string(),
    };
    Value::Object((0..entries.len()).map(|at| (name(at), value(values, at))).collect())
}

fn structure(column: &StructArray, row: usize) -> Value {
    let names = column.column_names().into_iter().map(str::to_owned);
    Value::Object(names.zip(column.columns()).map(|(name, column)| (name, value(column, row))).collect())
}

/// RFC 3339; the bare number where the calendar ends.
fn time(column: &ArrayRef, unit: TimeUnit, row: usize) -> Value {
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
    time.map_or(number.into(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true).into())
}

fn day(days: i32) -> Value {
    let day = DateTime::<Utc>::UNIX_EPOCH.checked_add_signed(TimeDelta::days(days.into()));
    day.map_or(days.into(), |day| day.format("%Y-%m-%d").to_string().into())
}
