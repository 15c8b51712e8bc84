//! Binary content mode (Kafka binding 3.2): attributes from `ce_` headers, data from the value. The data
//! is never parsed; it is looked at only to tell text from bytes and to bound its nesting.

use std::borrow::Cow;

use super::attributes::{Attributes, invalid_name};
use super::outcome::quote;
use super::{Data, Event, Note, Notes, Reason, Record, Rejection, data};

/// What starts the name of an attribute's header, in this case and no other.
pub(super) const PREFIX: &[u8] = b"ce_";

/// Decodes a record that has `ce_` headers.
pub(super) fn decode<'a>(
    record: &Record<'a>,
    content_type: Option<&'a [u8]>,
    notes: &mut Notes,
) -> Result<Event<'a>, Rejection> {
    let mut attributes = Attributes::default();
    if let Some(value) = content_type {
        put(&mut attributes, "datacontenttype", Some(value));
    }
    for header in record.headers {
        let Some(name) = header.name.strip_prefix(PREFIX) else {
            continue;
        };
        if header.value.is_none() {
            notes.insert(Note::NullHeader);
        }
        if name == b"datacontenttype" {
            notes.insert(Note::DataContentTypeHeader);
            if content_type.is_some() {
                continue;
            }
        }
        match std::str::from_utf8(name) {
            Ok(name) => put(&mut attributes, name, header.value),
            Err(_) => attributes.fail(Reason::InvalidAttributeName, || invalid_name(name)),
        }
    }
    let mut event = attributes.finish(notes)?;
    event.data = match record.value {
        None => Data::None,
        Some(bytes) => data::from_bytes(Cow::Borrowed(bytes), event.datacontenttype.as_deref())?,
    };
    Ok(event)
}

fn put<'a>(attributes: &mut Attributes<'a>, name: &'a str, value: Option<&'a [u8]>) {
    match value.map(std::str::from_utf8).transpose() {
        Ok(text) => attributes.put(Cow::Borrowed(name), text.map(Cow::Borrowed)),
        Err(_) => {
            attributes.fail(Reason::InvalidUtf8, || format!("the header of {} is not UTF-8", quote(name.as_bytes())))
        }
    }
}
