//! The Avro schema of columns. Written here and not by the library, so that names, the order of unions and defaults
//! are ours and stay.

use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, TimeUnit};
use serde_json::{Value, json};

use crate::files::FileKind;

/// The schema of files of a kind as JSON.
pub(super) fn text(kind: FileKind, schema: &Schema) -> Result<String, ArrowError> {
    let name = match kind {
        FileKind::Rows => "Event",
        FileKind::DeadLetters => "DeadLetter",
    };
    record(name, schema.fields()).map(|record| record.to_string())
}

fn record<'a>(name: &str, fields: impl IntoIterator<Item = &'a FieldRef>) -> Result<Value, ArrowError> {
    let fields = fields.into_iter().map(|each| field(each)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "type": "record", "namespace": "eventsink", "name": name, "fields": fields }))
}

/// Null comes first where a value may be null: a default must be of the first type of its union.
fn field(field: &Field) -> Result<Value, ArrowError> {
    let kind = kind(field.data_type())?;
    Ok(if field.is_nullable() {
        json!({ "name": field.name(), "type": ["null", kind], "default": null })
    } else {
        json!({ "name": field.name(), "type": kind })
    })
}

fn kind(kind: &DataType) -> Result<Value, ArrowError> {
    Ok(match kind {
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            json!({ "type": "long", "logicalType": "timestamp-micros" })
        }
        DataType::Map(..) => json!({ "type": "map", "values": "string" }),
        DataType::List(element) => match element.data_type() {
            DataType::Struct(fields) => json!({ "type": "array", "items": record("Header", fields)? }),
            other => return Err(unknown(other)),
        },
        other => return Err(unknown(other)),
    })
}

fn unknown(kind: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("no column of a file has the type {kind}"))
}
