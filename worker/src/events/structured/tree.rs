//! Data that the Avro format carries as a JSON value, written as JSON text: members in the order of the
//! datum, no spaces, strings and numbers as RFC 8785 section 3.2.2 spells them. The text is part of
//! rows, so a change here needs a new decoder version.

use serde_json::Value;

use super::super::data::{MAX_DEPTH, too_deep};
use super::avro::{self, Fault, items, text};
use super::cursor::Cursor;

pub(super) fn boolean(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    Ok(avro::boolean(cursor)?.to_string())
}

pub(super) fn double(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    let mut out = String::new();
    write_double(cursor, &mut out)?;
    Ok(out)
}

pub(super) fn map(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    let mut out = String::new();
    write_object(cursor, Members::OfData, 1, &mut out)?;
    Ok(out)
}

pub(super) fn array(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    let mut out = String::new();
    write_array(cursor, 1, &mut out)?;
    Ok(out)
}

/// What the values of a map are. The schema has three kinds of maps.
#[derive(Clone, Copy)]
enum Members {
    /// Field `data`: union `null, boolean, record, double, string`.
    OfData,
    /// Field `value` of a record: union `null, boolean, map, array, double, string`.
    OfRecord,
    /// The map in that union: records.
    Records,
}

/// A map. A record stands for the object that its one field holds.
fn write_object(cursor: &mut Cursor<'_>, members: Members, depth: usize, out: &mut String) -> Result<(), Fault> {
    check(depth)?;
    out.push('{');
    let mut separator = "";
    items(cursor, |cursor| {
        out.push_str(separator);
        separator = ",";
        write_string(text(cursor)?, out);
        out.push(':');
        write_member(cursor, members, depth + 1, out)
    })?;
    out.push('}');
    Ok(())
}

fn write_member(cursor: &mut Cursor<'_>, members: Members, depth: usize, out: &mut String) -> Result<(), Fault> {
    let start = *cursor;
    let branch = match members {
        Members::Records => return write_object(cursor, Members::OfRecord, depth, out),
        Members::OfData | Members::OfRecord => cursor.varint()?,
    };
    match (members, branch) {
        (_, 0) => out.push_str("null"),
        (_, 2) => out.push_str(if avro::boolean(cursor)? { "true" } else { "false" }),
        (Members::OfData, 4) => write_object(cursor, Members::OfRecord, depth, out)?,
        (Members::OfRecord, 4) => write_object(cursor, Members::Records, depth, out)?,
        (Members::OfRecord, 6) => write_array(cursor, depth, out)?,
        (Members::OfData, 6) | (Members::OfRecord, 8) => write_double(cursor, out)?,
        (Members::OfData, 8) | (Members::OfRecord, 10) => write_string(text(cursor)?, out),
        _ => return Err(start.broken("a member of no type in the schema").into()),
    }
    Ok(())
}

/// An array of records.
fn write_array(cursor: &mut Cursor<'_>, depth: usize, out: &mut String) -> Result<(), Fault> {
    check(depth)?;
    out.push('[');
    let mut separator = "";
    items(cursor, |cursor| {
        out.push_str(separator);
        separator = ",";
        write_object(cursor, Members::OfRecord, depth + 1, out)
    })?;
    out.push(']');
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}

/// As ECMAScript writes numbers: the fewest digits that give the same double again, an exponent only for
/// the very large and the very small.
fn write_double(cursor: &mut Cursor<'_>, out: &mut String) -> Result<(), Fault> {
    let start = *cursor;
    let bytes = cursor.take(8)?.try_into().map_err(|_| start.broken("a number cut off"))?;
    let number = f64::from_le_bytes(bytes);
    if !number.is_finite() {
        return Err(start.broken("a number that is not finite, which JSON cannot write,").into());
    }
    let size = number.abs();
    if size == 0.0 {
        out.push('0');
    } else if (1e-6..1e21).contains(&size) {
        out.push_str(&number.to_string());
    } else if size < 1.0 {
        out.push_str(&format!("{number:e}"));
    } else {
        out.push_str(&format!("{number:e}").replace('e', "e+"));
    }
    Ok(())
}

/// Before each level, so that no datum can exhaust the stack either.
fn check(depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH { Err(Fault::Data(too_deep())) } else { Ok(()) }
}
