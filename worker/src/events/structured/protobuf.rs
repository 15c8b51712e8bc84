//! The Protobuf format: message `CloudEvent` of the published `cloudevents.proto`, whose field numbers
//! count where those in the format's text differ. Written by hand because generated code returns maps
//! that lose the order of attributes, hide repeated ones and copy every text.
//!
//! Unknown fields are skipped. What generated code would settle silently by "the last one wins" is
//! refused, as a repeated member is in JSON.

use std::borrow::Cow;

use super::super::attributes::Attributes;
use super::super::outcome::quote;
use super::super::{Reason, Rejection};
use super::cursor::{Broken, Cursor};
use super::typed::{self, Typed};
use super::{Body, Payload, framing};

/// Reads a body of `application/cloudevents+protobuf`.
pub(super) fn read(body: &[u8]) -> Result<Body<'_>, Rejection> {
    event(Cursor::new(body)).map_err(|broken| {
        let detail = format!("body is not one Protobuf message CloudEvent: {broken}{}", framing(body));
        Rejection::new(Reason::MalformedProtobuf, detail)
    })
}

/// Message `CloudEvent`.
fn event(mut message: Cursor<'_>) -> Result<Body<'_>, Broken> {
    let mut attributes = Attributes::default();
    let mut payload = None;
    let mut put_data = |attributes: &mut Attributes<'_>, data| {
        if payload.replace(data).is_some() {
            attributes.fail(Reason::Duplicate, || "data is there more than once".to_owned());
        }
    };
    while let Some(Field { number, value }) = field(&mut message)? {
        match number {
            1 => put_required(&mut attributes, b"id", value.bytes()?),
            2 => put_required(&mut attributes, b"source", value.bytes()?),
            3 => put_required(&mut attributes, b"specversion", value.bytes()?),
            4 => put_required(&mut attributes, b"type", value.bytes()?),
            5 => put_entry(&mut attributes, value.message()?)?,
            6 => put_data(&mut attributes, Ok(Payload::Bytes(Cow::Borrowed(value.bytes()?)))),
            7 => put_data(&mut attributes, text(value.bytes()?)),
            8 => {
                allow_type_url(&mut attributes, value.message()?)?;
                put_data(&mut attributes, Ok(Payload::Message(value.bytes()?)));
            }
            _ => {}
        }
    }
    Ok(Body { attributes, payload: payload.unwrap_or(Ok(Payload::None)) })
}

/// A required attribute, in a field of its own; an empty one is how proto3 says that it is not set.
fn put_required<'a>(attributes: &mut Attributes<'a>, name: &'static [u8], value: &'a [u8]) {
    typed::put(attributes, name, if value.is_empty() { Typed::Unset } else { Typed::Text(value) });
}

/// An entry of the map `attributes`.
fn put_entry<'a>(attributes: &mut Attributes<'a>, mut entry: Cursor<'a>) -> Result<(), Broken> {
    let (mut name, mut value) = (None, None);
    while let Some(field) = field(&mut entry)? {
        match field.number {
            1 => once(&mut name, field.value.bytes()?, &entry)?,
            2 => once(&mut value, attribute(field.value.message()?)?, &entry)?,
            _ => {}
        }
    }
    let name = name.unwrap_or_default();
    if matches!(name, b"id" | b"source" | b"specversion" | b"type") {
        let detail = || format!("{} is among the optional attributes; it has a field of its own", quote(name));
        attributes.fail(Reason::InvalidAttributeName, detail);
    } else {
        typed::put(attributes, name, value.unwrap_or(Typed::Unknown));
    }
    Ok(())
}

