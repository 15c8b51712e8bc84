//! The JSON format: one pass over the body, members taken as raw text and borrowed unless they hold
//! escapes. JSON data is never parsed into values, so its bytes stay as sent.

use std::borrow::Cow;
use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::super::attributes::{Attributes, Core};
use super::super::{Data, Reason, Rejection, data, media};
use super::{Body, Payload, not_a_string, plain};

/// Reads a body of `application/cloudevents+json`.
pub(super) fn read(body: &[u8]) -> Result<Body<'_>, Rejection> {
    let text = simdutf8::basic::from_utf8(body)
        .map_err(|_| malformed("body is not UTF-8, the only encoding of JSON".to_owned()))?;
    let members = plain::members(text).map_or_else(|| serde_json::from_str(text), Ok);
    let Members { attributes, data, data_base64 } = members.map_err(|error| explain(&error))?;
    // A null member is an unset one everywhere but in data, where null is a value.
    let data_base64 = data_base64.filter(|&raw| raw != "null");
    let payload = match (data, data_base64) {
        (None, None) => Ok(Payload::None),
        (Some(_), Some(_)) => {
            Err(Rejection::new(Reason::DataConflict, "both data and data_base64 are there; send one".to_owned()))
        }
        (None, Some(raw)) => unbase64(raw).map(|bytes| Payload::Bytes(Cow::Owned(bytes))),
        (Some(raw), None) => Ok(Payload::Json(raw)),
    };
    Ok(Body { attributes, payload })
}

/// The members of the body, read but not judged.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub(super) attributes: Attributes<'a>,
    pub(super) data: Option<&'a str>,
    pub(super) data_base64: Option<&'a str>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent as JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut read = Members::default();
        while let Some(Name(name)) = members.next_key()? {
            let raw = members.next_value::<&'de RawValue>()?.get();
            match &*name {
                "data" => read.put_data(raw),
                "data_base64" => read.put_base64(raw),
                _ => read.put_attribute(name, raw),
            }
        }
        Ok(read)
    }
}

impl<'a> Members<'a> {
    pub(super) fn put_data(&mut self, raw: &'a str) {
        if self.data.replace(raw).is_some() {
            self.attributes.fail(Reason::Duplicate, || "data is there more than once".to_owned());
        }
    }

    pub(super) fn put_base64(&mut self, raw: &'a str) {
        if self.data_base64.replace(raw).is_some() {
            self.attributes.fail(Reason::Duplicate, || "data_base64 is there more than once".to_owned());
        }
    }

    fn put_attribute(&mut self, name: Cow<'a, str>, raw: &'a str) {
        let text = attribute_text(raw, Core::named(&name).is_none());
        self.attributes.put_read(name, text);
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
pub(super) fn data<'a>(raw: &'a str, media_type: &str) -> Result<Data<'a>, Rejection> {
    if media::is_json(media_type) {
        data::check_depth(raw.as_bytes())?;
        return Ok(Data::Text(Cow::Borrowed(raw)));
    }
    if !raw.starts_with('"') {
        return Err(not_a_string(media_type));
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
