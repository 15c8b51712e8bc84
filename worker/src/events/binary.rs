//! Binary content mode (Kafka binding 3.2): attributes from `ce_` headers, data from the value. The data
//! is never parsed; it is looked at only to tell text from bytes and to bound its nesting.

use std::borrow::Cow;

use super::attributes::{Attributes, invalid_name};
use super::outcome::quote;
use super::{Data, Event, Leniency, Lenient, Note, Notes, Reason, Record, Rejection, data};

/// What starts the name of an attribute's header, in this case and, unless the policy is lenient, no other.
pub(super) const PREFIX: &[u8] = b"ce_";

/// Decodes a record that has `ce_` headers.
pub(super) fn decode<'a>(
    record: &Record<'a>,
    content_type: Option<&'a [u8]>,
    lenient: Lenient,
    notes: &mut Notes,
) -> Result<Event<'a>, Rejection> {
    let mut attributes = Attributes::default();
    if let Some(value) = content_type {
        put(&mut attributes, Cow::Borrowed("datacontenttype"), Some(value));
    }
    for header in record.headers {
        let Some(name) = attribute(header.name, lenient, notes) else {
            continue;
        };
        if header.value.is_none() {
            notes.insert(Note::NullHeader);
        }
        if &*name == b"datacontenttype" {
            notes.insert(Note::DataContentTypeHeader);
            if content_type.is_some() {
                continue;
            }
        }
        match text(name) {
            Ok(name) => put(&mut attributes, name, header.value),
            Err(name) => attributes.fail(Reason::InvalidAttributeName, || invalid_name(&name)),
        }
    }
    let mut event = attributes.finish(lenient, notes)?;
    event.data = match record.value {
        None => Data::None,
        Some(bytes) => data::from_bytes(Cow::Borrowed(bytes), event.datacontenttype.as_deref())?,
    };
    Ok(event)
}

/// The attribute that a header names, if any; a lenient policy reads names in lower case.
fn attribute<'a>(header: &'a [u8], lenient: Lenient, notes: &mut Notes) -> Option<Cow<'a, [u8]>> {
    if lenient.contains(Leniency::HeaderCase) && has_prefix(header) && header.iter().any(u8::is_ascii_uppercase) {
        notes.insert(Note::HeaderCase);
        return Some(Cow::Owned(header[PREFIX.len()..].to_ascii_lowercase()));
    }
    header.strip_prefix(PREFIX).map(Cow::Borrowed)
}

/// Does a header's name start with [`PREFIX`] in any case?
pub(super) fn has_prefix(header: &[u8]) -> bool {
    header.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn text(name: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Cow<'_, [u8]>> {
    match name {
        Cow::Borrowed(name) => std::str::from_utf8(name).map(Cow::Borrowed).map_err(|_| Cow::Borrowed(name)),
        Cow::Owned(name) => String::from_utf8(name).map(Cow::Owned).map_err(|error| Cow::Owned(error.into_bytes())),
    }
}

fn put<'a>(attributes: &mut Attributes<'a>, name: Cow<'a, str>, value: Option<&'a [u8]>) {
    match value.map(std::str::from_utf8).transpose() {
        Ok(text) => attributes.put(name, text.map(Cow::Borrowed)),
        Err(_) => {
            attributes.fail(Reason::InvalidUtf8, || format!("the header of {} is not UTF-8", quote(name.as_bytes())))
        }
    }
}
