//! Record -> CloudEvent or rejection. Pure; borrows from the record wherever it can; no I/O, no clock.

use std::borrow::Cow;

/// One Kafka header as it is on the wire: the name need not be UTF-8, the value may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Name, any bytes.
    pub name: &'a [u8],
    /// Value; `None` is a null value, which is not an empty one.
    pub value: Option<&'a [u8]>,
}

/// One Kafka record, borrowed from the batch that holds its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Kafka timestamp in milliseconds since 1970, UTC; `None` when the record has none.
    pub timestamp: Option<i64>,
    /// Key; `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a null value.
    pub value: Option<&'a [u8]>,
    /// Headers in the order of the record; names may repeat.
    pub headers: &'a [Header<'a>],
}

/// A valid CloudEvent 1.0. Every text is exactly what the producer wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// Always `1.0` today.
    pub specversion: Cow<'a, str>,
    /// Attribute `id`.
    pub id: Cow<'a, str>,
    /// Attribute `source`, a URI reference.
    pub source: Cow<'a, str>,
    /// Attribute `type`.
    pub r#type: Cow<'a, str>,
    /// Attribute `subject`.
    pub subject: Option<Cow<'a, str>>,
    /// Attribute `time`.
    pub time: Option<Time<'a>>,
    /// Attribute `datacontenttype`.
    pub datacontenttype: Option<Cow<'a, str>>,
    /// Attribute `dataschema`, an absolute URI.
    pub dataschema: Option<Cow<'a, str>>,
    /// Extension attributes as text, in the order of the record.
    pub extensions: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The payload.
    pub data: Data<'a>,
}

/// Attribute `time`.
#[derive(Debug, Clone, PartialEq)]
pub struct Time<'a> {
    /// Microseconds since 1970, UTC, cut off (not rounded) towards the past.
    pub micros: i64,
    /// The text as it came, only when `micros` does not say the same instant exactly.
    pub raw: Option<Cow<'a, str>>,
}

/// The payload of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Data<'a> {
    /// No payload; an empty payload is `Text("")` or `Binary(b"")`.
    None,
    /// JSON or text media type, valid UTF-8, byte for byte.
    Text(Cow<'a, str>),
    /// Everything else, byte for byte.
    Binary(Cow<'a, [u8]>),
}
