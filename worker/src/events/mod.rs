//! Record -> CloudEvent or rejection. Pure; borrows from the record wherever it can; no I/O, no clock.
//!
//! The rules are CloudEvents 1.0.2 with its Kafka binding and the JSON, Avro and Protobuf formats; where
//! the newer working drafts fill a hole (prefix match without case, no batch mode, `data` reserved, null
//! value is no data) the draft is followed. `tests/cloudevents-kafka-cases.json` holds every case with its source.
//! Nothing here may look at another record, at settings beyond [`Policy`], or guess what a producer meant.
//! What a policy lets through is told by [`Note`]s.

mod attributes;
mod binary;
mod data;
mod media;
mod outcome;
mod policy;
mod structured;
#[cfg(test)]
mod tests;
mod time;
mod wrapped;

pub use outcome::{Decoded, FilterReason, Note, Notes, Reason, Rejection};
pub use policy::{Leniency, Lenient, NonCloudEvents, Policy};

use std::borrow::Cow;

/// Version of the decoding rules. Any change that alters the rows of some record raises it, because a
/// cut planned under one version must be finished with equal rows.
pub const DECODER_VERSION: u32 = 3;

/// Decodes one record.
///
/// The first broken rule decides the reason, in this order: recognising the event, the shape of
/// headers and body, `specversion`, attributes, data. The record's key never alters the event, and where it
/// stands, `at`, only one that is wrapped.
pub fn decode<'a>(record: &Record<'a>, at: Place<'_>, policy: &Policy) -> Decoded<'a> {
    let mut notes = Notes::default();
    let lenient = policy.lenient;
    let outcome = match recognise(record.headers, lenient, &mut notes) {
        Ok(Mode::Structured(format)) => structured::decode(record, format, lenient, &mut notes),
        Ok(Mode::Binary { content_type }) => binary::decode(record, content_type, lenient, &mut notes),
        Ok(Mode::Unrecognised { content_types, content_type }) => match policy.non_cloud_events {
            NonCloudEvents::Skip => return Decoded::Filtered(FilterReason::NotACloudEvent),
            // Of several content types none can be trusted.
            NonCloudEvents::Wrap => wrapped::wrap(record, content_type.filter(|_| content_types == 1), at),
            // A header without a value names no type.
            NonCloudEvents::AssumeStructured if content_type.is_none() => {
                structured::decode(record, media::Format::Json, lenient, &mut notes)
            }
            NonCloudEvents::Reject | NonCloudEvents::AssumeStructured => Err(not_a_cloud_event(notes)),
        },
        Err(rejection) => Err(rejection),
    };
    match outcome {
        Ok(event) => Decoded::Event(event, notes),
        Err(rejection) => Decoded::Rejected(rejection),
    }
}

/// How a record carries its event.
enum Mode<'a> {
    /// The value is the event in this format.
    Structured(media::Format),
    /// Attributes are headers, the value is the data.
    Binary { content_type: Option<&'a [u8]> },
    /// No sign of a CloudEvent. So many headers say of what type it is; the last of them that is not null.
    Unrecognised { content_types: usize, content_type: Option<&'a [u8]> },
}

/// Kafka binding 3: a content type that starts with `application/cloudevents` makes it structured, any
/// `ce_` header binary.
fn recognise<'a>(headers: &[Header<'a>], lenient: Lenient, notes: &mut Notes) -> Result<Mode<'a>, Rejection> {
    let mut content_types = 0;
    let mut content_type = None;
    let mut structured = None;
    let mut attributes = false;
    let any_case = lenient.contains(Leniency::HeaderCase);
    for header in headers {
        let odd = differs_in_case_only(header.name);
        if odd {
            notes.insert(Note::HeaderCase);
        }
        if header.name == CONTENT_TYPE || (any_case && header.name.eq_ignore_ascii_case(CONTENT_TYPE)) {
            content_types += 1;
            match header.value {
                None => notes.insert(Note::NullHeader),
                Some(value) if media::is_cloudevents(value) => structured = Some(value),
                Some(value) => content_type = Some(value),
            }
        } else if header.name.starts_with(binary::PREFIX) || (any_case && odd) {
            attributes = true;
        }
    }
    if content_types > 1 && (attributes || structured.is_some()) {
        return Err(Rejection::new(
            Reason::Duplicate,
            format!("header content-type is there {content_types} times; send it once"),
        ));
    }
    match structured {
        Some(media_type) => media::format(media_type).map(Mode::Structured),
        None if attributes => Ok(Mode::Binary { content_type }),
        None => Ok(Mode::Unrecognised { content_types, content_type }),
    }
}

/// Name of the header that says of what type the value is.
const CONTENT_TYPE: &[u8] = b"content-type";

/// Header names are case-sensitive bytes (Kafka binding 3.2.3.1), which producers that come from HTTP
/// overlook.
fn differs_in_case_only(name: &[u8]) -> bool {
    let is_known = name == CONTENT_TYPE || name.starts_with(binary::PREFIX);
    !is_known && (name.eq_ignore_ascii_case(CONTENT_TYPE) || binary::has_prefix(name))
}

/// These words stand in rows of dead letters: whoever changes them raises [`DECODER_VERSION`].
fn not_a_cloud_event(notes: Notes) -> Rejection {
    let hint = if notes.contains(Note::HeaderCase) {
        "; header names are case-sensitive, write them in lower case"
    } else {
        "; send one of them, or set the policy for other records to skip"
    };
    Rejection::new(
        Reason::NotACloudEvent,
        format!("no ce_ header and no content-type application/cloudevents+json{hint}"),
    )
}

/// One Kafka header as it is on the wire: the name need not be UTF-8, the value may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Name, any bytes.
    pub name: &'a [u8],
    /// Value; `None` is a null value, which is not an empty one.
    pub value: Option<&'a [u8]>,
}

/// The partition that a record stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition number.
    pub partition: i32,
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
