//! The Avro format: one bare datum of the published schema, which is record `CloudEvent` in the text and
//! `AvroCloudEvent` in the schema file; a datum does not carry the name. Written by hand because
//! libraries return maps that lose the order of attributes and hide repeated ones.

use std::borrow::Cow;

use super::super::attributes::Attributes;
use super::super::{Reason, Rejection};
use super::cursor::{Broken, Cursor};
use super::typed::{self, Typed};
use super::{Body, Payload, framing, tree};

/// Reads a body of `application/cloudevents+avro`.
pub(super) fn read(body: &[u8]) -> Result<Body<'_>, Rejection> {
    let malformed = |broken: Broken| {
        let detail = format!("body is not one Avro datum of the CloudEvents schema: {broken}{}", framing(body));
        Rejection::new(Reason::MalformedAvro, detail)
    };
    let mut cursor = Cursor::new(body);
    let mut attributes = Attributes::default();
    items(&mut cursor, |cursor| {
        let name = bytes(cursor)?;
        typed::put(&mut attributes, name, attribute(cursor)?);
        Ok(())
    })
    .map_err(malformed)?;
    let payload = match payload(&mut cursor) {
        Ok(payload) if cursor.is_at_end() => Ok(payload),
        Ok(_) => return Err(malformed(cursor.broken("more bytes than the datum has"))),
        Err(Fault::Broken(broken)) => return Err(malformed(broken)),
        Err(Fault::Data(rejection)) => Err(rejection),
    };
    Ok(Body { attributes, payload })
}

/// Why data cannot be read.
pub(super) enum Fault {
    /// The bytes are no datum of the schema.
    Broken(Broken),
    /// They are, but the data breaks a rule.
    Data(Rejection),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Union `null, boolean, int, string, bytes`.
fn attribute<'a>(cursor: &mut Cursor<'a>) -> Result<Typed<'a>, Broken> {
    let start = *cursor;
    match cursor.varint()? {
        0 => Ok(Typed::Unset),
        2 => boolean(cursor).map(Typed::Boolean),
        4 => long(cursor).map(Typed::Integer),
        6 => bytes(cursor).map(Typed::Text),
        8 => bytes(cursor).map(Typed::Binary),
        _ => Err(start.broken("an attribute of no type in the schema")),
    }
}

/// Union `bytes, null, boolean, map, array, double, string`. Null is no data: the schema has nothing
/// else for that.
fn payload<'a>(cursor: &mut Cursor<'a>) -> Result<Payload<'a>, Fault> {
    let start = *cursor;
    match cursor.varint()? {
        0 => Ok(Payload::Bytes(Cow::Borrowed(bytes(cursor)?))),
        2 => Ok(Payload::None),
        12 => Ok(Payload::Text(text(cursor)?)),
        4 => tree::boolean(cursor).map(Payload::Tree),
        6 => tree::map(cursor).map(Payload::Tree),
        8 => tree::array(cursor).map(Payload::Tree),
        10 => tree::double(cursor).map(Payload::Tree),
        _ => Err(start.broken("data of no type in the schema").into()),
    }
}

/// The items of a map or an array: blocks with a count before them, the last one empty. A negative count
/// is followed by the block's size in bytes, for readers that skip. Every item of this schema takes at
/// least one byte, so the body's end bounds any count.
pub(super) fn items<'a, E: From<Broken>>(
    cursor: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let count = long(cursor)?;
        if count < 0 {
            long(cursor)?;
        }
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count.unsigned_abs() {
            item(cursor)?;
        }
    }
}

/// An int or long: zigzag, so that small negative numbers are short.
fn long(cursor: &mut Cursor<'_>) -> Result<i64, Broken> {
    let value = cursor.varint()?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

pub(super) fn bytes<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Broken> {
    let start = *cursor;
    let length = u64::try_from(long(cursor)?).map_err(|_| start.broken("a negative length"))?;
    cursor.take(length)
}

/// A string of the data.
pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Fault> {
    simdutf8::basic::from_utf8(bytes(cursor)?)
        .map_err(|_| Fault::Data(Rejection::new(Reason::InvalidUtf8, "data has a string that is not UTF-8".to_owned())))
}

pub(super) fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Broken> {
    let start = *cursor;
    match cursor.take(1)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(start.broken("a boolean that is neither 0 nor 1")),
    }
}
