//! Structured content mode (Kafka binding 3.3): the value is the whole event in one of three formats.
//! A format's file says how to read its bytes; what attributes and data must obey is said once, here and
//! in the rooms above. No format may have a rule of its own for them.

mod avro;
mod cursor;
mod json;
mod plain;
mod protobuf;
#[cfg(test)]
mod tests;
mod tree;
mod typed;
mod value;

use std::borrow::Cow;

use super::attributes::Attributes;
use super::media::Format;
use super::outcome::quote;
use super::{Data, Event, Header, Lenient, Note, Notes, Reason, Record, Rejection, binary, data, media};

/// Decodes a record whose content type announces `format`.
pub(super) fn decode<'a>(
    record: &Record<'a>,
    format: Format,
    lenient: Lenient,
    notes: &mut Notes,
) -> Result<Event<'a>, Rejection> {
    let body = match record.value {
        None | Some([]) => {
            return Err(Rejection::new(
                Reason::EmptyBody,
                "structured mode needs the event in the value, which is null or empty".to_owned(),
            ));
        }
        Some(body) => body,
    };
    let Body { attributes, payload } = match format {
        Format::Json => json::read(body),
        Format::Avro => avro::read(body),
        Format::Protobuf => protobuf::read(body),
    }?;
    if headers_differ(record.headers, &attributes) {
        notes.insert(Note::HeaderMismatch);
    }
    let mut event = attributes.finish(lenient, notes)?;
    event.data = payload?.into_data(&mut event.datacontenttype)?;
    Ok(event)
}

/// A body, read but not judged. What is wrong with the payload waits until the attributes are judged.
struct Body<'a> {
    attributes: Attributes<'a>,
    payload: Result<Payload<'a>, Rejection>,
}

/// Data as a format carries it.
enum Payload<'a> {
    None,
    /// Bytes that `datacontenttype` may declare to be text.
    Bytes(Cow<'a, [u8]>),
    /// Text of any type, byte for byte: an Avro string, Protobuf's `text_data`.
    Text(&'a str),
    /// A JSON value as it stands in a JSON body.
    Json(&'a str),
    /// A JSON value other than a string, written as JSON because its format has no text for it.
    Tree(String),
    /// Bytes of the format itself, which are no text whatever `datacontenttype` says.
    Message(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// Text or binary. JSON without a `datacontenttype` implies one (JSON format 3.1.2; Avro format 3
    /// makes untyped data a JSON value too); nothing else does.
    fn into_data(self, media_type: &mut Option<Cow<'a, str>>) -> Result<Data<'a>, Rejection> {
        let implied = || Cow::Borrowed(media::IMPLIED);
        match self {
            Self::None => Ok(Data::None),
            Self::Bytes(bytes) => data::from_bytes(bytes, media_type.as_deref()),
            Self::Text(text) => data::from_text(text, media_type.as_deref()),
            Self::Json(raw) => json::data(raw, media_type.get_or_insert_with(implied)),
            Self::Tree(json) => {
                let media_type = media_type.get_or_insert_with(implied);
                if media::is_json(media_type) { Ok(Data::Text(json.into())) } else { Err(not_a_string(media_type)) }
            }
            Self::Message(bytes) => Ok(Data::Binary(Cow::Borrowed(bytes))),
        }
    }
}

fn not_a_string(media_type: &str) -> Rejection {
    Rejection::new(
        Reason::DataNotString,
        format!("datacontenttype {} is not JSON, so data must be a string", quote(media_type.as_bytes())),
    )
}

/// What may stand before or around an event that is otherwise sound, by the bytes it starts with.
fn framing(body: &[u8]) -> &'static str {
    match body {
        [0, _, _, _, _, _, ..] => {
            "; it starts like the frame of a schema registry (0 and a schema id): send it without"
        }
        [0xC3, 1, ..] => "; it starts like Avro's single-object encoding: send the datum without its header",
        [b'O', b'b', b'j', 1, ..] => "; it starts like an Avro container file: send the datum alone",
        _ => "",
    }
}

/// How many headers are compared with the body. It bounds the work on a record made of nothing but
/// headers and extensions; a difference beyond it goes without its note.
const COMPARED: usize = 64;

/// Headers may repeat attributes of the body (Kafka binding 3.3.3). The body wins.
fn headers_differ(headers: &[Header<'_>], attributes: &Attributes<'_>) -> bool {
    headers.iter().take(COMPARED).any(|header| {
        let (Some(name), Some(value)) = (header.name.strip_prefix(binary::PREFIX), header.value) else {
            return false;
        };
        let known = std::str::from_utf8(name).ok().and_then(|name| attributes.text(name));
        known.map(str::as_bytes) != Some(value)
    })
}
