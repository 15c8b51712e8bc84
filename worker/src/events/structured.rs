//! Structured content mode in the JSON format: one pass over the body, members taken as raw text and
//! borrowed unless they hold escapes. JSON data is never parsed into values, so its bytes stay as sent.

use std::borrow::Cow;
use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::attributes::{Attributes, Core};
use super::outcome::quote;
use super::{Data, Event, Header, Note, Notes, Reason, Record, Rejection, binary, data, media};

/// Decodes a record whose content type is `application/cloudevents+json`.
pub(super) fn decode<'a>(record: &Record<'a>, notes: &mut Notes) -> Result<Event<'a>, Rejection> {
    let body = match record.value {
        None | Some([]) => {
            return Err(Rejection::new(
                Reason::EmptyBody,
                "structured mode needs the event in the value, which is null or empty".to_owned(),
            ));
        }
        Some(body) => body,
    };
    let text = simdutf8::basic::from_utf8(body)
        .map_err(|_| malformed("body is not UTF-8, the only encoding of JSON".to_owned()))?;
    let Body { attributes, data, data_base64 } = serde_json::from_str(text).map_err(|error| explain(&error))?;
    if headers_differ(record.headers, &attributes) {
        notes.insert(Note::HeaderMismatch);
    }
    let mut event = attributes.finish(notes)?;
    // A null member is an unset one everywhere but in data, where null is a value.
    let data_base64 = data_base64.filter(|&raw| raw != "null");
    event.data = match (data, data_base64) {
        (None, None) => Data::None,
        (Some(_), Some(_)) => {
            return Err(Rejection::new(
                Reason::DataConflict,
                "both data and data_base64 are there; send one".to_owned(),
            ));
        }
        (None, Some(raw)) => data::from_bytes(Cow::Owned(unbase64(raw)?), event.datacontenttype.as_deref())?,
        (Some(raw), None) => {
            let implied = || Cow::Borrowed(media::IMPLIED);
            json_data(raw, event.datacontenttype.get_or_insert_with(implied))?
        }
    };
    Ok(event)
}

/// The members of the body, read but not judged.
#[derive(Default)]
struct Body<'a> {
    attributes: Attributes<'a>,
    data: Option<&'a str>,
    data_base64: Option<&'a str>,
}

impl<'de> Deserialize<'de> for Body<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent as JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut body = Body::default();
        while let Some(Name(name)) = members.next_key()? {
            let raw = members.next_value::<&'de RawValue>()?.get();
            match &*name {
                "data" => body.put_data(raw),
                "data_base64" => body.put_base64(raw),
                _ => body.put_attribute(name, raw),
            }
        }
        Ok(body)
    }
}

impl<'a> Body<'a> {
    fn put_data(&mut self, raw: &'a str) {
        if self.data.replace(raw).is_some() {
            self.attributes.fail(Reason::Duplicate, || "data is there more than once".to_owned());
        }
    }

    fn put_base64(&mut self, raw: &'a str) {
        if self.data_base64.replace(raw).is_some() {
            self.attributes.fail(Reason::Duplicate, || "data_base64 is there more than once".to_owned());
        }
    }

    fn put_attribute(&mut self, name: Cow<'a, str>, raw: &'a str) {
        match attribute_text(raw, Core::named(&name).is_none()) {
            Ok(text) => self.attributes.put(name, text),
            Err(reason) => {
                let rule = match reason {
                    Reason::InvalidString => "has an escaped surrogate without its partner",
                    Reason::IntegerRange => "is a number that is not a 32-bit integer",
                    _ => "has a JSON type that the attribute cannot have",
                };
                self.attributes.fail(reason, || format!("{} {rule}", quote(name.as_bytes())));
            }
        }
    }
}

/// A member name, borrowed unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

/// The text of an attribute (JSON format 2.2): strings without quotes, null as unset; in extensions
/// also booleans and 32-bit integers in their canonical text. The reason alone says what is wrong.
fn attribute_text(raw: &str, extension: bool) -> Result<Option<Cow<'_, str>>, Reason> {
    match raw.as_bytes().first() {
        Some(b'"') => unquote(raw).map(Some),
        Some(b'n') => Ok(None),
        Some(b't' | b'f') if extension => Ok(Some(Cow::Borrowed(raw))),
        Some(b'-' | b'0'..=b'9') if extension => match raw.parse::<i32>() {
            Ok(_) => Ok(Some(Cow::Borrowed(raw))),
            Err(_) => Err(Reason::IntegerRange),
        },
        _ => Err(Reason::AttributeType),
    }
}

/// The content of a JSON string that is known to be well-formed, borrowed unless it holds escapes.
/// Only a lone surrogate can fail: it is JSON, but no text.
fn unquote(raw: &str) -> Result<Cow<'_, str>, Reason> {
    let inner = &raw[1..raw.len() - 1];
    if inner.as_bytes().contains(&b'\\') {
        serde_json::from_str(raw).map(Cow::Owned).map_err(|_| Reason::InvalidString)
    } else {
        Ok(Cow::Borrowed(inner))
    }
}

/// The `data` member: raw JSON under a JSON media type, else the content of a JSON string.
fn json_data<'a>(raw: &'a str, media_type: &str) -> Result<Data<'a>, Rejection> {
    if media::is_json(media_type) {
        data::check_depth(raw.as_bytes())?;
        return Ok(Data::Text(Cow::Borrowed(raw)));
    }
    if !raw.starts_with('"') {
        return Err(Rejection::new(
            Reason::DataNotString,
            format!("datacontenttype {} is not JSON, so data must be a JSON string", quote(media_type.as_bytes())),
        ));
    }
    unquote(raw).map(Data::Text).map_err(|reason| {
        let detail = "data has an escaped surrogate without its partner, which is no text";
        Rejection::new(reason, detail.to_owned())
    })
}

fn unbase64(raw: &str) -> Result<Vec<u8>, Rejection> {
    let invalid = |detail: &str| Rejection::new(Reason::InvalidBase64, detail.to_owned());
    if !raw.starts_with('"') {
        return Err(invalid("data_base64 is not a JSON string"));
    }
    let text = unquote(raw).map_err(|_| invalid("data_base64 is not base64"))?;
    STANDARD
        .decode(text.as_bytes())
        .map_err(|_| invalid("data_base64 breaks RFC 4648 section 4: standard alphabet, padded, no line breaks"))
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

fn malformed(detail: String) -> Rejection {
    Rejection::new(Reason::MalformedJson, detail)
}

/// Keeps to messages of fixed wording: those of the data category may quote the body.
fn explain(error: &serde_json::Error) -> Rejection {
    match error.classify() {
        Category::Data => malformed("body is JSON, but not an object".to_owned()),
        _ => malformed(format!("body is not JSON: {error}")),
    }
}