/// Message `CloudEventAttributeValue`.
fn attribute(mut message: Cursor<'_>) -> Result<Typed<'_>, Broken> {
    let mut typed = None;
    while let Some(Field { number, value }) = field(&mut message)? {
        let read = match number {
            1 => Typed::Boolean(value.integer()? != 0),
            2 => Typed::Integer(value.integer()?),
            3 => Typed::Text(value.bytes()?),
            4 => Typed::Binary(value.bytes()?),
            5 => Typed::Uri(value.bytes()?),
            6 => Typed::UriReference(value.bytes()?),
            7 => timestamp(value.message()?)?,
            _ => continue,
        };
        once(&mut typed, read, &message)?;
    }
    Ok(typed.unwrap_or(Typed::Unknown))
}

/// Message `google.protobuf.Timestamp`.
fn timestamp(mut message: Cursor<'_>) -> Result<Typed<'_>, Broken> {
    let (mut seconds, mut nanos) = (None, None);
    while let Some(Field { number, value }) = field(&mut message)? {
        match number {
            1 => once(&mut seconds, value.integer()?, &message)?,
            2 => once(&mut nanos, value.integer()?, &message)?,
            _ => {}
        }
    }
    Ok(Typed::Timestamp { seconds: seconds.unwrap_or(0), nanos: nanos.unwrap_or(0) })
}

/// Looks into a `google.protobuf.Any`. Its type URL may stand as `dataschema` (format 3), although most
/// have no scheme and would not do elsewhere.
fn allow_type_url<'a>(attributes: &mut Attributes<'a>, mut any: Cursor<'a>) -> Result<(), Broken> {
    while let Some(Field { number, value }) = field(&mut any)? {
        if number == 1
            && let Ok(url) = std::str::from_utf8(value.bytes()?)
        {
            attributes.allow_schema(url);
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<Payload<'_>, Rejection> {
    simdutf8::basic::from_utf8(bytes)
        .map(Payload::Text)
        .map_err(|_| Rejection::new(Reason::InvalidUtf8, "text_data is not UTF-8".to_owned()))
}

fn once<T>(slot: &mut Option<T>, value: T, at: &Cursor<'_>) -> Result<(), Broken> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(at.broken("a second value for one attribute before")),
    }
}

struct Field<'a> {
    number: u64,
    value: Value<'a>,
}

/// A field's value by its wire type, and where it is.
struct Value<'a> {
    wire: Wire<'a>,
    start: Cursor<'a>,
}

enum Wire<'a> {
    Varint(u64),
    /// Text, bytes or a message.
    Delimited(Cursor<'a>),
    /// Four or eight bytes, which no field of the schema has.
    Fixed,
}

impl<'a> Value<'a> {
    fn message(&self) -> Result<Cursor<'a>, Broken> {
        match self.wire {
            Wire::Delimited(part) => Ok(part),
            Wire::Varint(_) | Wire::Fixed => Err(self.start.broken("a field of another type than in the schema")),
        }
    }

    fn bytes(&self) -> Result<&'a [u8], Broken> {
        self.message().map(|part| part.rest())
    }

    fn integer(&self) -> Result<i64, Broken> {
        match self.wire {
            Wire::Varint(value) => Ok(value.cast_signed()),
            Wire::Delimited(_) | Wire::Fixed => Err(self.start.broken("a field of another type than in the schema")),
        }
    }
}

/// The next field; `None` at the end of the message. Groups are refused: proto3 has none.
fn field<'a>(message: &mut Cursor<'a>) -> Result<Option<Field<'a>>, Broken> {
    if message.is_at_end() {
        return Ok(None);
    }
    let start = *message;
    let tag = message.varint()?;
    let number = tag >> 3;
    if !(1..1 << 29).contains(&number) {
        return Err(start.broken("a field number that cannot be"));
    }
    let wire = match tag & 7 {
        0 => Wire::Varint(message.varint()?),
        1 => message.take(8).map(|_| Wire::Fixed)?,
        2 => {
            let length = message.varint()?;
            Wire::Delimited(message.part(length)?)
        }
        5 => message.take(4).map(|_| Wire::Fixed)?,
        _ => return Err(start.broken("a field of no wire type of proto3")),
    };
    Ok(Some(Field { number, value: Value { wire, start } }))
}
